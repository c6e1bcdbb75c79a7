"""Everything a centre kept, held against what was acknowledged, delivered, and decided by an uninterrupted replay.

Promises: reads only, and the ledger's arithmetic is its own: it shares no code with the windows it checks.
Does not promise to say what went wrong: it names the first message, row or notification that differs.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.frames import INSTANT
from contracts.instants import EPOCH, epoch_us
from contracts.ports import Notification
from contracts.reasons import Receipt
from contracts.site import Influx, Site
from rules.spec import Rule
from rules.ticks import SiteClock
from store.archive import AGGREGATE_KEY, TABLES, VERDICT_KEY, latest_revisions, read_archive
from store.state_db import SpanRow, StateDb

from ...evidence.state import Committed, StateEvidence
from ...evidence.verify import Broken, NoSite, verify
from ...feeds.record import record
from ...influx.gaps import GAPS
from ...influx.part import DEAD_LETTERS
from ...outputs import Outputs
from ...pipeline import Pipeline, PipelineState, Span
from ...replay import STEP_ROWS, cut
from ...service.recovery import DIFFERENCES
from . import reconcile_influx
from .ledger import Said
from .made_site import FACTORS
from .receiver import Delivery
from .report import Check

HOUR_HOLD = timedelta(hours=1, minutes=6)  # an hour, what its decision waits for, and a little


@dataclass(frozen=True)
class Outcome:
    """What is left when all is over."""

    state_dir: Path
    site: Site
    rules: list[Rule]
    said: Sequence[Said]  # what the broker acknowledged, in the order it was published
    deliveries: Sequence[Delivery]
    sender_kills: int
    influx: Influx | None


@dataclass(frozen=True)
class _Kept:
    """Read from the state directory."""

    journal: pl.DataFrame  # MESSAGES
    last: SpanRow
    archive: dict[str, pl.DataFrame]
    state: Committed


@dataclass(frozen=True)
class _Derived:
    """Decided again from the journal, in one go."""

    tables: dict[str, pl.DataFrame]
    transitions: list[dict[str, object]]
    outputs: Outputs
    notifications: list[Notification]


def reconcile(outcome: Outcome) -> list[Check]:
    kept = _read(outcome.state_dir)
    decided = kept.journal.filter(pl.col("received_at") <= _at(kept.last.journal_to))
    derived = _derive(outcome.site, outcome.rules, decided)
    checks: list[Callable[[], Check]] = [
        lambda: _acknowledged(outcome, decided),
        lambda: _invented(outcome, kept.journal),
        lambda: _same_rows("archived readings, the journal's", kept, derived, ("readings", "rejects", "events")),
        lambda: _minutes(outcome, kept),
        lambda: _hours(outcome, kept),
        lambda: _unique_verdicts(kept),
        lambda: _same_bytes(kept, derived),
        lambda: _transitions(kept, derived),
        lambda: _notifications(outcome, kept, derived),
        lambda: _deliveries(outcome),
        lambda: _receipts(kept),
        lambda: _set_aside(outcome.state_dir),
    ]
    if outcome.influx is not None:
        influx = outcome.influx
        checks.append(lambda: reconcile_influx.check(influx, kept.archive))
    return [*(check() for check in checks), _verify(outcome.state_dir)]


def _read(state_dir: Path) -> _Kept:
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span()
    if last is None:
        raise ValueError(f"{state_dir}: nothing was decided")
    state = StateEvidence(state_dir)
    try:
        committed = state.read()
    finally:
        state.close()
    archive = {name: read_archive(state_dir / "archive", name).collect() for name in TABLES}
    return _Kept(pl.concat(record(state_dir).values()), last, archive, committed)


def _derive(site: Site, rules: list[Rule], feed: pl.DataFrame) -> _Derived:
    pipeline, outputs = Pipeline(site, rules), Outputs()
    state = PipelineState(SiteClock(site.file.collectors))
    spans: list[Span] = []
    for messages in cut(feed.sort("received_at", "source", "topic", "payload"), STEP_ROWS):
        span = pipeline.step(state, messages)
        outputs.add_span(span)
        spans.append(span)
    tables = {name: pl.concat([getattr(span, name) for span in spans]) for name in TABLES}
    transitions = [row for span in spans for row in span.transitions]
    return _Derived(tables, transitions, outputs, [one for span in spans for one in span.notifications])


# --- messages


def _acknowledged(outcome: Outcome, decided: pl.DataFrame) -> Check:
    there = set(decided.select("topic", "payload").iter_rows())
    missing = [said for said in outcome.said if (said.topic, said.payload) not in there]
    return Check(
        "acknowledged messages, in the journal",
        f"{len(outcome.said):,}, {len(missing)} lost",
        None if not missing else f"{missing[0].topic} {missing[0].payload.decode()} is not in the journal",
    )


def _invented(outcome: Outcome, journal: pl.DataFrame) -> Check:
    """What was published and never acknowledged there is none of: the broker does not die here."""
    said = {(one.topic, one.payload) for one in outcome.said}
    rows = journal.filter(~pl.col("topic").str.starts_with("$")).select("topic", "payload")
    strange = [row for row in rows.iter_rows() if row not in said]
    repeats = rows.height - rows.unique().height
    figure = f"{rows.height:,}, {repeats} came again"
    difference = None if not strange else f"nobody published {strange[0][0]} {strange[0][1]!r}"
    return Check("messages of the journal, acknowledged", figure, difference)


# --- readings and windows


def _same_rows(name: str, kept: _Kept, derived: _Derived, tables: Sequence[str]) -> Check:
    rows, difference = 0, None
    for table in tables:
        found, expected = kept.archive[table], derived.tables[table]
        rows += found.height
        difference = difference or first_difference(table, found, expected)
    return Check(name, f"{rows:,} rows", difference)


def first_difference(table: str, found: pl.DataFrame, expected: pl.DataFrame) -> str | None:
    """The first row there are more or fewer of than there should be, as bags of rows."""
    columns = expected.columns
    bags = [frame.select(columns).group_by(columns).len("n") for frame in (found, expected)]
    for here, there, what in ((bags[1], bags[0], "lacks"), (bags[0], bags[1], "holds, too often or wrongly,")):
        odd = here.join(there, on=[*columns, "n"], how="anti", nulls_equal=True)
        if odd.height:
            row = odd.sort(TABLES[table].sort_by).row(0, named=True)
            return f"{table} {what} {_key(row, TABLES[table].sort_by)} ({odd.height} such rows)"
    return None


def _key(row: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_text(row[name])}" for name in names)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _ledger(outcome: Outcome) -> pl.DataFrame:
    """station, factor, minute_at, tenths: of several sayings of a minute the last one counts."""
    latest = {(said.station, said.minute_at): said.tenths for said in outcome.said if said.tenths}
    rows = [(*key, factor, tenths[factor]) for key, tenths in latest.items() for factor in FACTORS]
    schema = {"station": pl.String, "minute_at": INSTANT, "factor": pl.String, "tenths": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _minutes(outcome: Outcome, kept: _Kept) -> Check:
    expected = _ledger(outcome).select("station", "factor", pl.col("minute_at").alias("window_at"), "tenths", n=1)
    return _windows("minutes, each acknowledged value once", "minute", kept, expected, None)


def _hours(outcome: Outcome, kept: _Kept) -> Check:
    decided_to = _at(kept.last.clock_to or 0) - HOUR_HOLD
    expected = (
        _ledger(outcome)
        .group_by("station", "factor", window_at=pl.col("minute_at").dt.truncate("1h"))
        .agg(tenths=pl.col("tenths").sum(), n=pl.len())
    )
    return _windows("hours, their acknowledged values once", "hour", kept, expected, decided_to)


def _windows(name: str, period: str, kept: _Kept, expected: pl.DataFrame, upto: datetime | None) -> Check:
    """expected: station, factor, window_at, tenths, n. upto: windows that begin later may not be decided yet."""
    windows = kept.archive["aggregates"].lazy().filter(pl.col("period") == period)
    found = (
        latest_revisions(windows, AGGREGATE_KEY)
        .filter(pl.col("present_n") > 0)
        .select("station", "factor", "window_at", "valid_n", "sum_scaled", "decimals")
        .collect()
    )
    if upto is not None:
        found, expected = (frame.filter(pl.col("window_at") <= upto) for frame in (found, expected))
    both = expected.join(found, on=["station", "factor", "window_at"], how="full", coalesce=True)
    tenth = pl.lit(10).cast(pl.Int128).pow(pl.col("decimals").cast(pl.UInt32) - 1)
    is_same = (pl.col("n") == pl.col("valid_n")) & (pl.col("tenths") * tenth == pl.col("sum_scaled"))
    odd = both.filter(~is_same.fill_null(value=False)).sort("window_at", "station", "factor")
    difference = None
    if odd.height:
        row = odd.row(0, named=True)
        difference = (
            f"{period} {_text(row['window_at'])} of {row['station']} {row['factor']}: {row['n']} values of together "
            f"{row['tenths']} tenths were acknowledged; the window counts {row['valid_n']}, {row['sum_scaled']} "
            f"in {row['decimals']} decimals ({odd.height} such windows)"
        )
    return Check(name, f"{expected.height:,} windows", difference)


# --- decisions


def _unique_verdicts(kept: _Kept) -> Check:
    key = [*VERDICT_KEY, "revision"]
    verdicts = kept.archive["verdicts"]
    twice = verdicts.filter(pl.struct(key).is_duplicated()).sort(key)
    difference = None if twice.is_empty() else f"twice: {_key(twice.row(0, named=True), key)}"
    return Check("verdict keys, no revision twice", f"{verdicts.height:,} verdicts", difference)


def _same_bytes(kept: _Kept, derived: _Derived) -> Check:
    """The archive's aggregates and verdicts, and the alerts the transitions leave, as files; against a replay's."""
    live = Outputs(aggregates=[kept.archive["aggregates"]], verdicts=[kept.archive["verdicts"]])
    live.episodes.apply(_committed_transitions(kept))
    difference, alerts = None, len(live.episodes.by_id)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "live", Path(folder) / "replayed"
        live.write(ours)
        derived.outputs.write(theirs)
        for name in ("aggregates.parquet", "verdicts.parquet", "alerts.ndjson"):
            if (ours / name).read_bytes() != (theirs / name).read_bytes():
                table = name.partition(".")[0]
                about = None
                if table in TABLES:
                    about = first_difference(table, kept.archive[table], derived.tables[table])
                difference = difference or f"{name} is not the replay's, byte for byte: {about or 'see the alerts'}"
    figure = f"{kept.archive['aggregates'].height:,} windows, {alerts:,} alerts"
    return Check("outputs, equal in bytes to a replay's", figure, difference)


def _committed_transitions(kept: _Kept) -> list[dict[str, object]]:
    return [
        {"tick": row["tick"], "transition": row["transition"], "episode": json.loads(str(row["body"]))}
        for row in kept.state.transitions
    ]


def _transitions(kept: _Kept, derived: _Derived) -> Check:
    ours = [(row["tick"], row["transition"], row["episode"]) for row in _committed_transitions(kept)]
    theirs = [(epoch_us(row["tick"]), row["transition"], row["episode"]) for row in derived.transitions]  # type: ignore[arg-type]
    difference = None
    if ours != theirs:
        pairs = enumerate(zip(ours, theirs, strict=False), 1)
        place = next((n for n, (here, there) in pairs if here != there), min(len(ours), len(theirs)) + 1)
        difference = f"transition {place} of {len(ours)} is not the replay's ({len(theirs)} there)"
    return Check("alert transitions, the replay's in order", f"{len(ours):,}", difference)


# --- notifications


def _notifications(outcome: Outcome, kept: _Kept, derived: _Derived) -> Check:
    """What the replay tells whom, against the outbox and what the receiver got."""
    expected = {(made.key, made.channel): made.body for made in derived.notifications}
    outbox = {(row["key"], row["channel"]): row["state"] for row in kept.state.outbox}
    got = {(one.key, one.channel): json.loads(one.body) for one in outcome.deliveries}
    difference = None
    for about, body in expected.items():
        if about not in outbox:
            difference = f"{about[0]} to {about[1]} was decided and is not in the outbox"
        elif about not in got:
            difference = f"{about[0]} to {about[1]} was decided and never arrived ({outbox[about]} in the outbox)"
        elif got[about] != json.loads(json.dumps(body)):
            difference = f"{about[0]} to {about[1]} arrived with another content than was decided"
        elif outbox[about] != Receipt.DELIVERED:
            difference = f"{about[0]} to {about[1]} arrived and is {outbox[about]} in the outbox"
        if difference:
            break
    if difference is None and (more := sorted({*outbox, *got} - set(expected))):
        difference = f"{more[0][0]} to {more[0][1]} was never decided"
    return Check("notifications decided, delivered", f"{len(expected):,}", difference)


def _deliveries(outcome: Outcome) -> Check:
    """A delivery whose sender died before its receipt comes again: same key, same bytes, one a channel and kill."""
    bodies: dict[tuple[str, str], set[bytes]] = {}
    for one in outcome.deliveries:
        bodies.setdefault((one.key, one.channel), set()).add(one.body)
    again = Counter(one.channel for one in outcome.deliveries) - Counter(channel for _, channel in bodies)
    odd = [about for about, several in bodies.items() if len(several) > 1]
    difference = None
    if odd:
        difference = f"{odd[0][0]} to {odd[0][1]} came again with another content"
    elif over := [channel for channel, n in again.items() if n > outcome.sender_kills]:
        said = f"{again[over[0]]} deliveries too many to {over[0]}"
        difference = f"{said}, of only {outcome.sender_kills} kills of the senders"
    about = f"{again.total()} again, {outcome.sender_kills} kills"
    return Check("deliveries, again only after a kill", about, difference)


def _receipts(kept: _Kept) -> Check:
    delivered = Counter(
        (row["key"], row["channel"]) for row in kept.state.receipts if row["outcome"] == Receipt.DELIVERED
    )
    difference = None
    for row in kept.state.outbox:
        n = delivered[(row["key"], row["channel"])]
        if n != 1:
            difference = f"{row['key']} to {row['channel']} has {n} receipts of its delivery"
            break
    return Check("receipts, one a notification", f"{len(kept.state.receipts):,}", difference)


# --- the evidence as a whole


def _set_aside(state_dir: Path) -> Check:
    """What parts write down for people to look at. No process but the killed one did anything wrong: nothing."""
    names = (DIFFERENCES, GAPS, DEAD_LETTERS)
    lines = [(name, line) for name in names for line in _lines(state_dir / name)]
    difference = f"{lines[0][0]}: {lines[0][1]}" if lines else None
    return Check("recoveries that differ, gaps, dead letters", f"{len(lines)}", difference)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _verify(state_dir: Path) -> Check:
    try:
        found = verify(state_dir)
    except (Broken, NoSite) as error:
        return Check("greenisland verify", "broken", str(error))
    sealed = sum(1 for _ in (state_dir / "raw").glob("*/raw-*.parquet"))
    return Check("greenisland verify", f"{found.spans:,} spans, {sealed} sealed segments")


def _at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
