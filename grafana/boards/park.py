"""Park and green island: load against capacity, synchronous operation, removal, members, the fence line."""

from ..board import Board, Panel, Target, Variable, variables
from ..look import SEVERITIES, SEVERITY_STEPS, Language, mapped, say_in
from ..query import Column, Query, Where

IN_PARK = tuple(Where(name, "=~", name) for name in ("county", "park"))
JUDGED = (*IN_PARK, Where("reason", "=", ""))


def park(language: Language) -> Board:
    say = say_in(language)
    place, factor = f"place_{language}", f"factor_{language}"
    of_unit = f"$tag_{place} $tag_{factor} $tag_unit"
    bound = say("限值", "limit")
    unjudged = say(
        "空:该范围内无法判定,或园区未登记相应数据。",
        "Empty: no window could be judged, or the park has none registered.",
    )

    def against(
        id_: int, bucket: str, rule: str, every: str, title: str, about: str, empty: str, unit: str = "short"
    ) -> Panel:
        """Values of one rule beside the number they are held against."""
        value = Query(
            bucket,
            "verdict",
            (Column("value", "max"),),
            (*JUDGED, Where("rule", "=", rule)),
            (place, factor, "unit"),
            every,
            "null",
        )
        limit = Query(
            bucket,
            "verdict",
            (Column("limit", "max"),),
            (*IN_PARK, Where("rule", "=", rule)),
            (place, factor, "basis", "limit_id", "unit"),
            every,
            "null",
        )
        return Panel(
            id_,
            "timeseries",
            title,
            about,
            empty,
            (Target(value, of_unit), Target(limit, f"{bound} $tag_basis {of_unit}", is_dashed=True)),
            unit=unit,
            minimum=0,
        )

    load = against(
        1,
        "hour",
        "facility_load",
        "1h",
        say("绿岛负荷与能力", "Load and capacity of shared facilities"),
        say("每小时进入设施的量与其处理能力。", "What goes into a facility each hour, and what it may take."),
        say(
            "空:没有登记能力的设施,或进口流量缺失。",
            "Empty: no facility has a capacity registered, or its inlet's flow is missing.",
        ),
    )
    total = against(
        2,
        "hour",
        "park_total",
        "1h",
        say("园区排放总量(小时)", "The park's mass, by the hour"),
        say(
            "园区各排口质量之和;有缺项时为下限,不足以判定的不画。",
            "Mass of all outlets together; where parts are missing it is a lower bound, drawn only where it decides.",
        ),
        say(
            "空:园区没有小时阈值,或数据不足以判定。",
            "Empty: the park has no threshold by the hour, or too much is missing.",
        ),
    )
    removal = against(
        3,
        "hour",
        "removal_hour",
        "1h",
        say("去除效率", "Removal efficiency"),
        say("100 x(1 - 出口质量 / 进口质量),同一小时。", "100 x (1 - mass out / mass in) of the same hour."),
        say(
            "空:进口质量低于判定门槛,或缺少进出口数据。",
            "Empty: too little goes in to be judged, or inlet or outlet is missing.",
        ),
        unit="percent",
    )
    synchronous = against(
        4,
        "day",
        "synchronous_day",
        "1d",
        say("同步运行率(日)", "Synchronous operation by day"),
        say(
            "生产运行的分钟中,治理设施同时运行的比例。", "Share of production's minutes in which treatment ran as well."
        ),
        say("空:范围内没有完整的一天,或没有生产。", "Empty: no whole day in the range, or nothing was produced."),
        unit="percent",
    )
    where = (*IN_PARK, Where("medium", "=", "facility"))
    shared = Panel(
        5,
        "state-timeline",
        say("绿岛设施状态", "State of shared facilities"),
        say(
            "每5分钟最严重的判定:成员生产时设施停运即为红。",
            "The worst verdict of five minutes: red while members produce and it stands still.",
        ),
        unjudged,
        (
            Target(
                Query("minute", "verdict", (Column("severity", "max"),), where, (place, "rule"), "5m", "null"),
                f"$tag_{place} $tag_rule",
            ),
        ),
        mappings=mapped(SEVERITIES, say),
        steps=SEVERITY_STEPS,
    )
    off = (*IN_PARK, Where("rule", "=", "treatment_off"))
    pairs = Panel(
        6,
        "state-timeline",
        say("生产与治理同步", "Production and its treatment"),
        say(
            "每对设施每5分钟:红为生产运行而治理停运超过规定时间前的各分钟。",
            "Each pair in five minutes: red where production runs and its treatment does not.",
        ),
        unjudged,
        (
            Target(
                Query("minute", "verdict", (Column("severity", "max"),), off, (factor,), "5m", "null"), f"$tag_{factor}"
            ),
        ),
        mappings=mapped(SEVERITIES, say),
        steps=SEVERITY_STEPS,
    )
    rates = Query(
        "hour",
        "aggregate",
        (Column("mean", "mean"),),
        (*JUDGED, Where("unit", "=", "kg/h")),
        (place, factor),
        "1h",
        "null",
    )
    mass = Panel(
        7,
        "timeseries",
        say("各排口排放速率", "Mass rates of the outlets"),
        say("实测浓度乘流量,小时。", "Measured concentration times flow, by the hour."),
        say("空:没有规则需要质量,或缺少流量。", "Empty: no rule asks for a mass, or flow is missing."),
        (Target(rates, f"$tag_{place} $tag_{factor}"),),
        unit="suffix: kg/h",
        minimum=0,
    )
    kilowatt = (*JUDGED, Where("unit", "=", "kW"))
    power = Panel(
        8,
        "timeseries",
        say("生产与治理功率", "Power of production and treatment"),
        say("每分钟平均功率。", "Mean power by the minute."),
        say("空:没有按分钟计量的功率。", "Empty: no power is measured by the minute."),
        (
            Target(
                Query("minute", "aggregate", (Column("mean", "mean"),), kilowatt, (place, factor), "1m", "null"),
                f"$tag_{place} $tag_{factor}",
            ),
        ),
        unit="kwatt",
        minimum=0,
    )
    contract = Query(
        "hour",
        "verdict",
        (Column("severity", "last"), *(Column(name) for name in ("value", "limit", "limit_pct", "reason"))),
        (*IN_PARK, Where("rule", "=", "member_contract")),
        ("station", "factor", "rule", place, factor, "period", "limit_id", "unit"),
    )
    members = Panel(
        9,
        "table",
        say("成员与协议", "Members and their contracts"),
        say("每个成员最近一小时的量与其协议。", "Of each member the newest hour against its contract."),
        say("空:没有成员被计量,或协议没有数值。", "Empty: no member is metered, or no contract names a number."),
        (Target(contract),),
        columns=(
            ("Time", say("小时", "Hour")),
            (place, say("设施", "Facility")),
            (factor, say("因子", "Factor")),
            ("limit_id", say("协议", "Contract")),
            ("value", say("数值", "Value")),
            ("limit", say("约定", "Agreed")),
            ("limit_pct", say("占约定%", "% of it")),
            ("unit", say("单位", "Unit")),
            ("severity", say("判定", "Verdict")),
        ),
        mapped={"severity": mapped(SEVERITIES, say)},
    )
    fence = against(
        10,
        "hour",
        "fence_line",
        "1h",
        say("厂界", "Fence line"),
        say("下风向最高站减上风向均值。", "The highest downwind station less the mean of those upwind."),
        say("空:没有厂界站,或风向不定。", "Empty: there is no fence-line station, or the wind was not steady."),
    )
    named: tuple[Variable, ...] = variables(say, language, "county", "park")
    return Board(
        "park",
        say("园区与绿岛", "Park and green island"),
        say("共享治理够不够、开没开、有没有效。", "Whether shared treatment is large enough, runs, and works."),
        (
            (9, ((12, load), (12, total))),
            (9, ((12, removal), (12, synchronous))),
            (8, ((12, shared), (12, pairs))),
            (9, ((12, mass), (12, power))),
            (8, ((12, members), (12, fence))),
        ),
        named,
    )
