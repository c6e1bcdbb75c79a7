"""Rejudging: the files it leaves, from the units that are done.

Promises: verdicts.parquet and changes.parquet are in order of date, then of rule, station, factor, limit; the same
archive and rules give the same bytes, however often a run was cut short. Memory holds one part of a file.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from contracts.frames import SCHEMA_VERSION, VERDICTS, empty
from contracts.site import Site
from store.parquet import SCHEMA_KEY, VERSION_KEY, replacing, schema_name

from ..outputs import Outputs, record_line
from ..pipeline import Episodes
from ..rule_tests.diff import ALERT_CONTENT, ALERT_KEY, Difference, differences, key_of
from .compare import CHANGES, counts
from .parts import UNFINISHED
from .rejudge import Rejudged

ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True)
class Found:
    """What a report speaks of."""

    rejudged: Rejudged
    series: pl.DataFrame  # rejudge_compare.counts
    alerts: list[Difference]
    same_alerts: int
    verdicts: Path
    changes: Path


def finish(out: Path, rejudged: Rejudged) -> Found:
    """Writes verdicts.parquet, changes.parquet and alerts.ndjson."""
    verdicts = _together(rejudged.parts.named("verdicts-*.arrow"), out / "verdicts.parquet", VERDICTS)
    changed = _together(rejudged.parts.named("changes-*.arrow"), out / "changes.parquet", CHANGES)
    alerts = Outputs(episodes=Episodes(dict(rejudged.new_alerts))).alerts()
    with replacing(out / "alerts.ndjson") as temporary:
        temporary.write_text("".join(map(record_line, alerts)), encoding="utf-8")
    sides = [_by_key(side) for side in (rejudged.old_alerts, rejudged.new_alerts)]
    differ = list(differences(sides[0], sides[1], ALERT_CONTENT))
    same = len(sides[0].keys() & sides[1].keys()) - sum(one.what == "changes" for one in differ)
    return Found(rejudged, counts(pl.scan_parquet(changed)), differ, same, verdicts, changed)


def _by_key(episodes: Mapping[str, Mapping[str, Any]]) -> dict[tuple[object, ...], Mapping[str, Any]]:
    return {key_of(one, ALERT_KEY): one for one in episodes.values()}


def _together(files: Sequence[Path], path: Path, schema: pl.Schema) -> Path:
    rows = pl.scan_ipc(list(files)) if files else empty(schema).lazy()
    metadata = {VERSION_KEY: str(SCHEMA_VERSION), SCHEMA_KEY: schema_name(schema)}
    with replacing(path) as temporary:
        rows.sink_parquet(
            temporary, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS, metadata=metadata
        )
    return path


def write_summary(out: Path, found: Found, seconds: float | None = None) -> dict[str, object]:
    """Writes summary.json; removes what was kept to go on with. seconds: of this run, not covered by the digest."""
    rejudged = found.rejudged
    totals = {what: int(found.series[what].sum()) for what in ("appears", "vanishes", "changes")}
    digests = [hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("verdicts.parquet", "alerts.ndjson")]
    alerts = Counter(one.what for one in found.alerts)
    summary: dict[str, object] = {
        "from": rejudged.from_at.isoformat(),
        "to": rejudged.to_at.isoformat(),
        "archived_at": rejudged.archived_at.isoformat(),
        "rules": [
            {"rule": rule, "from_aggregates": n, "from_readings": m, "why": list(why)}
            for rule, n, m, why in rejudged.routes.table.iter_rows()
        ],
        "verdicts": dict(sorted(rejudged.states.items())),
        "alerts": len(rejudged.new_alerts),
        "against_archive": {
            "verdicts": {"same": rejudged.same, **totals},
            "alerts": {"same": found.same_alerts, **{what: alerts[what] for what in totals}},
            "not_judged_other_unit": rejudged.other_scale,
            "archived_without_alerts": rejudged.unfolded,
        },
        "archived_rows": rejudged.rows,
        "units_done_before": rejudged.resumed,
        "digest": hashlib.sha256("\n".join(digests).encode()).hexdigest(),
    }
    if seconds is not None:
        rate = round(rejudged.rows / max(seconds, 1e-9))
        summary |= {"seconds": round(seconds, 3), "archived_rows_per_s": rate}
    with replacing(out / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(out / UNFINISHED)
    return summary


def owners(site: Site) -> dict[str, str | None]:
    """station -> enterprise."""
    of_outlet = {outlet.outlet: outlet.enterprise for outlet in site.outlets}
    return {station.station: of_outlet[station.outlet] for station in site.stations}
