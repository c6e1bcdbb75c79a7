"""Operators' records on their way to the journal: one file a record in `<state>/operator/`, taken by the collector.

Promises: a record is in the spool or in the journal, whatever is killed when; a kill between the two journals it twice,
and both are one fact. What cannot be read is moved to `operator/refused/` with the reason beside it. A spool that fails
never stops the collector.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from contracts import topics
from contracts.actions import ACTIONS, action_of
from contracts.clock import Clock
from contracts.facts import fact_name
from contracts.instants import epoch_us
from contracts.ports import JournalFailure, JournalWriter, RawMessage
from contracts.records import OTHER_ACTIONS, Record, decode, encode
from rules.facts.records import fact_of
from store.parquet import fsync, replacing, unlink_durably

from ..site.record import ACTIVATE, site_row

log = logging.getLogger(__name__)

SOURCE = "operator"  # of the journal's rows
SPOOL, REFUSED = "operator", "refused"
SUFFIX, REASON_SUFFIX = ".json", ".reason.txt"
AT_DIGITS = 18  # of a file's name: when the record was made, us since 1970 UTC
POLL_S = 1.0
END_S = 5.0
RECORD_BYTES_MAX = 65_536
AT_ONCE = 500  # records a commit


@dataclass(frozen=True)
class Refused:
    """A record that was moved aside."""

    path: Path
    reason: str


def put(state_dir: Path, record: Record) -> tuple[str, Path]:
    """Spools a record, durably: its fact's name and its file, which goes when it is in the journal.

    Raises ValueError where the collector would refuse it, OSError where the directory takes no file.
    """
    payload = encode(record)
    _check(payload)
    name = fact_name(payload)
    path = state_dir / SPOOL / f"{epoch_us(record.at):0{AT_DIGITS}d}-{name}{SUFFIX}"  # by name is by time
    with replacing(path) as temporary:
        temporary.write_bytes(payload)
    return name, path


def waiting(state_dir: Path) -> list[Path]:
    """Records no collector has taken yet, the oldest first."""
    return sorted((state_dir / SPOOL).glob(f"*{SUFFIX}"))


def waiting_since(state_dir: Path, before_at: datetime) -> int:
    """How many records were spooled before the instant and wait still."""
    made = (path.name[:AT_DIGITS] for path in waiting(state_dir))
    return sum(text.isdecimal() and int(text) < epoch_us(before_at) for text in made)


def in_journal(path: Path, wait_s: float, poll_s: float = 0.05) -> bool:
    """Whether a collector takes the record within the time."""
    patience = threading.Event()
    for _ in range(max(1, round(wait_s / poll_s))):
        if not path.exists():
            break
        patience.wait(min(poll_s, wait_s))
    return not path.exists() and not (path.parent / REFUSED / path.name).exists()


def refused(state_dir: Path) -> list[Refused]:
    """Records that were moved aside, each with its reason."""
    found = sorted((state_dir / SPOOL / REFUSED).glob(f"*{SUFFIX}"))
    return [Refused(path, _reason_of(path)) for path in found]


def drain(state_dir: Path, journal: JournalWriter, clock: Clock, journalled: set[Path] | None = None) -> int:
    """Journals what waits, then removes it; how many records. Raises JournalFailure, OSError.

    journalled: files that are in the journal and could not be removed, from call to call: none is journalled again.
    """
    done = set() if journalled is None else journalled
    new: list[tuple[Path, RawMessage]] = []
    for path in waiting(state_dir)[:AT_ONCE]:
        if path in done:
            continue
        try:
            payload = _read(path)
            _check(payload)
        except FileNotFoundError:
            continue  # somebody took it away
        except OSError as error:
            _refuse(path, f"it cannot be read: {error.strerror}")
        except ValueError as error:
            _refuse(path, str(error))
        else:
            is_site = decode(payload).action == ACTIVATE
            row = site_row(payload) if is_site else RawMessage(SOURCE, topics.JOURNAL_OPERATOR, payload)
            new.append((path, row))
    if new:
        journal.append([message for _, message in new], clock.now())
        done |= {path for path, _ in new}
        log.info("%d operators' records journalled", len(new))
    if done:
        unlink_durably(done)
        done.clear()
    return len(new)


@contextmanager
def journalling(state_dir: Path, journal: JournalWriter, clock: Clock, is_mine: bool = True) -> Iterator[None]:
    """Drains the spool about each second, in a thread of its own. is_mine: false: another collector does."""
    ended = threading.Event()

    def work() -> None:
        told, journalled = "", set[Path]()
        while not ended.is_set():
            try:
                while drain(state_dir, journal, clock, journalled) == AT_ONCE:
                    continue
                told = ""
            except JournalFailure as error:
                log.error("operators' records stay in the spool: %s", error)
                return  # the collector meets the same failure and ends of it, or is told to stop
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    log.error("operators' records stay in the spool: %s", error)
            ended.wait(POLL_S)

    if not is_mine:
        yield
        return
    # A daemon: waiting for room on a full disk it ends only when the journal is closed, and that is after us.
    thread = threading.Thread(target=work, name="operator-spool", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=END_S)


def _check(payload: bytes) -> None:
    """Raises ValueError in words."""
    if len(payload) > RECORD_BYTES_MAX:
        raise ValueError(f"{len(payload)} bytes; a record has at most {RECORD_BYTES_MAX}")
    try:
        record = decode(payload)
        if record.action == ACTIVATE:
            if set(record.body) != {"sha256"}:
                raise ValueError("body: names a site by its sha256, and nothing else")
        elif record.action in ACTIONS:
            action_of(record, payload, record.at)
        elif record.action not in OTHER_ACTIONS:
            fact_of(record, payload)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(RECORD_BYTES_MAX + 1)


def _refuse(path: Path, reason: str) -> None:
    log.error("the operator's record %s is refused: %s", path.name, reason)
    aside = path.parent / REFUSED / path.name
    with replacing(aside.with_suffix(REASON_SUFFIX)) as temporary:
        temporary.write_text(reason + "\n", encoding="utf-8")
    path.replace(aside)
    for directory in (aside.parent, path.parent):
        fsync(directory)


def _reason_of(path: Path) -> str:
    beside = path.with_suffix(REASON_SUFFIX)
    return beside.read_text(encoding="utf-8").strip() if beside.exists() else "no reason was kept"
