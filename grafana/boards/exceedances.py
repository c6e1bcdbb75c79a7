"""Exceedance desk: what is or was beyond its limit, since when, by how much, and what was told."""

from ..board import CHOSEN, OF_FACTOR, Board, Panel, Target, to_limits, to_station, variables
from ..look import LEVELS, SEVERITIES, SEVERITY_STEPS, STATES, Language, mapped, say_in
from ..query import Column, Query, Where


def exceedances(language: Language) -> Board:
    say = say_in(language)
    place, factor, text = f"place_{language}", f"factor_{language}", f"text_{language}"
    shown = ("station", place, factor, "period", "severity", "peak", "limit", "unit", "state", "resolved", "clause")
    listed = Query("events", "alert", tuple(Column(name) for name in shown), (*CHOSEN, *OF_FACTOR), newest_first=500)
    alerts = Panel(
        1,
        "table",
        say("告警", "Alerts"),
        say(
            "所选范围内开始的告警:最严重值、限值、状态和依据。",
            "Alerts that began in the range: worst value, limit, state and clause.",
        ),
        say("空:该范围内没有告警开始。", "Empty: no alert began in the range."),
        (Target(listed),),
        columns=(
            ("Time", say("开始", "Since")),
            ("station", say("站点", "Station")),
            (place, say("排口", "Outlet")),
            (factor, say("因子", "Factor")),
            ("period", say("时段", "Window")),
            ("severity", say("级别", "Level")),
            ("peak", say("最严重值", "Worst value")),
            ("limit", say("限值", "Limit")),
            ("unit", say("单位", "Unit")),
            ("state", say("状态", "State")),
            ("resolved", say("恢复", "Resolved")),
            ("clause", say("依据", "Clause")),
        ),
        mapped={"severity": mapped(SEVERITIES, say), "state": mapped(STATES, say)},
        link=to_limits(say, language),
    )
    by_hour = Query(
        "hour", "verdict", (Column("severity", "max"),), (*CHOSEN, *OF_FACTOR), (place, factor), "1h", "null"
    )
    states = Panel(
        2,
        "state-timeline",
        say("每小时判定", "Verdicts by the hour"),
        say("每个排口和因子每小时最严重的判定。", "The hour's worst verdict of each outlet and factor."),
        say("空:该范围内没有小时判定。", "Empty: no hour of the range has been judged."),
        (Target(by_hour, f"$tag_{place} $tag_{factor}"),),
        mappings=mapped(SEVERITIES, say),
        steps=SEVERITY_STEPS,
    )

    def begun(level: str) -> Target:
        fired = (*CHOSEN, *OF_FACTOR, Where("transition", "=", "fired"), Where("level", "=", level))
        return Target(
            Query("events", "transition", (Column("severity", "count", level),), fired, every="1d"), words[level]
        )

    words = {level: say(zh, en) for level, (_, zh, en) in LEVELS.items()}
    counts = Panel(
        3,
        "timeseries",
        say("每日新告警", "New alerts by day"),
        say("每个自然日发生的告警数,按级别。", "Alerts raised on each civil day, by level."),
        say("空:该范围内没有新告警。", "Empty: no alert was raised in the range."),
        tuple(begun(level) for level in LEVELS),
        unit="short",
        minimum=0,
        is_bars=True,
        colours={words[level]: colour for level, (colour, _, _) in LEVELS.items()},
    )
    told = Query(
        "events",
        "transition",
        tuple(Column(name) for name in ("severity", "station", text)),
        (*CHOSEN, *OF_FACTOR),
        newest_first=200,
    )
    log = Panel(
        4,
        "table",
        say("过程", "History"),
        say(
            "范围内告警的每次变化,与通知的文字相同。",
            "Every change of an alert in the range, in the words people were told.",
        ),
        say("空:该范围内告警没有变化。", "Empty: no alert changed in the range."),
        (Target(told),),
        columns=(
            ("Time", say("时间", "At")),
            ("station", say("站点", "Station")),
            ("severity", say("级别", "Level")),
            (text, say("内容", "What")),
        ),
        mapped={"severity": mapped(SEVERITIES, say)},
        link=to_station(say, language),
    )
    return Board(
        "exceedances",
        say("超限工作台", "Exceedance desk"),
        say("哪些告警、多严重、到什么程度。", "Which alerts, how serious, and how far they have come."),
        ((12, ((24, alerts),)), (10, ((16, states), (8, counts))), (10, ((24, log),))),
        variables(say, language, "county", "park", "enterprise", "station", "factor"),
        range=("now-24h", "now"),
    )
