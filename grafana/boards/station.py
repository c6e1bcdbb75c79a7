"""Station detail: one station's samples, means, marks, verdicts and alerts."""

from ..board import OF_FACTOR, OF_STATION, Annotation, Board, Panel, Target, variables
from ..look import REASONS, SEVERITIES, SEVERITY_STEPS, STATES, YELLOW, Language, mapped, say_in
from ..query import AUTO, Column, Query, Where

WHERE = (*OF_STATION, *OF_FACTOR)
VALID = (*WHERE, Where("reason", "=", ""))


def station(language: Language) -> Board:
    say = say_in(language)
    factor, text = f"factor_{language}", f"text_{language}"
    columns = (Column("valid_n", "last"), *(Column(name) for name in ("mean", "reason", "expected_n", "revision")))
    newest = Panel(
        1,
        "table",
        say("最近一小时", "The newest hour"),
        say("各因子最近一小时的均值、有效个数和原因。", "Of each factor the newest hour: mean, valid data, reason."),
        say("空:该范围内没有已判定的小时。", "Empty: no hour of the range has been decided."),
        (Target(Query("hour", "aggregate", columns, WHERE, ("station", "factor", factor, "unit"))),),
        columns=(
            ("Time", say("小时", "Hour")),
            (factor, say("因子", "Factor")),
            ("mean", say("均值", "Mean")),
            ("unit", say("单位", "Unit")),
            ("valid_n", say("有效", "Valid")),
            ("expected_n", say("应有", "Expected")),
            ("reason", say("原因", "Reason")),
            ("revision", say("版次", "Revision")),
        ),
        mapped={"reason": mapped(REASONS, say)},
    )
    samples = Panel(
        2,
        "timeseries",
        say("原始数据", "Samples"),
        say(
            "收到的数据,按面板宽度取均值;“种类”是报文中的类型(rtd 实时,avg 均值,zs_ 折算)。",
            "Data as received, averaged to the panel's width; the kind is the message's (rtd, avg, zs_: converted).",
        ),
        say("空:没有收到数据,或已超过保留期限。", "Empty: nothing came, or the samples are older than they are kept."),
        (
            Target(
                Query(
                    "raw", "reading", (Column("value", "mean"),), WHERE, ("factor", "kind", "period_s"), AUTO, "none"
                ),
                "$tag_factor $tag_kind $tag_period_s",
            ),
        ),
        unit="short",
    )
    marks = Panel(
        3,
        "state-timeline",
        say("设备数据标记", "Marks sent by the device"),
        say(
            "每5分钟最后一个数据标记(N 正常,C 校准,M 维护,D 故障等)。",
            "The last mark of five minutes (N valid, C calibration, M maintenance, D fault, ...).",
        ),
        say("空:没有收到数据,或设备不发送标记。", "Empty: nothing came, or the device sends no marks."),
        (
            Target(
                Query(
                    "raw",
                    "reading",
                    (Column("mark", "last"),),
                    (*WHERE, Where("mark", "!=", "")),
                    ("station", "factor", "kind", "period_s"),
                    "5m",
                    "null",
                ),
                "$tag_factor $tag_kind",
            ),
        ),
    )
    means = Panel(
        4,
        "timeseries",
        say("小时均值", "Hour means"),
        say("有效的小时均值。", "Hours that were valid."),
        say("空:该范围内没有有效小时。", "Empty: no hour of the range was valid."),
        (
            Target(
                Query("hour", "aggregate", (Column("mean", "mean"),), VALID, (factor, "unit"), "1h", "null"),
                f"$tag_{factor} $tag_unit",
            ),
        ),
        unit="short",
    )
    days = Panel(
        5,
        "timeseries",
        say("日均值", "Day means"),
        say("有效的自然日均值。", "Civil days that were valid."),
        say("空:该范围内没有有效的完整一天。", "Empty: no whole day of the range was valid."),
        (
            Target(
                Query(
                    "day",
                    "aggregate",
                    (Column("mean", "mean"),),
                    (*VALID, Where("period", "=", "day")),
                    (factor, "unit"),
                    "1d",
                    "null",
                ),
                f"$tag_{factor} $tag_unit",
            ),
        ),
        unit="short",
        is_bars=True,
    )
    verdicts = Panel(
        6,
        "state-timeline",
        say("每小时判定", "Verdicts by the hour"),
        say("每条规则和因子每小时最严重的判定。", "The hour's worst verdict of each rule and factor."),
        say("空:该范围内没有小时判定。", "Empty: no hour of the range has been judged."),
        (
            Target(
                Query("hour", "verdict", (Column("severity", "max"),), WHERE, (factor, "rule"), "1h", "null"),
                f"$tag_{factor} $tag_rule",
            ),
        ),
        mappings=mapped(SEVERITIES, say),
        steps=SEVERITY_STEPS,
    )
    listed = tuple(Column(name) for name in ("severity", "state", text))
    alerts = Panel(
        7,
        "table",
        say("本站告警", "Alerts of this station"),
        say("范围内开始的告警。", "Alerts that began in the range."),
        say("空:该范围内没有告警开始。", "Empty: no alert began in the range."),
        (Target(Query("events", "alert", listed, OF_STATION, newest_first=200)),),
        columns=(
            ("Time", say("开始", "Since")),
            ("severity", say("级别", "Level")),
            ("state", say("状态", "State")),
            (text, say("内容", "What")),
        ),
        mapped={"severity": mapped(SEVERITIES, say), "state": mapped(STATES, say)},
    )
    said = Query("events", "mark", tuple(Column(name) for name in ("text", "state", "to_ms")), OF_STATION)
    return Board(
        "station",
        say("站点详情", "Station detail"),
        say(
            "一个站点的全部:样本、均值、标记、判定、告警。",
            "All of one station: samples, means, marks, verdicts, alerts.",
        ),
        (
            (9, ((10, newest), (14, samples))),
            (8, ((12, means), (12, days))),
            (8, ((12, marks), (12, verdicts))),
            (8, ((24, alerts),)),
        ),
        variables(say, language, "station", "factor", single="station"),
        (Annotation(say("标记、停运与质控", "Marks, stops, checks"), said, YELLOW, "text", "state", "to_ms"),),
    )
