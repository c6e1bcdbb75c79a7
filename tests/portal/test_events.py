"""Server-sent events of a portal that really listens: live, resumed where a client was, in its scope, with an end."""

import json
import socket
import sqlite3
import threading
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest

from app.bench.mosquitto import wait_until
from app.portal.routes import events
from app.portal.serve import NotServed, run_portal
from contracts.portal import Portal
from store.portal_db import PortalDb
from store.state_db import StateDb


@contextmanager
def serving(own, port, **settings):
    """The portal as `run` starts it, in a thread."""
    own.app.state.centre.close()
    site = own.site.model_copy(
        update={"file": own.site.file.model_copy(update={"portal": Portal(port=port, **settings)})}
    )
    stop, failed = threading.Event(), []

    def work():
        try:
            run_portal(site, own.rules, own.state_dir, own.clock, stop, own.directory)
        except NotServed as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: failed or listens(port), "the portal listens")
        yield f"http://127.0.0.1:{port}", failed
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()


def listens(port):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(events, "POLL_S", 0.05)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(events, "RECHECK_S", 0.1)


def follow(url, token, n, *, position=None, began=None, into=None, **query):
    """The first so many events or lines of comment, each with id, event, data. began: set when the first is there."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": position} if position else {})
    found, one = [] if into is None else into, {}
    with httpx.stream("GET", f"{url}/api/v1/events", headers=headers, params=query, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith(":"):
                one["comment"] = line
            elif line:
                key, _, value = line.partition(": ")
                one[key] = value
            elif one:
                if "event" in one or "comment" in one:
                    found.append(one)
                    if began is not None:
                        began.set()
                one = {}
            if len(found) == n:
                return found
    return found


@contextmanager
def listening(url, token):
    """A client in the background that is known to listen; its events as they come. It ends when it is sent away, or
    the portal stops."""
    found, began = [], threading.Event()
    thread = threading.Thread(target=lambda: follow(url, token, 10_000, began=began, into=found))
    thread.start()
    assert began.wait(20)
    yield found
    thread.join(timeout=20)
    assert not thread.is_alive()


def transitions(own, station=None):
    with StateDb(own.state_dir / "state.db") as db:
        return [row["seq"] for row in db.transitions() if station in (None, row["body"]["station"])]


def seqs(events):
    return [json.loads(one["data"])["seq"] for one in events]


def test_a_client_gets_every_transition_once_and_goes_on_where_it_was(own, free_port):
    every = transitions(own)
    with serving(own, free_port()) as (url, _):
        token = own.tokens["viewer"]
        first = follow(url, token, 3, after="0")
        assert seqs(first) == every[:3]
        assert all(one["event"] == "transition" for one in first)
        rest = follow(url, token, len(every) - 3, position=first[-1]["id"])
        assert seqs(rest) == every[3:]
        assert json.loads(rest[-1]["data"])["text_zh"]


def test_what_is_decided_while_a_client_listens_comes_at_once(own, free_port):
    before = transitions(own)
    with serving(own, free_port()) as (url, _):
        with listening(url, own.tokens["duty"]) as found:  # from now on
            own.journal_and_decide(3 * 3600)  # three hours of silence make alerts
            wait_until(lambda: any("event" in one for one in found), "the client hears of one")
            with PortalDb(own.state_dir / "portal.db") as db:
                db.set_enabled("duty", False, 1, "test")
        told = seqs(one for one in found if one.get("event") == "transition")
        assert told == [seq for seq in transitions(own) if seq not in before][: len(told)]


def test_an_enterprise_hears_of_itself_alone(own, free_port):
    mine = sorted(seq for name in ("XS-COAL-1", "XS-COAL-2") for seq in transitions(own, name))
    assert mine
    with serving(own, free_port()) as (url, _):
        found = follow(url, own.tokens["enterprise"], len(mine) + 1, after="0")
    assert seqs(found[:-1]) == mine
    assert found[-1]["comment"] == ": still here"


def test_exceedances_come_with_the_spans_that_decided_them_and_resume(own, free_port):
    with serving(own, free_port()) as (url, _):
        token = own.tokens["viewer"]
        last = transitions(own)[-1]
        found = follow(url, token, 4, position=f"{last}.0", verdicts="true")
        assert {one["event"] for one in found} <= {"exceedance", "gap"}
        beyond = next(one for one in found if one["event"] == "exceedance")
        assert json.loads(beyond["data"])["level"] in ("yellow", "orange", "red")
        again = follow(url, token, 1, position=beyond["id"], verdicts="true")
        assert again[0].get("id", beyond["id"]) >= beyond["id"]


def test_a_position_that_is_none_is_refused(own, free_port):
    with serving(own, free_port()) as (url, _):
        headers = {"Authorization": f"Bearer {own.tokens['viewer']}", "Last-Event-ID": "yesterday"}
        assert httpx.get(f"{url}/api/v1/events", headers=headers).status_code == 422


def test_who_may_no_longer_come_in_is_sent_away(own, free_port):
    with serving(own, free_port()) as (url, _), listening(url, own.tokens["viewer"]) as found:
        with PortalDb(own.state_dir / "portal.db") as db:
            db.set_enabled("viewer", False, 1, "test")
        wait_until(lambda: found[-1].get("event") == "signed_out", "the client is told")


def test_who_is_never_left_in_quiet_is_sent_away_as_well(own, free_port, monkeypatch):
    """A page for ever: as a stream that something happens on all the time."""
    monkeypatch.setattr(events, "AT_ONCE", 1)
    monkeypatch.setattr(events, "HEARTBEAT_S", 3600)  # no pause is that long
    names = "tick, episode, transition, body"
    with closing(sqlite3.connect(own.state_dir / "state.db")) as connection, connection:
        row = connection.execute(f"SELECT {names} FROM transitions LIMIT 1").fetchone()
        connection.executemany(f"INSERT INTO transitions ({names}) VALUES (?, ?, ?, ?)", [row] * 20_000)
    with serving(own, free_port()) as (url, _), PortalDb(own.state_dir / "portal.db") as db:
        found, began = [], threading.Event()
        listens_on = threading.Thread(
            target=lambda: follow(url, own.tokens["viewer"], 30_000, began=began, into=found, after="0")
        )
        listens_on.start()
        assert began.wait(20)
        db.set_enabled("viewer", False, 1, "test")
        listens_on.join(timeout=20)
        assert not listens_on.is_alive()
    assert found[-1]["event"] == "signed_out"
    assert len(found) < 20_000


def test_a_stop_ends_open_streams(own, free_port):
    with ExitStack() as stack:
        with serving(own, free_port()) as (url, _):
            stack.enter_context(listening(url, own.tokens["viewer"]))
        assert not listens(int(url.rpartition(":")[2]))


def test_a_port_that_is_taken_is_told_in_words(own, free_port):
    port = free_port()
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with serving(own, port) as (_, failed):
            wait_until(lambda: failed, "the portal says why")
    assert f"cannot listen on 127.0.0.1:{port}" in str(failed[0])


def test_a_key_file_that_is_missing_is_told_in_words(own, free_port, tmp_path):
    with serving(own, free_port(), key_file=str(tmp_path / "none")) as (_, failed):
        wait_until(lambda: failed, "the portal says why")
    assert "portal.key_file" in str(failed[0])
