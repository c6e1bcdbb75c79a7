"""The evidence chain is whole as it was made, and whatever is changed in it is named."""

import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evidence.anchor import anchor_of, read_anchor, write_anchor
from app.evidence.derive import Derivation, GroupDiffers
from app.evidence.verify import Broken, NoSite, Report, verify
from app.service.collector import journal_directory
from app.site.record import activation, keep, site_content
from store.archive import Archive
from store.journal import Journal, epoch_us
from store.journal_segment import reading
from store.raw_files import read_about
from store.seal import seal_segments
from store.spans import SpanFiles, read_span, write_span
from store.state_db import StateDb
from tests.builders import START, minutes
from tests.journal_forgery import cut_off, forge

from .evidence import MINUTES, SITE, ZONE, decide, feed, journal, site_at, sql, tell
from .test_engine import clock_row

# what may change without the evidence changing: when a pending notification is tried next; what a recovery compares
EXEMPT = {("outbox", "next_at"), ("deciders", "from_seq"), ("deciders", "made_for")}
runner = CliRunner()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole small state directory: sealed and open segments, spans, archive, alerts, receipts."""
    folder = tmp_path_factory.mktemp("evidence")
    site_dir, state_dir = site_at(folder / "site"), folder / "state"
    journal(state_dir, site_dir, feed(0, MINUTES))
    decide(state_dir, site_dir)
    tell(state_dir)
    seal_segments(journal_directory(state_dir, "main"), epoch_us(START + minutes(20)))
    return state_dir


@pytest.fixture
def state_dir(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "elsewhere"))


def broken(state_dir: Path, **how) -> Broken:
    with pytest.raises(Broken) as caught:
        verify(state_dir, **how)
    return caught.value


def anchored(state_dir: Path, path: Path):
    report = verify(state_dir)
    write_anchor(path, anchor_of("2026-03-01T00:00:00+00:00", report.journals, report.counts, derived=True))
    return read_anchor(path)


# -- whole


def test_a_copy_on_another_machine_is_whole_with_nothing_but_the_state_directory(state_dir):
    shutil.rmtree(state_dir / "checkpoints", ignore_errors=True)
    report = verify(state_dir)
    assert report.derived
    assert report.spans >= 5
    assert report.archive_files >= 5
    assert report.notes == []
    assert report.rows["notifications"] >= 4
    assert report.rows["receipts"] >= 4
    assert (state_dir / "raw" / "main").is_dir()  # a sealed segment is part of it
    assert verify(state_dir, quick=True).archive_files == report.archive_files


def test_spans_taken_together_and_one_by_one_give_the_same_result(made, monkeypatch):
    def never(*_):
        raise AssertionError("a group differed, and was gone through span by span")

    def always(*_):
        raise GroupDiffers

    with monkeypatch.context() as patch:
        patch.setattr(Derivation, "_one", never)
        together = verify(made)
        patch.setattr("app.evidence.verify.GROUP_SPANS", 3)
        assert verify(made).counts == together.counts
    monkeypatch.setattr(Derivation, "_together", always)
    assert verify(made).counts == together.counts


def test_where_housekeeping_merged_and_pruned_the_archive_is_held_against_what_the_journal_gives(state_dir):
    with StateDb(state_dir / "state.db") as db:
        assert Archive(state_dir / "archive", SpanFiles(state_dir / "spans", db), db, ZONE).merge(date(2026, 4, 1)) > 3
        assert db.prune_spans(6, state_dir / "spans") == 6
    report = verify(state_dir)
    assert (report.pruned, report.notes) == (6, [])
    quick = verify(state_dir, quick=True)
    assert any("were pruned" in note for note in quick.notes)
    (part,) = (state_dir / "archive" / "verdicts").rglob("part-000000000001-*09.parquet")
    rows = pl.read_parquet(part, hive_partitioning=False)
    rows.with_columns(value_scaled=pl.col("value_scaled") + 1).write_parquet(part)
    assert broken(state_dir).place == f"archive/verdicts/date=2026-03-01/{part.name}"


def test_two_collectors_of_which_one_begins_late_are_derived_as_they_were(tmp_path, monkeypatch):
    """The first spans end before the site has a clock: nothing is decided in them."""
    site_dir, state_dir = site_at(tmp_path / "site"), tmp_path / "state"
    about = site_dir / "site.yaml"
    about.write_text(about.read_text(encoding="utf-8") + "collectors: [east, west]\n", encoding="utf-8")
    digest = keep(site_content(site_dir, ()), state_dir)
    east = [(START, *activation(digest, None, "chen", "cli", START)), *feed(0, 10)]
    east += [(START + minutes(n + 0.95), clock_row(START + minutes(n), "east")) for n in range(10)]
    west = [(START + minutes(n + 0.5), clock_row(START + minutes(n), "west")) for n in (4, 6, 8, 9)]
    for collector, rows in (("east", east), ("west", west)):
        with Journal(journal_directory(state_dir, collector)) as opened:
            for at, row in sorted(rows, key=lambda row: row[0]):
                opened.append([row], at)
    decide(state_dir, site_dir, rows=3)
    with StateDb(state_dir / "state.db") as db:
        clocks = [span.clock_to for span in db.spans_after(0)]
    assert clocks[0] is None
    assert clocks[-1] is not None
    monkeypatch.setattr(Derivation, "_one", None)  # taken together: no span needs a look of its own
    report = verify(state_dir)
    assert (report.derived, report.notes) == (True, [])


def test_a_change_of_limits_is_followed_where_the_journal_names_the_new_site(made, tmp_path):
    state_dir = Path(shutil.copytree(made, tmp_path / "state"))
    stricter = SITE["registry/limits.csv"].replace(",50,", ",9,")
    site_dir = site_at(tmp_path / "site", limits=stricter)
    journal(state_dir, site_dir, feed(MINUTES + 2, MINUTES + 10))
    decide(state_dir, site_dir)
    report = verify(state_dir)
    (_, first), (since, second) = report.sites
    assert first != second
    assert 5 < since < report.spans
    (state_dir / "sites" / f"{second}.json").unlink()
    assert broken(state_dir).place == f"sites/{second}.json"


def test_kept_tables_decide_also_where_this_program_has_others(state_dir, monkeypatch):
    """As if a release had changed its completeness rule since: the kept one decides, and it is said."""
    monkeypatch.setattr("app.site.kept.tables", lambda: {"library/validity.csv": "medium,period,need,of,clause\n"})
    report = verify(state_dir)
    assert report.derived
    assert [note.split(" kept")[0] for note in report.notes] == ["validity.csv"]


# -- broken


def test_a_message_changed_in_the_journal_is_named_by_its_segment_and_batch(state_dir):
    path = sorted((state_dir / "journal" / "main").glob("*.db"))[-1]
    with reading(path) as segment:
        seqs = [batch.seq for batch in segment.batches() if b"60.0" in segment.packed(batch)]
    for seq in seqs:
        forge(path, seq, lambda rows: [(*row[:4], row[4].replace(b"60.0", b"40.0")) for row in rows])
    found = broken(state_dir, quick=True)
    assert found.link == "journal"
    assert found.place == f"journal/main/{path.name}, batch {seqs[0]}"


def test_a_span_rewritten_with_its_digest_is_found_by_deriving_it_again(state_dir):
    paths = sorted((state_dir / "spans").glob("*.span"))
    n, path = next((n, path) for n, path in enumerate(paths, 1) if "exceedance" in read_span(path)["verdicts"]["state"])
    frames = read_span(path)
    forged = frames["verdicts"].with_columns(state=pl.lit("within"))
    digest = write_span(path, {**frames, "verdicts": forged})
    assert sql(state_dir, "UPDATE spans SET digest = ? WHERE seq = ?", digest, n) == 1
    found = broken(state_dir)
    assert found.place == f"spans/{path.name} (span {n}), verdicts"
    assert "state within, expected exceedance" in found.what


def test_a_journal_cut_off_behind_what_was_decided_is_found(state_dir):
    path = sorted((state_dir / "journal" / "main").glob("*.db"))[-1]
    cut_off(path)
    assert "no journal holds it" in broken(state_dir, quick=True).what


@pytest.mark.parametrize(
    ("remove", "place"),
    [
        ("spans/span-000000000002.span", "spans/span-000000000002.span"),
        ("state.db", "state.db"),
        ("archive/rejects", "archive/rejects/date=2026-03-01"),
    ],
)
def test_what_is_missing_is_named(state_dir, remove, place):
    path = state_dir / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert broken(state_dir, quick=True).place == place


def test_a_segment_that_is_missing_is_named(state_dir):
    for path in (state_dir / "raw" / "main").glob("*.parquet"):
        path.unlink()
    assert "missing" in broken(state_dir, quick=True).what


def test_transitions_moved_back_with_their_episode_and_notification_are_found(state_dir):
    """Consistent in itself: only deriving it again can tell."""
    seq, body = first_transition(state_dir)
    other = json.dumps({**json.loads(body), "peak_scaled": 1}, ensure_ascii=False, sort_keys=True)
    assert sql(state_dir, "UPDATE transitions SET body = ? WHERE seq = ?", other, seq) == 1
    found = broken(state_dir)
    assert (found.link, found.place) == ("derivation", f"state.db, transition {seq}")


def first_transition(state_dir):
    with closing(sqlite3.connect(state_dir / "state.db")) as connection:
        return connection.execute("SELECT seq, body FROM transitions ORDER BY seq LIMIT 1").fetchone()


def columns(state_dir: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(state_dir / "state.db")) as connection:
        return [
            (table, column[1])
            for table in tables(connection)
            for column in connection.execute(f"PRAGMA table_info({table})")
        ]


def tables(connection: sqlite3.Connection) -> list[str]:
    """Without SQLite's own."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return sorted(name for (name,) in names)


