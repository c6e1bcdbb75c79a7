"""Pipeline health: does everything run, and how far is each part behind?"""

from ..board import Board, Panel, Target
from ..look import ORANGE, RED, WELL, YELLOW, Language, say_in
from ..query import Column, Query


def pipeline(language: Language) -> Board:
    say = say_in(language)
    no_pulse = say("空:写入进程没有心跳。", "Empty: the writer has no pulse.")

    def now(id_: int, field: str, title: str, about: str, steps, unit: str = "short") -> Panel:
        return Panel(
            id_,
            "stat",
            title,
            about,
            no_pulse,
            (Target(Query("raw", "health", (Column(field, "last"),))),),
            unit=unit,
            steps=steps,
            decimals=0,
            no_value=say("无心跳", "no pulse"),
        )

    def over(
        id_: int, measurement: str, columns: dict[str, str], every: str, title: str, about: str, empty: str
    ) -> Panel:
        made = tuple(Column(name, how) for name, how in columns.items())
        return Panel(
            id_,
            "timeseries",
            title,
            about,
            empty,
            (Target(Query("raw", measurement, made, every=every), "$col"),),
            unit="short",
            minimum=0,
            is_bars=measurement == "pipeline",
        )

    behind = ((None, WELL), (100, YELLOW), (1000, RED))
    spans = say("落后的数据段数。", "Spans it has not finished.")
    nothing = say("空:该范围内没有提交任何数据段。", "Empty: nothing was committed in the range.")
    counts = {"messages": "sum", "readings": "sum", "rejects": "sum"}
    late = {"late": "sum", "duplicates": "sum", "rewritten": "sum"}
    parts = {"archive_behind": "max", "influxdb_behind": "max"}
    outbox = {"outbox_pending": "max", "outbox_refused": "max", "outbox_gave_up": "max"}
    rejects = Panel(
        9,
        "timeseries",
        say("拒收原因", "Rejects by reason"),
        say("每5分钟拒收数,按原因。", "Rejects of five minutes by reason."),
        say("空:范围内没有拒收。", "Empty: nothing was rejected in the range."),
        (Target(Query("raw", "reject", (Column("n", "sum"),), (), ("reason",), "5m"), "$tag_reason"),),
        unit="short",
        minimum=0,
        is_bars=True,
    )
    return Board(
        "pipeline",
        say("系统运行", "Pipeline health"),
        say("采集、判定、存储、通知是否都在运行。", "Whether collecting, deciding, storing and telling all run."),
        (
            (
                4,
                (
                    (
                        4,
                        now(
                            1,
                            "clock_age_s",
                            say("判定时钟滞后", "Age of the decisions"),
                            say("站点时钟落后于现在多少。", "How far the site's clock is behind now."),
                            ((None, WELL), (60, YELLOW), (300, RED)),
                            "s",
                        ),
                    ),
                    (4, now(2, "archive_behind", say("归档落后", "Archive behind"), spans, behind)),
                    (4, now(3, "influxdb_behind", say("InfluxDB 落后", "InfluxDB behind"), spans, behind)),
                    (
                        4,
                        now(
                            4,
                            "outbox_pending",
                            say("待发通知", "Notifications waiting"),
                            say("尚未送达的通知。", "Notifications not yet delivered."),
                            ((None, WELL), (10, YELLOW), (100, ORANGE)),
                        ),
                    ),
                    (
                        4,
                        now(
                            5,
                            "outbox_gave_up",
                            say("放弃的通知", "Notifications given up"),
                            say("多次失败后放弃的通知。", "Given up after many failures: tell those concerned."),
                            ((None, WELL), (1, RED)),
                        ),
                    ),
                    (
                        4,
                        now(
                            6,
                            "dead_lines",
                            say("被拒写入行", "Lines refused"),
                            say(
                                "本次启动以来 InfluxDB 拒绝的行,见 deadletter.ndjson。",
                                "Refused by InfluxDB since its start: see deadletter.ndjson.",
                            ),
                            ((None, WELL), (1, RED)),
                        ),
                    ),
                ),
            ),
            (
                8,
                (
                    (
                        12,
                        over(
                            7,
                            "pipeline",
                            counts,
                            "5m",
                            say("吞吐", "Throughput"),
                            say(
                                "每5分钟判定的报文、数据和拒收。",
                                "Messages, readings and rejects decided in five minutes.",
                            ),
                            nothing,
                        ),
                    ),
                    (
                        12,
                        over(
                            8,
                            "pipeline",
                            late,
                            "5m",
                            say("迟到、重复与改写", "Late, duplicate, rewritten"),
                            say(
                                "每5分钟判定后才到、重复、被改写的数据。",
                                "Readings that came after the decision, twice, or with another value.",
                            ),
                            nothing,
                        ),
                    ),
                ),
            ),
            (
                8,
                (
                    (8, rejects),
                    (
                        8,
                        over(
                            10,
                            "health",
                            parts,
                            "1m",
                            say("落后的数据段", "Spans behind"),
                            say("归档和 InfluxDB 各落后多少。", "How far archive and InfluxDB are behind."),
                            no_pulse,
                        ),
                    ),
                    (
                        8,
                        over(
                            11,
                            "health",
                            outbox,
                            "1m",
                            say("通知队列", "Notifications"),
                            say("待发、被拒、放弃的通知。", "Waiting, refused, given up."),
                            no_pulse,
                        ),
                    ),
                ),
            ),
        ),
        range=("now-6h", "now"),
        refresh="10s",
    )
