"""Checkpoints: what the pipeline remembers, as one file, so that recovery need not read the whole journal.

Promises: a state read back decides exactly as the one that was written; a damaged or foreign checkpoint is not used.
Does not promise to be there: without one, recovery reads the journal from its beginning.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from contracts.frames import MESSAGES
from contracts.ports import PutAway
from notify.cases.state import CasesState
from notify.cases.state import from_json as cases_of
from notify.cases.state import to_json as cases_json
from notify.telling.state import TellState, from_json, to_json
from rules.alerts.episodes import Machine
from rules.alerts.update import AlertState
from rules.alerts.verdict_past import Borders
from rules.carried import CARRIED_BINDINGS, CARRIED_POINTS, Carried, Turn
from rules.facts.marked import no_effects
from rules.ticks import SiteClock
from rules.windows.advance import WindowState
from rules.windows.put_away import InMemory, Shelf
from rules.windows.samples import SAMPLES
from rules.windows.store import ROWS, WindowStore
from store.parquet import TEMPORARY, make_directory, unlink_durably
from store.spans import SpanDamaged, read_span, write_span

from ..pipeline import PipelineState

log = logging.getLogger(__name__)

CHECKPOINT_VERSION = 8  # raised when what the pipeline remembers changes its shape: an older one is not used
KEPT = 2
PUT_AWAY = "put_away"
SUFFIX = ".checkpoint"


class _Rest(msgspec.Struct, frozen=True):
    """Everything that is not a frame."""

    version: int
    made_for: str  # fingerprint of the site and rules it was decided by
    journal_to_us: int
    clock: SiteClock
    start_at: datetime | None
    tick: datetime | None
    machines: dict[int, Machine]
    borders: Borders
    site: str | None = None  # name of the site it is of
    turns: tuple[Turn, ...] = ()  # of what it carries from the sites before; empty: there was none
    kept_from: datetime | None = None
    ended: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Checkpoint:
    journal_to_us: int  # the journal up to here is in the state
    state: PipelineState


def fingerprint(*parts: object) -> str:
    """Of what a state depends on: site, rules, plan. A state of another one must not be gone on with."""
    return hashlib.sha256("\x1e".join(map(repr, parts)).encode()).hexdigest()


def write_checkpoint(directory: Path, made_for: str, journal_to_us: int, state: PipelineState) -> Path:
    """Writes the state durably and removes all but the latest checkpoints."""
    make_directory(directory)
    windows = state.windows
    store = windows.store if windows else WindowStore()
    rest = _Rest(
        version=CHECKPOINT_VERSION,
        made_for=made_for,
        journal_to_us=journal_to_us,
        clock=state.clock,
        start_at=windows.start_at if windows else None,
        tick=windows.tick if windows else None,
        machines=state.alerts.machines,
        borders=state.alerts.borders,
        site=state.site,
        turns=state.carried.turns if state.carried else (),
        kept_from=state.carried.kept_from if state.carried else None,
        ended=state.ended,
    )
    path = directory / f"{journal_to_us:020d}{SUFFIX}"
    write_span(
        path,
        {
            "rest": pl.DataFrame({"rest": [msgspec.json.encode(rest)]}),
            "rows": _rows(store),
            "packed": _packed(store),
            PUT_AWAY: _put_away(store.shelf),
            "waiting": windows.waiting if windows else pl.DataFrame(schema=SAMPLES),
            "facts": state.facts,
            "effects": windows.effects if windows else no_effects(),
            "before_clock": pl.DataFrame(schema=MESSAGES) if state.before_clock is None else state.before_clock,
            "telling": pl.DataFrame({"telling": [to_json(state.telling)]}),
            "cases": pl.DataFrame({"cases": [cases_json(state.cases)]}),
            "points": state.carried.points if state.carried else pl.DataFrame(schema=CARRIED_POINTS),
            "bindings": state.carried.bindings if state.carried else pl.DataFrame(schema=CARRIED_BINDINGS),
        },
    )
    unlink_durably(sorted(directory.glob(f"*{SUFFIX}"))[:-KEPT])
    return path


def names_put_away(directory: Path) -> set[str]:
    """What the checkpoints that are kept name of what was put away; of a damaged one nothing, it is not used."""
    names: set[str] = set()
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            names.update(read_span(path, {PUT_AWAY})[PUT_AWAY]["name"])
        except (SpanDamaged, KeyError):
            continue
    return names


def read_checkpoint(
    directory: Path,
    made_for: str | Callable[[str | None], str | None],
    at_most_us: int,
    away: PutAway | None = None,
) -> Checkpoint | None:
    """The latest usable checkpoint not beyond what has been committed; None where there is none.

    made_for: what it must be made for, or that of the site it names (None: that site is not to be had).
    away: where its state had put away what is old; one that names a piece that is not there is not used.
    """
    away = InMemory() if away is None else away
    for path in sorted(directory.glob(f"*{SUFFIX}"), reverse=True):
        try:
            frames = read_span(path)
            rest = msgspec.json.decode(frames["rest"]["rest"][0], type=_Rest)
            telling = from_json(frames["telling"]["telling"][0]) if "telling" in frames else TellState()
            cases = cases_of(frames["cases"]["cases"][0]) if "cases" in frames else CasesState()
        except (SpanDamaged, msgspec.DecodeError) as error:
            log.warning("the checkpoint %s is damaged, an older one or the journal is used: %s", path, error)
            continue
        if rest.version != CHECKPOINT_VERSION or rest.journal_to_us > at_most_us:
            continue
        if rest.made_for != (made_for if isinstance(made_for, str) else made_for(rest.site)):
            continue
        shelf = _shelf(away, frames[PUT_AWAY])
        if not away.has(shelf.names()):
            log.error("%s names what is not there any more: an older checkpoint, or the journal, is used", path.name)
            continue
        windows = None
        if rest.start_at is not None and rest.tick is not None:
            store = _store(frames["rows"], frames["packed"], shelf)
            windows = WindowState(rest.start_at, rest.tick, store, frames["waiting"], frames["effects"])
        alerts = AlertState(rest.machines, rest.borders)
        before = frames["before_clock"]
        waiting = None if before.is_empty() else before
        carried = None
        if rest.turns:
            carried = Carried(frames["points"], frames["bindings"], rest.turns, rest.kept_from)
        ended = [row | {"tick": datetime.fromisoformat(row["tick"])} for row in rest.ended]
        state = PipelineState(
            rest.clock,
            windows,
            alerts,
            waiting,
            frames["facts"],
            away,
            site=rest.site,
            carried=carried,
            ended=ended,
            telling=telling,
            cases=cases,
        )
        return Checkpoint(rest.journal_to_us, state)
    return None


def remove_unfinished(directory: Path) -> None:
    """Removes what a kill left half-written. Only the engine, before its first checkpoint."""
    unlink_durably(directory.glob(f"*{SUFFIX}.*{TEMPORARY}"))


def _rows(store: WindowStore) -> pl.DataFrame:
    parts = [
        rows.with_columns(target=pl.lit(target), bucket=pl.lit(bucket, pl.Int64))
        for target, held in store.buckets.items()
        for bucket, rows in held.items()
    ]
    schema = {**ROWS, "target": pl.String, "bucket": pl.Int64}
    return pl.concat(parts).select(list(schema)) if parts else pl.DataFrame(schema=schema)


def _packed(store: WindowStore) -> pl.DataFrame:
    parts = [(target, bucket, packed) for target, held in store.packed.items() for bucket, packed in held.items()]
    return pl.DataFrame(parts, schema={"target": pl.String, "bucket": pl.Int64, "packed": pl.Binary}, orient="row")


def _put_away(shelf: Shelf) -> pl.DataFrame:
    """Layers in their order."""
    rows = [
        (target, bucket, name)
        for target, its in shelf.layers.items()
        for bucket, names in its.items()
        for name in names
    ]
    return pl.DataFrame(rows, schema={"target": pl.String, "bucket": pl.Int64, "name": pl.String}, orient="row")


def _shelf(away: PutAway, rows: pl.DataFrame) -> Shelf:
    shelf = Shelf(away)
    for target, bucket, name in rows.iter_rows():
        its = shelf.layers.setdefault(target, {})
        its[bucket] = (*its.get(bucket, ()), name)
    return shelf


def _store(rows: pl.DataFrame, packed: pl.DataFrame, shelf: Shelf) -> WindowStore:
    store = WindowStore(shelf=shelf)
    for (target, bucket), part in rows.partition_by("target", "bucket", include_key=False, as_dict=True).items():
        store.buckets.setdefault(str(target), {})[int(bucket)] = part  # type: ignore[call-overload]
    for target, bucket, one in packed.iter_rows():
        store.packed.setdefault(target, {})[bucket] = one
    return store