def test_one_value_changed_in_any_column_of_state_db_is_found(tmp_path):
    """Of evidence in few spans: it is looked through once a column."""
    site_dir, state_dir = site_at(tmp_path / "site"), tmp_path / "state"
    journal(state_dir, site_dir, feed(0, MINUTES))
    decide(state_dir, site_dir, rows=20)
    tell(state_dir)
    assert verify(state_dir).spans == 5  # which the archive has in two parts
    whole, unnoticed = (state_dir / "state.db").read_bytes(), []
    for table, column in columns(state_dir):
        with closing(sqlite3.connect(state_dir / "state.db")) as connection:
            rows = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid").fetchall()
            rowid, value = rows[-1] if column == "seq" else rows[len(rows) // 2]
        statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
        other = "delivered" if (table, column) == ("outbox", "state") and value != "delivered" else changed(value)
        other = "pending" if (table, column, value) == ("outbox", "state", "delivered") else other
        assert sql(state_dir, statement, other, rowid) == 1
        if all(report_of(state_dir, quick=quick) is not None for quick in (True, False)):  # the first is the cheaper
            unnoticed.append((table, column))
        put_back(state_dir / "state.db", whole)
    assert set(unnoticed) == EXEMPT
    assert verify(state_dir).derived  # nothing else was changed by it


def changed(value: object) -> object:
    """Another value of the same kind; of a JSON object one member."""
    if value is None:
        return 1
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        key = sorted(value)[0]
        return {**value, key: changed(value[key])}
    text = str(value)
    if text.startswith("{"):
        return json.dumps(changed(json.loads(text)), ensure_ascii=False, sort_keys=True)
    return f"{text}x"


def test_one_bit_flipped_anywhere_in_any_file_is_found_or_was_no_evidence(made, tmp_path):
    """Exempt are bytes from which the same rows are read: free pages and headers of SQLite, statistics of Parquet."""
    rng = random.Random(20260301)
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file() and is_evidence(path))
    assert {path.parts[0] for path in files} == {"journal", "raw", "spans", "archive", "sites", "state.db"}
    state_dir = Path(shutil.copytree(made, tmp_path / "state"))
    found, exempt = 0, []
    for n in range(60):
        name = files[n % len(files)] if n < len(files) else rng.choice(files)
        path = state_dir / name
        content = path.read_bytes()
        at = rng.randrange(len(content))
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        report = report_of(state_dir, quick=name.name != "state.db")
        if report is None:
            found += 1
        else:
            assert content_of(path) == content_of(made / name), f"{name}, byte {at}: not found"
            assert name.parts[0] != "archive" or "in other bytes" in report.notes[0], name
            exempt.append(name.suffix)
        put_back(path, content)
    assert set(exempt) <= {".db", ".parquet"}
    assert found > 30


