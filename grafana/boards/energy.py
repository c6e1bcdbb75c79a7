"""Energy: power, and what the meters' registers went up by, in kWh and in kilograms of coal equivalent."""

from ..board import CHOSEN, Board, Panel, Target, variables
from ..look import Language, say_in
from ..query import Column, Query, Where

KGCE_PER_KWH = 0.1229  # GB/T 2589-2020, Table A.1: electricity, by its heat (当量值)
REGISTERS = (*CHOSEN, Where("unit", "=", "kWh"), Where("reason", "=", ""))
POWER = (*CHOSEN, Where("unit", "=", "kW"), Where("reason", "=", ""))


def energy(language: Language) -> Board:
    say = say_in(language)
    place, factor = f"place_{language}", f"factor_{language}"
    resets = say(
        "表计复位或换表的一段不计。示值按小时取最大。",
        "The step in which a register is reset or swapped is left out. Of each hour the highest reading counts.",
    )
    none = say("空:所选范围内没有电量表,或只有一个示值。", "Empty: no register was read in the range, or only once.")

    def used(every: str, name: str, times: float = 1.0) -> Query:
        step = Column("max", "max", name, times=times, is_difference=True)
        return Query("hour", "aggregate", (step,), REGISTERS, ("enterprise", "station", place), every)

    def bars(id_: int, title: str, about: str, query: Query, unit: str = "kwatth") -> Panel:
        targets = (Target(query, f"$tag_{place}"),)
        return Panel(id_, "timeseries", title, about, none, targets, unit=unit, minimum=0, is_bars=True)

    power = Query("hour", "aggregate", (Column("mean", "mean"),), POWER, (place, factor), "1h", "null")
    peaks = Query("hour", "aggregate", (Column("max", "max", "peak"),), POWER, (place, factor))
    return Board(
        "energy",
        say("能耗", "Energy"),
        say("用了多少电、什么时候、谁用的。", "How much electricity was used, when, and by whom."),
        (
            (
                9,
                (
                    (
                        16,
                        Panel(
                            1,
                            "timeseries",
                            say("功率", "Power"),
                            say("小时平均功率。", "Mean power by the hour."),
                            say("空:该范围内没有有效功率。", "Empty: no hour of power in the range was valid."),
                            (Target(power, f"$tag_{place} $tag_{factor}"),),
                            unit="kwatt",
                            minimum=0,
                        ),
                    ),
                    (
                        8,
                        Panel(
                            2,
                            "bargauge",
                            say("最大功率", "Highest power"),
                            say("范围内的最大读数。", "The highest reading of the range."),
                            say("空:该范围内没有有效功率。", "Empty: no hour of power in the range was valid."),
                            (Target(peaks),),
                            unit="kwatt",
                            minimum=0,
                            sort_by="peak",
                            limit=12,
                            columns=((place, say("排口", "Meter")), (factor, say("因子", "Factor")), ("peak", "kW")),
                        ),
                    ),
                ),
            ),
            (
                9,
                (
                    (
                        12,
                        bars(
                            3,
                            say("每小时用电量", "Consumption by the hour"),
                            say("电量表示值的小时增量。", "What each register went up by in an hour.") + resets,
                            used("1h", "kWh"),
                        ),
                    ),
                    (
                        12,
                        bars(
                            4,
                            say("每日用电量", "Consumption by day"),
                            say("电量表示值的自然日增量。", "What each register went up by in a civil day.") + resets,
                            used("1d", "kWh"),
                        ),
                    ),
                ),
            ),
            (
                9,
                (
                    (
                        12,
                        bars(
                            5,
                            say("每日折标煤(当量值)", "Coal equivalent by day"),
                            say(
                                f"用电量乘 {KGCE_PER_KWH} kgce/kWh(GB/T 2589-2020 当量值)。",
                                f"Consumption times {KGCE_PER_KWH} kgce/kWh (GB/T 2589-2020, by heat).",
                            ),
                            used("1d", "kgce", KGCE_PER_KWH),
                            "suffix: kgce",
                        ),
                    ),
                    (
                        12,
                        Panel(
                            6,
                            "table",
                            say("企业与表计每日用电", "By enterprise, meter and day"),
                            say("每个企业的每块表每日用电量。", "Consumption of each enterprise's meters by day.")
                            + resets,
                            none,
                            (Target(used("1d", "kWh")),),
                            columns=(
                                ("Time", say("日期", "Day")),
                                ("enterprise", say("企业", "Enterprise")),
                                ("station", say("表计", "Meter")),
                                (place, say("位置", "Where")),
                                ("kWh", "kWh"),
                            ),
                            units={"kWh": "kwatth"},
                        ),
                    ),
                ),
            ),
        ),
        variables(say, language, "county", "park", "enterprise", "station"),
        range=("now-7d", "now"),
        refresh="1m",
    )
