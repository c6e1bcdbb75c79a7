"""Centre overview: is everything as it should be, and where is it not? For the wall: 24 columns, no scrolling."""

from ..board import CHOSEN, Board, Panel, Target, to_station, variables
from ..look import (
    CAPTURE_STEPS,
    LIMIT_STEPS,
    ORANGE,
    RED,
    SEVERITIES,
    SEVERITY_STEPS,
    UNKNOWN,
    WELL,
    YELLOW,
    Language,
    mapped,
    say_in,
)
from ..query import Column, Query, Where


def overview(language: Language) -> Board:
    say = say_in(language)
    place, factor, text = f"place_{language}", f"factor_{language}", f"text_{language}"
    no_pulse = say(
        "空:写入进程没有心跳,其余面板也不可信。",
        "Empty: the writer has no pulse, and nothing else here can be trusted.",
    )
    is_open = say(
        "未恢复告警数,全市,不随变量变化。", "Open alerts of this level, of the whole site whatever is chosen."
    )

    def pulse(id_: int, field: str, title: str, about: str, colour: str) -> Panel:
        return Panel(
            id_,
            "stat",
            title,
            about,
            no_pulse,
            (Target(Query("raw", "health", (Column(field, "last"),))),),
            unit="short",
            steps=((None, WELL), (1, colour)),
            no_value=say("无心跳", "no pulse"),
        )

    age = Panel(
        5,
        "stat",
        say("判定时钟滞后", "Age of the decisions"),
        say("站点时钟落后于现在多少。", "How far the site's clock is behind now."),
        no_pulse,
        (Target(Query("raw", "health", (Column("clock_age_s", "last"),))),),
        unit="s",
        steps=((None, WELL), (60, YELLOW), (300, RED)),
        decimals=0,
        no_value=say("无心跳", "no pulse"),
    )
    silent_about = say(
        "有未恢复“无数据”告警的站点数,全市。", "Stations with an open 'no data' alert, of the whole site."
    )
    share = Column("valid_n", "sum", "capture", over="expected_n", times=100.0)
    capture = Panel(
        6,
        "stat",
        say("数据有效率", "Data capture"),
        say("所选范围内各小时:有效数据除以应有数据。", "Hours of the range: valid data in per cent of those expected."),
        say("空:该范围内没有已判定的小时。", "Empty: no hour of the range has been decided."),
        (Target(Query("hour", "aggregate", (share,), CHOSEN)),),
        unit="percent",
        steps=CAPTURE_STEPS,
        decimals=1,
        no_value=say("无数据", "no data"),
    )
    states = Panel(
        7,
        "status-history",
        say("各排口每小时状态", "Outlets by the hour"),
        say(
            "每小时最严重的判定。灰色为无法判定,空白为尚未判定,都不是达标。",
            "The hour's worst verdict. Grey is no judgement, blank is not decided: neither is good.",
        ),
        say("空:该范围内没有小时判定。", "Empty: no hour of the range has been judged."),
        (
            Target(
                Query("hour", "verdict", (Column("severity", "max"),), CHOSEN, (place,), "1h", "null"), f"$tag_{place}"
            ),
        ),
        mappings=mapped(SEVERITIES, say),
        steps=SEVERITY_STEPS,
    )
    judged = (*CHOSEN, Where("reason", "=", ""))
    worst = Panel(
        8,
        "bargauge",
        say("小时值占限值", "Hours against their limits"),
        say(
            "范围内小时值占限值的最大百分比,最高的在上;下限为限值占数值的百分比。",
            "The largest share of its limit an hour took, the highest first; of a lower limit the limit's share.",
        ),
        say("空:没有可判定且有限值的小时。", "Empty: no hour that could be judged has a limit."),
        (Target(Query("hour", "verdict", (Column("limit_pct", "max"),), judged, (place, factor))),),
        unit="percent",
        steps=LIMIT_STEPS,
        decimals=0,
        minimum=0,
        maximum=200,
        sort_by="limit_pct",
        limit=12,
        columns=((place, say("排口", "Outlet")), (factor, say("因子", "Factor")), ("limit_pct", "%")),
    )
    columns = tuple(Column(name) for name in ("severity", "station", text))
    opened = Query(
        "events", "alert", columns, (*CHOSEN, Where("is_open", "=", 1.0)), is_in_range=False, newest_first=100
    )
    alerts = Panel(
        9,
        "table",
        say("未恢复告警", "Open alerts"),
        say("最近发生的未恢复告警,不受时间范围限制。", "Open alerts, the newest first, whatever the range."),
        say("空:没有未恢复告警,以上方心跳正常为前提。", "Empty: none is open, provided the counts above have a pulse."),
        (Target(opened),),
        columns=(
            ("Time", say("开始", "Since")),
            ("station", say("站点", "Station")),
            ("severity", say("级别", "Level")),
            (text, say("内容", "What")),
        ),
        mapped={"severity": mapped(SEVERITIES, say)},
        link=to_station(say, language),
    )
    counted = Query("raw", "pipeline", (Column("messages", "sum"), Column("rejects", "sum")), every="5m")
    messages = Panel(
        10,
        "timeseries",
        say("报文", "Messages"),
        say("每5分钟判定的报文数和拒收数,全市。", "Messages decided and rejected in five minutes, of the whole site."),
        say("空:没有提交任何数据段。", "Empty: nothing was committed in the range."),
        (Target(counted, "$col"),),
        unit="short",
        minimum=0,
        is_bars=True,
    )
    return Board(
        "overview",
        say("中心总览", "Centre overview"),
        say(
            "是否正常、哪里不正常;大屏 1920x1080 不需滚动。",
            "Whether all is well, and where not; fits a wall of 1920x1080.",
        ),
        (
            (
                3,
                (
                    (4, pulse(1, "open_red", say("红色告警", "Red alerts"), is_open, RED)),
                    (4, pulse(2, "open_orange", say("橙色告警", "Orange alerts"), is_open, ORANGE)),
                    (4, pulse(3, "open_yellow", say("黄色告警", "Yellow alerts"), is_open, YELLOW)),
                    (4, pulse(4, "open_silent", say("无数据站点", "Stations without data"), silent_about, UNKNOWN)),
                    (4, age),
                    (4, capture),
                ),
            ),
            (8, ((14, states), (10, worst))),
            (9, ((16, alerts), (8, messages))),
        ),
        variables(say, language, "county", "park", "enterprise", "station"),
        range=("now-6h", "now"),
        refresh="10s",
    )