def put_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for companion in ("-wal", "-shm"):  # of a database
        Path(f"{path}{companion}").unlink(missing_ok=True)


def is_evidence(path: Path) -> bool:
    return path.suffix in {".db", ".span", ".parquet", ".json"}


def report_of(state_dir: Path, *, quick: bool) -> Report | None:
    """None: broken. Deriving it again is what finds a change in state.db; in any other file a hash does."""
    try:
        return verify(state_dir, quick=quick)
    except Broken:
        return None


def content_of(path: Path) -> object:
    """Everything a file says, without how it is laid out."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as connection:
            return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables(connection)}
    if path.suffix == ".parquet":
        about = read_about(path) if path.name.startswith("raw-") else None
        return about, pl.read_parquet(path, hive_partitioning=False, use_statistics=False).rows()
    return path.read_bytes()


# -- anchors


def test_a_history_rewritten_as_a_whole_is_found_by_an_anchor_and_by_nothing_else(made, tmp_path):
    anchor = anchored(made, tmp_path / "anchor.json")
    site_dir, forged = site_at(tmp_path / "site"), tmp_path / "forged"
    journal(forged, site_dir, feed(0, MINUTES, high=40.0))  # nothing was ever beyond the limit
    decide(forged, site_dir)
    report = verify(forged)
    assert (report.notes, report.rows["episodes"]) == ([], 0)
    found = broken(forged, anchor=anchor)
    assert (found.link, found.place.split(",")[0]) == ("anchor", "journal/main")
    assert "was changed since" in found.what


def test_evidence_that_went_on_extends_an_anchor_and_one_that_was_set_back_does_not(tmp_path):
    site_dir, state_dir = site_at(tmp_path / "site"), tmp_path / "state"
    journal(state_dir, site_dir, feed(0, MINUTES))
    decide(state_dir, site_dir, spans_max=3)
    tell(state_dir)
    early = anchored(state_dir, tmp_path / "early.json")
    older = shutil.copytree(state_dir, tmp_path / "older")
    decide(state_dir, site_dir)
    assert verify(state_dir, anchor=early).anchor == early.written_at
    late = anchored(state_dir, tmp_path / "late.json")
    found = broken(older, anchor=late, quick=True)  # whole in itself, only shorter
    assert (found.link, found.place) == ("anchor", "state.db, spans")
    assert "some were removed" in found.what
    with StateDb(state_dir / "state.db") as db:
        assert db.receipts()
    sql(state_dir, "DELETE FROM receipts")
    sql(state_dir, "UPDATE outbox SET state = 'pending', attempts = 0")
    assert verify(state_dir).rows["receipts"] == 0  # nobody was told, it says, and nothing speaks against it
    assert broken(state_dir, anchor=late).place == "state.db, receipts"


# -- the command


def run(*arguments):
    return runner.invoke(app, ["verify", *map(str, arguments)])


def test_the_command_names_the_first_broken_link_and_ends_with_one(state_dir, tmp_path):
    anchor = tmp_path / "anchor.json"
    whole = run("--state", state_dir, "--write-anchor", anchor)
    assert whole.exit_code == 0, whole.output
    assert "the evidence is whole" in whole.output
    assert run("--state", state_dir, "--from-anchor", anchor, "--quick").exit_code == 0
    path = state_dir / "spans" / "span-000000000004.span"
    os.truncate(path, path.stat().st_size - 1)
    told = run("--state", state_dir)
    assert told.exit_code == 1
    assert "spans/span-000000000004.span (span 4): verdicts: the file ends" in told.output
    said = json.loads(run("--state", state_dir, "--quick", "--json").output)
    assert (said["whole"], said["broken"]["link"]) == (False, "spans")


def test_an_anchor_typed_in_with_a_slip_is_not_taken_for_a_broken_chain(made, tmp_path):
    path = tmp_path / "anchor.json"
    anchored(made, path)
    path.write_text(path.read_text(encoding="ascii").replace('"n": ', '"n": 1', 1), encoding="ascii")
    told = run("--state", made, "--from-anchor", path)
    assert told.exit_code == 2
    assert "is not as it was written" in told.output


def test_a_journal_that_names_no_site_asks_for_one(tmp_path):
    site_dir, state_dir = site_at(tmp_path / "site"), tmp_path / "state"
    with Journal(journal_directory(state_dir, "main")) as opened:
        for at, row in [(START, clock_row(START)), *feed(0, 5)]:
            opened.append([row], at)
    decide(state_dir, site_dir)
    with pytest.raises(NoSite, match="--site"):
        verify(state_dir)
    assert run("--state", state_dir).exit_code == 2
    assert verify(state_dir, site_dir=site_dir).derived
    assert run("--state", tmp_path / "site").exit_code == 1
