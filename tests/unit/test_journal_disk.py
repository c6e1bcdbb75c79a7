"""The journal on disks that are full and on one that lies: real file systems, small enough to fill."""

import os
import random
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from contracts.instants import epoch_us
from contracts.ports import JournalFailure, JournalFull, RawMessage
from store.journal import Journal, segment_paths
from store.journal_reader import read_after, verify_chain
from store.seal import seal_segments
from tests.conftest import missing

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Feeding:
    """Appends numbered messages that do not compress, and knows which were acknowledged."""

    def __init__(self, journal, each_bytes=1000):
        self.journal, self.acknowledged = journal, []
        self._random, self._each_bytes, self._n = random.Random(5), each_bytes, 0

    def append(self, n=5):
        payloads = [self._random.randbytes(self._each_bytes) for _ in range(n)]
        self._n += 1
        self.journal.append(
            [RawMessage("mqtt", "gi/S1/json", payload) for payload in payloads], NOON + self._n * MINUTE
        )
        self.acknowledged += payloads

    def until_full(self):
        for _ in range(10_000):
            try:
                self.append()
            except JournalFull as full:
                return full
        raise AssertionError("the disk never was full")

    def is_whole(self):
        kept = read_after(self.journal.directory, 0, 10**6)["payload"].to_list()
        return kept == self.acknowledged and verify_chain(self.journal.directory) is None


@pytest.mark.parametrize("left_bytes", [0, 4096, 20_000, 100_000, 500_000])
def test_a_full_disk_is_waited_out_and_every_acknowledged_message_is_there_once(small_disk, left_bytes):
    with Journal(small_disk.path / "journal" / "main") as journal:
        feeding = Feeding(journal)
        feeding.append()
        small_disk.fill(left_bytes)
        for _ in range(3):
            assert "full" in str(feeding.until_full())
            assert feeding.is_whole()
        small_disk.free()
        for _ in range(20):
            feeding.append()
        assert feeding.is_whole()
    with Journal(journal.directory) as feeding.journal:
        feeding.append()
        assert feeding.is_whole()


@pytest.mark.parametrize("left_bytes", [0, 4096, 12_288, 20_480, 36_864, 53_248, 61_440, 81_920])
def test_a_segment_that_cannot_be_begun_is_begun_when_there_is_room(small_disk, left_bytes):
    directory = small_disk.path / "journal" / "main"
    with Journal(directory, segment_max_age=10 * MINUTE) as journal:
        feeding = Feeding(journal, each_bytes=10)
        for _ in range(10):
            feeding.append()
        small_disk.fill(left_bytes)
        feeding.until_full()
        before = len(feeding.acknowledged)
        for _ in range(3):
            feeding.until_full()
        assert feeding.is_whole()
        assert not list(directory.glob("*.new*"))
        small_disk.free()
        for _ in range(12):
            feeding.append()
        assert len(feeding.acknowledged) >= before + 60
        assert feeding.is_whole()
        assert len(segment_paths(directory)) >= 3
        small_disk.fill(1 << 20)
        seal_segments(directory, epoch_us(NOON + timedelta(days=9)))
        assert feeding.is_whole()


@pytest.mark.parametrize("small_disk", ["10m"], indirect=True)
def test_a_checkpoint_that_finds_no_room_loses_nothing(small_disk):
    """The log goes to the database at a thousand pages; by then the disk is so full that it cannot."""
    with Journal(small_disk.path / "journal" / "main") as journal:
        feeding = Feeding(journal, each_bytes=4000)
        log = segment_paths(journal.directory)[0].with_suffix(".db-wal")
        while log.stat().st_size < 3_500_000:
            feeding.append()
        small_disk.fill(1_500_000)
        feeding.until_full()
        assert log.stat().st_size > 1000 * 4096
        (segment,) = segment_paths(journal.directory)
        assert 100_000 < (stopped_at := segment.stat().st_size) < 2_000_000  # so far it came
        assert feeding.is_whole()
        small_disk.free()
        feeding.append()
        assert segment.stat().st_size > stopped_at
        assert feeding.is_whole()


def test_a_journal_is_not_opened_on_a_full_disk_and_is_when_there_is_room(small_disk):
    with Journal(small_disk.path / "journal" / "main") as journal:
        feeding = Feeding(journal)
        feeding.append()
        small_disk.fill()
        feeding.until_full()
    small_disk.fill()
    with pytest.raises(JournalFull):
        Journal(journal.directory)
    with pytest.raises(JournalFull):
        Journal(small_disk.path / "journal" / "other")
    small_disk.free()
    with Journal(journal.directory) as feeding.journal:
        feeding.append()
        assert feeding.is_whole()


@pytest.fixture
def lying_disk(small_disk, require_program):
    """A file system that says it has 64 MB, on a disk of 4: writes succeed, and it is fsync that fails."""
    image, path = small_disk.path / "image", small_disk.path.with_name("lying-disk")
    path.mkdir()
    image.touch()
    os.truncate(image, 64 << 20)
    make = require_program("mkfs.ext4", "e2fsprogs")
    subprocess.run([make, "-q", "-O", "^has_journal", "-E", "nodiscard", image], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, path], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        missing(f"no file can be mounted as a disk here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def test_after_a_failed_fsync_nothing_is_ever_appended_again(lying_disk):
    """What was not acknowledged can be read back, from the kernel's memory alone: to go on would be to believe it."""
    with Journal(lying_disk / "journal" / "main") as journal:
        feeding = Feeding(journal, each_bytes=20_000)
        with pytest.raises(JournalFailure) as failed:
            feeding.until_full()
        assert not isinstance(failed.value, JournalFull)
        assert failed.value.__cause__.sqlite_errorcode == sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(JournalFailure, match="failed before"):
            feeding.append(1)
    assert read_after(journal.directory, 0, 1000).height >= len(feeding.acknowledged)


def test_after_a_failure_that_is_no_full_disk_nothing_is_ever_appended_again(tmp_path):
    directory = tmp_path / "main"
    journal = Journal(directory)
    feeding = Feeding(journal)
    feeding.append()
    with sqlite3.connect(segment_paths(directory)[0]) as other:
        other.execute("ALTER TABLE own RENAME TO elsewhere")
    other.close()
    with pytest.raises(JournalFailure, match="no such table"):
        journal.append([RawMessage("mqtt", "$clock/main", b"1")], NOON + timedelta(hours=1))
    with sqlite3.connect(segment_paths(directory)[0]) as other:
        other.execute("ALTER TABLE elsewhere RENAME TO own")
    other.close()
    with pytest.raises(JournalFailure, match="failed before"):
        feeding.append()
    journal.close()
    with Journal(directory) as feeding.journal:
        feeding.append()
        assert feeding.is_whole()
