"""What a centre of many points holds in memory while a day and two hours are open: pipeline, windows, alerts.

One reading a minute from every point, decoded, judged by the hour; a process of its own, so that nothing else is in the
figures. Windows older than `lateness` are put away on disk, as the engine does. Not in it: journal, span files.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.frames import INSTANT, MESSAGES
from contracts.site import Site
from contracts.topics import JOURNAL_CLOCK, STATION_JSON
from rules.ticks import SiteClock, clock_payload
from store.put_away import Folder

from ..pipeline import Pipeline, PipelineState
from .harness import Figure, Size, figure
from .workload import FACTORS, HOUR_RULE, IN_ALARM_EVERY, MINUTE, START, factor_codes, site_of

OUTLETS, STATIONS = 50, 143  # with 14 factors 100,100 points
OPEN_H, BEYOND_H = 26, 4  # hours until windows are put away, and hours after that in which nothing may grow
GIB = 2**30
PEAK_MAX_GIB, GROWTH_MAX = 2.0, 1.05
VARIANTS = 7  # of a station's values
AT_ONCE, MESSAGES_MAX = (15, 5, 1), 8_000  # minutes a step: few stations would take as many steps as many


def measure(size: Size) -> list[Figure]:
    """100,100 points for 30 hours, once: the rounds of other cases would take an hour."""
    outlets, open_h, beyond_h = size.of(OUTLETS), size.of(OPEN_H, least=2), size.of(BEYOND_H, least=1)
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
        command = [sys.executable, "-c", f"from {__name__} import main; main()"]
        command += [str(outlets), str(open_h), str(beyond_h), folder]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(made.stdout)
    by_hour = found["rss"]
    beyond = [rss / by_hour[open_h - 1] for rss in by_hour[open_h:]]
    return [
        figure("points", "points", [found["points"]]),
        figure("peak, all of the process", "GiB", [found["peak"] / GIB], ("<=", PEAK_MAX_GIB)),
        figure("by hour while windows open", "GiB", [rss / GIB for rss in by_hour[:open_h]]),
        figure(f"hours beyond, over hour {open_h}", "ratio", beyond, ("<=", GROWTH_MAX)),
        figure("before the first reading", "GiB", [found["start"] / GIB]),
        figure("a point, peak less start", "KiB", [(found["peak"] - found["start"]) / 1024 / found["points"]]),
    ]


def run(outlets: int, open_h: int, beyond_h: int, folder: Path) -> dict[str, object]:
    """Bytes: resident when the pipeline stands, after every hour, and at most."""
    site = site_of(outlets, STATIONS)
    site = site.model_copy(update={"file": site.file.model_copy(update={"lateness": timedelta(hours=open_h)})})
    pipeline = Pipeline(site, HOUR_RULE)
    state = PipelineState(SiteClock(site.file.collectors), away=Folder(folder / "away", is_kept=False))
    start, by_hour = _resident(), []
    minutes = _minutes(site, (open_h + beyond_h) * 60)
    at_once = next(n for n in AT_ONCE if n == 1 or n * len(site.stations) <= MESSAGES_MAX)
    for done in range(at_once, (open_h + beyond_h) * 60 + 1, at_once):
        pipeline.step(state, pl.concat([next(minutes) for _ in range(at_once)]))
        if done % 60 == 0:
            by_hour.append(_resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"points": len(site.points), "start": start, "rss": by_hour, "peak": peak}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _minutes(site: Site, count: int) -> Iterator[pl.DataFrame]:
    """MESSAGES minute by minute, each with its clock row; the values of a station come round."""
    codes, stations = factor_codes(FACTORS), [station.station for station in site.stations]
    topics = [STATION_JSON.format(station=station) for station in stations]
    tails = [[_values(codes, number, variant) for variant in range(VARIANTS)] for number in range(len(stations))]
    clock_topic = JOURNAL_CLOCK.format(collector=site.file.collectors[0])
    for minute in range(count):
        at = START + minute * MINUTE
        head = f'"at":"{at:%Y-%m-%dT%H:%M:%S}Z","period_s":60,"kind":"avg","readings":'
        payloads = [
            f'{{"v":1,"station":"{station}",{head}{tails[number][(number + minute) % VARIANTS]}}}'.encode()
            for number, station in enumerate(stations)
        ]
        received_at = [at + MINUTE + timedelta(microseconds=n) for n in range(len(stations))]
        yield _frame(received_at, topics, payloads, at + MINUTE + timedelta(seconds=3), clock_topic)


def _values(codes: list[str], number: int, variant: int) -> str:
    base = 600 if number % IN_ALARM_EVERY == IN_ALARM_EVERY - 1 else 100
    tenths = [base + (37 * number + 41 * variant + n) % 300 for n in range(len(codes))]
    return "{" + ",".join(f'"{code}":{value / 10}' for code, value in zip(codes, tenths, strict=True)) + "}"


def _frame(
    received_at: list[datetime], topics: list[str], payloads: list[bytes], clock_at: datetime, clock_topic: str
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "received_at": pl.Series([*received_at, clock_at], dtype=INSTANT),
            "source": ["mqtt"] * (len(topics) + 1),
            "topic": [*topics, clock_topic],
            "payload": pl.Series([*payloads, clock_payload(clock_at)], dtype=pl.Binary),
        },
        schema=MESSAGES,
    )


def main() -> None:
    outlets, open_h, beyond_h, folder = sys.argv[1:]
    print(json.dumps(run(int(outlets), int(open_h), int(beyond_h), Path(folder))))
