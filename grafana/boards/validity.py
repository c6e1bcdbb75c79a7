"""Data validity: are enough data there to judge, and if not, why?"""

from ..board import CHOSEN, OF_FACTOR, Board, Panel, Target, variables
from ..look import CAPTURE_STEPS, REASONS, STATES, Language, mapped, say_in
from ..query import Column, Query, Where

WHERE = (*CHOSEN, *OF_FACTOR)
SHARE = Column("valid_n", "sum", "capture", over="expected_n", times=100.0)


def validity(language: Language) -> Board:
    say = say_in(language)
    place, factor = f"place_{language}", f"factor_{language}"
    whole = Panel(
        1,
        "stat",
        say("数据有效率", "Data capture"),
        say("范围内各小时:有效数据除以应有数据。", "Hours of the range: valid data in per cent of those expected."),
        say("空:该范围内没有已判定的小时。", "Empty: no hour of the range has been decided."),
        (Target(Query("hour", "aggregate", (SHARE,), WHERE)),),
        unit="percent",
        steps=CAPTURE_STEPS,
        decimals=1,
        no_value=say("无数据", "no data"),
    )
    present = Panel(
        2,
        "stat",
        say("数据到达率", "Data arriving"),
        say(
            "范围内各小时:到达的数据(有效与否)除以应有数据。",
            "Hours of the range: data that came, valid or not, in per cent of those expected.",
        ),
        say("空:该范围内没有已判定的小时。", "Empty: no hour of the range has been decided."),
        (Target(Query("hour", "aggregate", (Column("present_n", "sum", over="expected_n", times=100.0),), WHERE)),),
        unit="percent",
        steps=CAPTURE_STEPS,
        decimals=1,
        no_value=say("无数据", "no data"),
    )
    by_place = Panel(
        3,
        "bargauge",
        say("各排口有效率", "Capture by outlet"),
        say("每个排口所有因子合计。", "All factors of an outlet together."),
        say("空:该范围内没有已判定的小时。", "Empty: no hour of the range has been decided."),
        (Target(Query("hour", "aggregate", (SHARE,), WHERE, (place,))),),
        unit="percent",
        steps=CAPTURE_STEPS,
        decimals=1,
        minimum=0,
        maximum=100,
        columns=((place, say("排口", "Outlet")), ("capture", "%")),
    )
    heat = Panel(
        4,
        "status-history",
        say("每小时有效率", "Capture by the hour"),
        say(
            "每个排口和因子:75% 以下橙,90% 以下黄。",
            "Each outlet and factor by the hour: orange below 75 %, yellow below 90 %.",
        ),
        say(
            "空白格:该小时尚未判定,或该因子不按小时监测。", "Blank: the hour is not decided yet, or has no such window."
        ),
        (
            Target(
                Query("hour", "aggregate", (SHARE,), WHERE, (place, factor), "1h", "null"),
                f"$tag_{place} $tag_{factor}",
            ),
        ),
        unit="percent",
        steps=CAPTURE_STEPS,
        decimals=0,
    )
    reasons = Query(
        "hour", "aggregate", (Column("reason", "last"),), WHERE, ("station", "factor", place, factor), "1h", "null"
    )
    why = Panel(
        5,
        "state-timeline",
        say("每小时无法判定的原因", "Why hours cannot be judged"),
        say(
            "每个排口和因子每小时的原因;蓝色为可判定。",
            "The reason of each outlet and factor by the hour; blue can be judged.",
        ),
        say("空白格:该小时尚未判定。", "Blank: the hour is not decided yet."),
        (Target(reasons, f"$tag_{place} $tag_{factor}"),),
        mappings=mapped(REASONS, say),
    )
    shown = ("station", place, factor, "reason", "valid_n", "present_n", "expected_n")
    lacking = Query(
        "hour",
        "aggregate",
        tuple(Column(name) for name in shown),
        (*WHERE, Where("reason", "!=", "")),
        newest_first=300,
    )
    hours = Panel(
        6,
        "table",
        say("无法判定的小时", "Hours that cannot be judged"),
        say("最近的在上,含有效、到达和应有数据个数。", "The newest first, with data valid, arrived and expected."),
        say("空:范围内已判定的小时都可判定。", "Empty: every hour decided in the range can be judged."),
        (Target(lacking),),
        columns=(
            ("Time", say("小时", "Hour")),
            ("station", say("站点", "Station")),
            (place, say("排口", "Outlet")),
            (factor, say("因子", "Factor")),
            ("reason", say("原因", "Reason")),
            ("valid_n", say("有效", "Valid")),
            ("present_n", say("到达", "Arrived")),
            ("expected_n", say("应有", "Expected")),
        ),
        mapped={"reason": mapped(REASONS, say)},
    )
    said = ("station", place, factor, "kind", "type", "state", "text", "actor")
    marks = Panel(
        7,
        "table",
        say("标记、停运与质控", "Marks, stops and checks"),
        say(
            "范围内开始的数据标记、报停和仪器核查。",
            "Data marks, approved stops and checks of analysers that began in the range.",
        ),
        say("空:范围内没有人工记录。", "Empty: nobody entered any for the range."),
        (Target(Query("events", "mark", tuple(Column(name) for name in said), CHOSEN, newest_first=300)),),
        columns=(
            ("Time", say("开始", "From")),
            ("station", say("站点", "Station")),
            (place, say("排口", "Outlet")),
            (factor, say("因子", "Factor")),
            ("kind", say("种类", "Kind")),
            ("type", say("类型", "Type")),
            ("state", say("状态", "State")),
            ("text", say("说明", "Reason")),
            ("actor", say("填报人", "By")),
        ),
        mapped={"state": mapped(STATES, say)},
    )
    return Board(
        "validity",
        say("数据有效性", "Data validity"),
        say("数据够不够判定,不够为什么。", "Whether there are enough data to judge, and if not, why."),
        (
            (8, ((4, whole), (4, present), (16, by_place))),
            (12, ((12, heat), (12, why))),
            (10, ((14, hours), (10, marks))),
        ),
        variables(say, language, "county", "park", "enterprise", "station", "factor"),
        range=("now-24h", "now"),
    )
