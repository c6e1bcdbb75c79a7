"""The forecast of a full disk comes from the files themselves: what of them belongs to the last day."""

from datetime import timedelta

import pytest

from app.health.disk_forecast import DAY, Growth, LastDay, growth
from contracts.instants import epoch_us
from store.raw_files import raw_directory, raw_file_name
from tests.builders import START

BLOCK = 4096


def put(path, blocks):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * blocks * BLOCK)


def raw(journal, number, first, last, blocks):
    put(raw_directory(journal) / raw_file_name(number, epoch_us(START + first), epoch_us(START + last)), blocks)


def last_day(begun_before, spans=100, first_seq=1):
    return LastDay(START - begun_before, START, first_seq, spans)


def test_sealed_files_count_by_their_share_of_the_last_day_and_open_segments_after_them(tmp_path):
    journal = tmp_path / "journal" / "main"
    raw(journal, 1, -3 * DAY, -2 * DAY, 1000)
    raw(journal, 2, -1.5 * DAY, -0.5 * DAY, 10)  # half of it
    put(journal / "journal-00000003.db", 7)
    grown = growth(tmp_path, [journal], last_day(3 * DAY))
    assert grown == Growth({"journal": 12 * BLOCK, "archive": 0, "state.db": 0}, DAY)


def test_parts_of_the_archive_count_by_their_spans_and_merged_ones_once(tmp_path):
    folder = tmp_path / "archive" / "readings" / "date=2026-03-01"
    put(folder / "part-000000000001-000000000080.parquet", 80)  # spans 51 to 80 are of the last day
    put(folder / "part-000000000060-000000000080.parquet", 1000)  # went into it
    put(folder / "part-000000000081-000000000100.parquet", 5)
    put(tmp_path / "archive" / "verdicts" / "date=2026-02-01" / "part-000000000001-000000000050.parquet", 1000)
    grown = growth(tmp_path, [], last_day(2 * DAY, first_seq=51))
    assert grown.bytes_per_day == {"journal": 0, "archive": 35 * BLOCK, "state.db": 0}


def test_state_db_grows_with_its_spans(tmp_path):
    put(tmp_path / "state.db", 100)
    assert growth(tmp_path, [], last_day(2 * DAY, first_seq=76)).bytes_per_day["state.db"] == 25 * BLOCK


def test_a_young_centre_is_taken_for_what_it_is_old_and_a_newborn_one_not_at_all(tmp_path):
    journal = tmp_path / "journal" / "main"
    put(journal / "journal-00000001.db", 3)
    grown = growth(tmp_path, [journal], last_day(timedelta(hours=6)))
    assert (grown.bytes_per_day["journal"], grown.taken_over) == (12 * BLOCK, timedelta(hours=6))
    assert growth(tmp_path, [journal], last_day(timedelta(minutes=59))) is None


@pytest.mark.parametrize(("free", "expected"), [(3000, timedelta(days=3)), (10**12, None)])
def test_a_disk_is_full_when_what_is_free_is_used_up(free, expected):
    assert Growth({"journal": 900, "archive": 100}, DAY).full_in(free) == expected
    assert Growth({}, DAY).full_in(free) is None
