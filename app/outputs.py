"""The files a replay leaves and a running system exports. One function writes them: equal content is equal bytes."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from contracts.frames import AGGREGATES, VERDICTS
from contracts.ports import Notification
from store.archive import AGGREGATE_KEY, VERDICT_KEY
from store.parquet import content_digest, write_parquet

from .pipeline import Episodes, Span

AGGREGATE_ORDER = [*AGGREGATE_KEY, "revision"]
VERDICT_ORDER = [*VERDICT_KEY, "revision"]


@dataclass
class Outputs:
    """Everything decided, gathered span by span."""

    aggregates: list[pl.DataFrame] = field(default_factory=list)
    verdicts: list[pl.DataFrame] = field(default_factory=list)
    episodes: Episodes = field(default_factory=Episodes)
    rejects: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    notifications: list[str] = field(default_factory=list)  # a line each
    cases: dict[str, dict[str, object]] = field(default_factory=dict)  # by name, as each stands

    def add(
        self,
        aggregates: pl.DataFrame,
        verdicts: pl.DataFrame,
        rejects: pl.DataFrame,
        transitions: list[dict[str, object]],
        counts: dict[str, int],
        notifications: Sequence[Notification] = (),
        cases: Iterable[Mapping[str, object]] = (),
    ) -> None:
        """cases: records as their events leave them, in order."""
        if not aggregates.is_empty():
            self.aggregates.append(aggregates)
        if not verdicts.is_empty():
            self.verdicts.append(verdicts)
        self.rejects.update(dict(rejects["reason"].value_counts().iter_rows()))
        self.counts.update(counts)
        self.episodes.apply(transitions)
        self.notifications += [notification_line(one) for one in notifications]
        self.cases.update((str(record["id"]), dict(record)) for record in cases)

    def add_span(self, span: Span) -> None:
        cases = [row.record for row in span.cases.rows]
        self.add(span.aggregates, span.verdicts, span.rejects, span.transitions, span.counts, span.notifications, cases)

    def write(self, out: Path, seconds: float | None = None) -> dict[str, object]:
        """Writes aggregates, verdicts (.parquet), alerts, notifications, cases (.ndjson) and the summary: returned too.

        seconds: how long it took; only a run that measured it says so, and the digest does not cover it.
        """
        out.mkdir(parents=True, exist_ok=True)
        aggregates = _all(self.aggregates, AGGREGATES)
        verdicts = _all(self.verdicts, VERDICTS)
        write_parquet(aggregates, out / "aggregates.parquet", AGGREGATE_ORDER, AGGREGATES)
        write_parquet(verdicts, out / "verdicts.parquet", VERDICT_ORDER, VERDICTS)
        alerts = "".join(record_line(episode) for episode in self.alerts())
        (out / "alerts.ndjson").write_text(alerts, encoding="utf-8")
        notifications = "".join(self.notifications)
        (out / "notifications.ndjson").write_text(notifications, encoding="utf-8")
        cases = "".join(record_line(case) for case in _by_opening(self.cases.values()))
        (out / "cases.ndjson").write_text(cases, encoding="utf-8")
        parts = [
            content_digest(aggregates, AGGREGATE_ORDER),
            content_digest(verdicts, VERDICT_ORDER),
            alerts,
            notifications,
            cases,
        ]
        summary: dict[str, object] = {
            "messages": self.counts["messages"],
            "readings": self.counts["readings"],
            "rejects": dict(sorted(self.rejects.items())),
            "events": self.counts["events"],
            "duplicates": self.counts["duplicates"],
            "rewritten": self.counts["rewritten"],
            "late": self.counts["late"],
            "from_archive": self.counts["from_archive"],
            "beyond_max_age": self.counts["beyond_max_age"],
            "windows": dict(sorted(aggregates["period"].value_counts().iter_rows())),
            "verdicts": dict(sorted(verdicts["state"].value_counts().iter_rows())),
            "alerts": len(self.episodes.by_id),
            "notifications": len(self.notifications),
            "cases": len(self.cases),
            "digest": hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        }
        if seconds is not None:
            summary |= {
                "seconds": round(seconds, 3),
                "readings_per_s": round(self.counts["readings"] / max(seconds, 1e-9)),
            }
        (out / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        return summary

    def alerts(self) -> Iterable[dict[str, object]]:
        return _by_opening(self.episodes.by_id.values())


def _by_opening(records: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(records, key=lambda record: (str(record["opened_at"]), str(record["id"])))


def record_line(episode: dict[str, object]) -> str:
    return json.dumps(episode, ensure_ascii=False, sort_keys=True) + "\n"


def notification_line(told: Notification) -> str:
    """What was to be sent: `key`, `channel` and its body, in the order in which it was decided."""
    row = {"key": told.key, "channel": told.channel, "body": told.body}
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"


def _all(frames: list[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
