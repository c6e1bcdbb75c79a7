"""The kill points: each names something production code still has, and dies there and nowhere else."""

import sqlite3
import sys
from collections import Counter
from contextlib import contextmanager
from types import ModuleType

import pytest

from app.bench.chaos.kill_points import KILL_POINTS, ROLES, KillPoint, When, arm, resolve
from app.bench.chaos.ledger import says
from app.bench.chaos.made_site import STATIONS
from app.bench.chaos.plan import deaths
from app.bench.chaos.tempo import quick_places
from app.service.processes import PARTS


@pytest.mark.parametrize("point", KILL_POINTS, ids=lambda point: point.name)
def test_a_kill_point_names_something_production_code_has(point):
    assert callable(resolve(point)[2])


def test_kill_points_have_names_of_their_own_and_every_part_of_a_centre_is_killed():
    assert max(Counter(point.name for point in KILL_POINTS).values()) == 1
    assert {point.role for point in KILL_POINTS} == set(ROLES)
    only_reads = {"portal"}  # it writes its own accounts, and what people do by way of the spool
    assert sorted(part for parts in ROLES.values() for part in parts) == sorted({*PARTS} - only_reads)


def test_what_is_made_quick_is_still_there_to_be_made_quick():
    assert all(place[name] != value for place, name, value in quick_places())


class Dead(BaseException):
    """Instead of SIGKILL, in a test."""


def die():
    raise Dead


@pytest.fixture
def victim(monkeypatch):
    """A module with a function, a block and a connection, and what they have done so far."""
    module, done = ModuleType("victim_of_a_test"), []

    @contextmanager
    def block():
        yield
        done.append("end")

    module.work, module.block, module.connect, module.done = lambda: done.append("work"), block, sqlite3.connect, done
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def point(attribute, when):
    return KillPoint("point", "engine", "victim_of_a_test", attribute, when, 1)


@pytest.mark.parametrize(("when", "done"), [(When.BEFORE, 2), (When.AFTER, 3)])
def test_a_process_dies_at_the_nth_arrival_before_or_after_the_function(victim, when, done):
    arm(point("work", when), 3, die)
    victim.work()
    victim.work()
    with pytest.raises(Dead):
        victim.work()
    assert len(victim.done) == done


@pytest.mark.parametrize(("when", "done"), [(When.BEFORE, ["in"]), (When.AFTER, ["in", "end"])])
def test_a_process_dies_when_a_block_has_run_before_or_after_its_end(victim, when, done):
    arm(point("block", when), 1, die)
    with pytest.raises(Dead), victim.block():
        victim.done.append("in")
    assert victim.done == done


def test_a_process_dies_with_everything_done_of_a_transaction_but_its_commit(victim, tmp_path):
    arm(point("connect", When.COMMIT), 2, die)
    connection = victim.connect(tmp_path / "a.db", isolation_level=None)
    for statement in ("CREATE TABLE t (n)", "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT", "BEGIN"):
        connection.execute(statement)
    connection.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(Dead):
        connection.execute("COMMIT")
    connection.close()
    again = sqlite3.connect(tmp_path / "a.db")
    assert again.execute("SELECT n FROM t").fetchall() == [(1,)]
    again.close()


def test_a_plan_follows_from_its_seed_and_dies_at_every_point():
    roles = list(ROLES)
    assert deaths(60, 4, roles) == deaths(60, 4, roles)
    assert deaths(60, 4, roles) != deaths(60, 5, roles)
    planned = [death for several in deaths(60, 4, roles).values() for death in several]
    assert len(planned) == 60
    assert {death.point for death in planned} > set(KILL_POINTS)  # and at random times


def test_what_stations_say_follows_from_the_seed_and_no_message_is_said_twice():
    def all_of(seed):
        return [said for station in STATIONS for minute in range(200) for said in says(seed, station, minute)]

    assert all_of(1) == all_of(1)
    assert all_of(1) != all_of(2)
    once = Counter((said.topic, said.payload) for said in all_of(1))
    assert max(once.values()) == 1
