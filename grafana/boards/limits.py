"""Limits and trends: the value as it is compared beside the limit that holds, measured and converted."""

from ..board import CHOSEN, OF_FACTOR, Annotation, Board, Panel, Target, variables
from ..look import LIMIT_STEPS, ORANGE, SEVERITIES, UNKNOWN, YELLOW, Language, mapped, say_in
from ..query import Column, Query, Where

WHERE = (*CHOSEN, *OF_FACTOR)
JUDGED = (*WHERE, Where("reason", "=", ""))
LIMITED = (*WHERE, Where("limit_id", "!=", ""))  # held against a limit, and not against a number of the rule's own


def limits(language: Language) -> Board:
    say = say_in(language)
    place, factor = f"place_{language}", f"factor_{language}"
    first = ("zs_a21026", say("二氧化硫(折算)", "Sulfur dioxide (converted)"))  # a picture of all would say nothing
    series = f"$tag_{place} $tag_{factor} $tag_unit"
    compared = Query(
        "hour",
        "verdict",
        (Column("value", "max"),),
        (*LIMITED, Where("reason", "=", "")),
        (place, factor, "unit"),
        "1h",
        "null",
    )
    limit = Query(
        "hour",
        "verdict",
        (Column("limit", "max"),),
        LIMITED,
        (place, factor, "basis", "limit_id", "unit"),
        "1h",
        "null",
    )
    against = Panel(
        1,
        "timeseries",
        say("小时值与限值", "Hours and their limits"),
        say(
            "实线为参与比较的小时值(需折算的为折算值),虚线为当时有效的限值。",
            "Lines: the hour's value as compared (converted where the limit is). Dashed: the limit that held then.",
        ),
        say(
            "空:所选站点和因子没有限值,或该范围内无法判定。",
            "Empty: what is chosen has no limit, or no hour of the range could be judged.",
        ),
        (
            Target(compared, series),
            Target(limit, f"{say('限值', 'limit')} $tag_basis {series}", is_dashed=True),
        ),
        unit="short",
    )
    means = Query("hour", "aggregate", (Column("mean", "mean"),), JUDGED, (place, factor, "unit"), "1h", "null")
    measured = Panel(
        2,
        "timeseries",
        say("小时均值:实测与折算", "Hour means, measured and converted"),
        say(
            "各因子的小时均值,有限值与否都在;无效小时是断点。",
            "Hour means of every factor chosen, with or without a limit; an invalid hour is a gap.",
        ),
        say("空:该范围内没有有效小时。", "Empty: no hour of the range was valid."),
        (Target(means, series),),
        unit="short",
    )
    minutes = Query("minute", "aggregate", (Column("mean", "mean"),), JUDGED, (place, factor, "unit"), "1m", "null")
    trend = Panel(
        3,
        "timeseries",
        say("分钟均值", "Minute means"),
        say("各因子的分钟均值。", "Minute means of every factor chosen."),
        say(
            "空:没有分钟数据,或已超过保留期限。",
            "Empty: nothing is measured by the minute, or the minutes are older than they are kept.",
        ),
        (Target(minutes, series),),
        unit="short",
    )
    taken = Query("hour", "verdict", (Column("limit_pct", "max"),), JUDGED, (place, factor, "basis"), "1h", "null")
    shares = Panel(
        4,
        "timeseries",
        say("占限值百分比", "Share of the limit"),
        say("不同因子放在一张图上比较;100 为限值。", "Factors of different units in one picture; 100 is the limit."),
        say("空:没有可判定且有限值的小时。", "Empty: no hour that could be judged has a limit."),
        (Target(taken, f"$tag_{place} $tag_{factor} $tag_basis"),),
        unit="percent",
        minimum=0,
        steps=LIMIT_STEPS,
    )
    columns = (
        Column("severity", "last"),
        *(Column(name) for name in ("value", "limit", "limit_pct", "state", "reason")),
    )
    by = ("station", "factor", "rule", place, factor, "period", "basis", "limit_id", "unit")
    newest = Panel(
        5,
        "table",
        say("最近一小时对照限值", "The newest hour against each limit"),
        say(
            "每条限值最近一次小时判定;“依据”为限值性质。",
            "Of each limit the newest verdict of an hour; the basis says what the limit rests on.",
        ),
        say("空:所选范围内没有限值判定。", "Empty: no hour of the range was held against a limit."),
        (Target(Query("hour", "verdict", columns, LIMITED, by)),),
        columns=(
            ("Time", say("小时", "Hour")),
            (place, say("排口", "Outlet")),
            (factor, say("因子", "Factor")),
            ("value", say("数值", "Value")),
            ("limit", say("限值", "Limit")),
            ("unit", say("单位", "Unit")),
            ("limit_pct", say("占限值%", "% of limit")),
            ("basis", say("性质", "Basis")),
            ("severity", say("判定", "Verdict")),
            ("limit_id", say("限值编号", "Limit's name")),
        ),
        mapped={"severity": mapped(SEVERITIES, say)},
        units={"limit_pct": "percent"},
        sort_by="limit_pct",
    )
    marks = Query("events", "mark", tuple(Column(name) for name in ("text", "state", "to_ms")), CHOSEN)
    revised = Query(
        "hour",
        "verdict",
        tuple(Column(name) for name in ("revision", "state", factor)),
        (*WHERE, Where("revision", ">", 1.0)),
    )
    fired = Query(
        "events",
        "transition",
        tuple(Column(name) for name in (f"text_{language}", "level")),
        (*WHERE, Where("transition", "=", "fired")),
    )
    return Board(
        "limits",
        say("限值与趋势", "Limits and trends"),
        say("数值离限值有多近,为什么。", "How near values come to their limits, and why."),
        ((11, ((24, against),)), (9, ((12, measured), (12, trend))), (9, ((12, shares), (12, newest)))),
        variables(say, language, "county", "park", "enterprise", "station", "factor", factor=first),
        (
            Annotation(say("标记、停运与质控", "Marks, stops, checks"), marks, YELLOW, "text", "state", "to_ms"),
            Annotation(say("判定修订", "Revisions"), revised, UNKNOWN, factor, "state"),
            Annotation(say("告警", "Alerts"), fired, ORANGE, f"text_{language}", "level"),
        ),
    )
