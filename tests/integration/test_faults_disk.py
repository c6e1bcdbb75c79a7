"""The disk is full: the collector stops acknowledging, says so, keeps its connection and goes on by itself. Or an fsync
fails: it ends at once, and the next one gets all that was not acknowledged.
"""

import pytest

from app.service.journal_room import RESERVE_SHARE
from store.journal_reader import verify_chain

from .broker import Peer
from .service_process import STATION, TOPIC, centre, numbered

pytestmark = pytest.mark.server

DISK_BYTES = 64 * 1024 * 1024
small = pytest.mark.parametrize("small_disk", [f"{DISK_BYTES}"], indirect=True, ids=["64 MB"])


@small
def test_a_full_disk_stops_acknowledgements_and_room_starts_them_again(
    tmp_path, free_port, require_program, small_disk
):
    with centre(tmp_path, free_port(), require_program("mosquitto"), small_disk.path / "state", keep_alive_s=5) as one:
        running = one.run("collector", "engine")
        one.until(one.clocks, "the collector is at work")
        with Peer(one.broker.port, STATION, "s") as station:
            station.publish_all(TOPIC, numbered(0, 100))
            one.until(lambda: one.decided("readings").height == 100, "decided while there is room")
            small_disk.fill(int(DISK_BYTES * RESERVE_SHARE / 2))
            station.publish_all(TOPIC, numbered(100, 2500))  # more than are in flight to the collector
            one.until(lambda: "the disk is full" in one.log(), "it is said")
            assert one.journalled() == numbered(0, 100)
            small_disk.free()
            one.until(lambda: len(one.journalled()) >= 2500, "everything is journalled")
            one.until(lambda: one.decided("readings").height == 2500, "and decided")
        one.stop(running)
        one.broker.stop()
    assert one.journalled() == numbered(0, 2500)  # none lost, and none twice: the connection was kept
    assert one.connections() == 1
    assert verify_chain(one.journal) is None
    assert [one.log().count(said) for said in ("the disk is full", "there is room for the journal again")] == [1, 1]


@small
def test_a_collector_is_stopped_and_started_on_a_full_disk(tmp_path, free_port, require_program, small_disk):
    with centre(tmp_path, free_port(), require_program("mosquitto"), small_disk.path / "state", keep_alive_s=5) as one:
        collector = one.run("collector")
        one.until(one.clocks, "the collector is at work")
        small_disk.fill()
        with Peer(one.broker.port, STATION, "s") as station:
            station.publish_all(TOPIC, numbered(0, 50))
        one.until(lambda: "the disk is full" in one.log(), "it is said")
        one.stop(collector)
        assert "what was not acknowledged is the broker's still" in one.log()
        collector = one.run("collector")
        one.until(lambda: one.log().count("the disk is full: ") == 2, "it is said by the next one too")
        small_disk.free()
        one.until(lambda: len(one.journalled()) == 50, "everything is journalled")
        one.stop(collector)
    assert one.journalled() == numbered(0, 50)
    assert verify_chain(one.journal) is None


def test_after_a_failed_fsync_the_process_ends_in_words_and_what_was_not_acknowledged_comes_to_the_next(
    tmp_path, free_port, require_program
):
    """strace lets one of the journal's fdatasync fail, once everything is at work."""
    failing = [require_program("strace"), "--daemonize", "--follow-forks", "--seccomp-bpf", "--output", "/dev/null"]
    failing += ["--trace=fdatasync", "--inject=fdatasync:error=EIO:when=40"]
    with centre(tmp_path, free_port(), require_program("mosquitto"), keep_alive_s=5) as one:
        lost = one.run("collector", under=failing)
        one.until(one.clocks, "the collector is at work")
        sent = []
        with Peer(one.broker.port, STATION, "s") as station:
            while lost.poll() is None:
                sent += numbered(len(sent), len(sent) + 1)
                station.publish_all(TOPIC, sent[-1:])
            sent += numbered(len(sent), len(sent) + 20)
            station.publish_all(TOPIC, sent[-20:])
        assert lost.returncode == 1
        assert "greenisland run ended: " in one.log()
        assert "Traceback" not in one.log()
        one.forget(lost)
        assert 0 < len(one.journalled()) < len(sent)
        again = one.run("collector")
        one.until(lambda: len(set(one.journalled())) == len(sent), "everything is journalled")
        one.stop(again)
    assert list(dict.fromkeys(one.journalled())) == sent
    assert verify_chain(one.journal) is None
