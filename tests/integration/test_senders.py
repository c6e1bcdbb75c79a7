"""The outbox worked off: a slow or dead channel delays no other, a day without a receiver, rates, restarts, retries."""

import json
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evidence.link import Broken
from app.evidence.state import StateEvidence, check_receipts
from app.health.channel_status import channel_attention, channel_statuses
from app.health.status import status_of
from app.sending.channels import Outgoing, channels_of
from app.sending.senders import refuse_unknown, run_senders, send_due, take_up_paces
from app.sending.trend import trend_of, trend_pictures
from app.texts.told import ToldTexts
from contracts.channels import DingTalk, Webhook
from contracts.clock import SystemClock
from contracts.instants import epoch_us
from contracts.ports import Notification, Sent
from contracts.reasons import Receipt
from notify.outbox import ATTEMPTS_MAX
from notify.senders.pace import Pace
from notify.telling.plan import compile_telling
from store.archive import Archive
from store.spans import SpanFiles
from store.state_db import SpanRow, StateDb
from tests.builders import START, minutes, site
from tests.telling_site import START as TOLD_AT
from tests.telling_site import change, seconds, told, told_site

from .broker import wait_until
from .receivers import NEVER, Reply
from .test_engine import POINT, clock_row, decide, message, payload, write

runner = CliRunner()
DAY = timedelta(days=1)


class ManualClock:
    def __init__(self, at=START):
        self.at = at

    def now(self):
        return self.at


class Line:
    """A channel's receiver: down, or up; each attempt takes its time."""

    def __init__(self, clock, takes_s=0.0):
        self.clock, self.takes_s, self.is_up, self.took, self.tried = clock, takes_s, True, [], 0

    def send(self, notification, attempt):
        self.tried += 1
        self.clock.at += timedelta(seconds=self.takes_s)
        if not self.is_up:
            return Sent(Receipt.FAILED, "no answer")
        self.took.append((notification.key, attempt, self.clock.at))
        return Sent(Receipt.DELIVERED, "ok")


def put(state_dir, *notes, at=START):
    """notes: (key, channel) or (key, channel, body)."""
    with StateDb(state_dir / "state.db") as db:
        last = db.last_span()
        seq = 1 if last is None else last.seq + 1
        made = [Notification(note[0], note[1], note[2] if len(note) > 2 else {"text": note[0]}) for note in notes]
        db.commit_span(SpanRow(seq, None, "", seq - 1, seq, None, None, {}), notifications=made, now_us=epoch_us(at))


def drive(db, channels, clock, until, step=timedelta(seconds=1)):
    """Rounds at every step of the clock; nothing waits."""
    stop = threading.Event()
    while clock.at < until:
        send_due(db, channels, clock, stop)
        clock.at += step


def test_a_receiver_that_is_down_for_a_day_gets_everything_when_it_is_back_and_is_not_hammered(tmp_path):
    clock = ManualClock()
    line = Line(clock)
    line.is_up = False
    put(tmp_path, *((f"k{n}", "w") for n in range(40)))
    with StateDb(tmp_path / "state.db") as db:
        channels = {"w": Outgoing(line, Pace("w"))}
        drive(db, channels, clock, START + DAY, minutes(3))
        assert line.took == []
        assert line.tried <= 24 * 60  # one a minute, not forty messages each by its own schedule
        assert db.outbox_counts() == {"pending": 40}
        line.is_up = True
        drive(db, channels, clock, START + DAY + timedelta(hours=1, minutes=2), minutes(1))
        assert db.outbox_counts() == {"delivered": 40}


def test_a_receiver_that_never_returns_is_given_up_after_more_than_a_day(tmp_path):
    clock = ManualClock()
    line = Line(clock)
    line.is_up = False
    put(tmp_path, ("k", "w"))
    with StateDb(tmp_path / "state.db") as db:
        drive(db, {"w": Outgoing(line, Pace("w"))}, clock, START + 3 * DAY, timedelta(minutes=1))
        assert db.outbox_counts() == {"gave_up": 1}
        last = db.receipts()[-1]
    assert last["attempt"] == line.tried == ATTEMPTS_MAX
    assert timedelta(hours=26) < timedelta(microseconds=last["at"] - epoch_us(START)) < timedelta(hours=56)


def test_a_channels_rate_is_kept_and_everything_arrives_in_order(tmp_path):
    clock = ManualClock()
    line = Line(clock, takes_s=0.5)
    put(tmp_path, *((f"k{n:02}", "robot") for n in range(50)))
    with StateDb(tmp_path / "state.db") as db:
        drive(db, {"robot": Outgoing(line, Pace("robot", ((20, 60.0),)))}, clock, START + minutes(5))
    assert [key for key, *_ in line.took] == [f"k{n:02}" for n in range(50)]
    times = [at for *_, at in line.took]
    assert all(times[n + 20] - times[n] >= timedelta(seconds=60) for n in range(30))
    assert times[-1] < START + minutes(3)


def test_ten_thousand_alerts_in_a_minute_are_a_handful_of_messages_and_reach_a_slow_robot_in_minutes(tmp_path):
    """500 stations, 20 rules: telling, words, outbox, and a robot that takes twenty a minute."""
    told_by = told_site({"routes": [{"route": "all", "channels": ["hook"], "repeat_every": "30m"}]}, stations=500)
    plan = compile_telling(told_by)
    rows = [
        change("fired", TOLD_AT + seconds(n % 60), f"S{n % 500 + 1}", rule=f"r{n // 500}", opened_at=TOLD_AT)
        for n in range(10_000)
    ]
    began_s = time.monotonic()
    found = told(plan, rows, to=TOLD_AT + minutes(31))
    changes = [one for one in found.planned if one.kind != "repeat"]
    assert sum(len(one.items) for one in changes) == 10_000
    assert len(changes) <= 20 * (20 + 3)  # of 20 rules: at most 20 alone, and the rest in two or three
    assert len(found.planned) - len(changes) <= 20 * 40
    texts = ToldTexts(told_by, plan)
    made = [texts.notification(one) for one in changes]
    assert max(len(json.dumps(one.body)) for one in made) < 1_000_000
    clock = ManualClock(TOLD_AT + minutes(2))
    line = Line(clock, takes_s=0.5)
    with StateDb(tmp_path / "state.db") as db:
        db.commit_span(SpanRow(1, None, "", 0, 1, None, None, {}), notifications=made, now_us=epoch_us(clock.at))
        assert time.monotonic() - began_s < 60  # 2 s were measured
        assert sum(len(db.telling.told_of(row["episode"]["id"])) == 1 for row in rows[::97]) == len(rows[::97])
        drive(db, {"hook": Outgoing(line, Pace("hook", ((20, 60.0),)))}, clock, TOLD_AT + minutes(30), seconds(10))
        assert db.outbox_counts() == {"delivered": len(made)}


def test_a_restart_goes_on_counting_and_goes_on_resting(tmp_path):
    clock = ManualClock()
    put(tmp_path, *((f"k{n:02}", "robot") for n in range(25)), ("x", "limited"), ("y", "limited"))

    class Limited(Line):
        def send(self, notification, attempt):
            super().send(notification, attempt)
            return Sent(Receipt.FAILED, "rate limit: more than 20 messages in a minute", 600.0)

    def started(db):
        """As a new process would."""
        made = {"robot": Outgoing(line, Pace("robot", ((20, 60.0),))), "limited": Outgoing(limited, Pace("limited"))}
        take_up_paces(db, made, clock.now())
        return made

    line, limited = Line(clock), Limited(clock)
    with StateDb(tmp_path / "state.db") as db:
        send_due(db, started(db), clock, threading.Event())
        assert (len(line.took), limited.tried) == (20, 1)
        clock.at += timedelta(seconds=30)
        send_due(db, started(db), clock, threading.Event())
        assert (len(line.took), limited.tried) == (20, 1)
        clock.at += timedelta(seconds=31)
        send_due(db, started(db), clock, threading.Event())
        assert (len(line.took), limited.tried) == (25, 1)
        clock.at += timedelta(seconds=600)
        send_due(db, started(db), clock, threading.Event())
        assert limited.tried == 2


def test_a_clock_that_is_set_back_does_not_hold_notifications_up(tmp_path):
    clock = ManualClock()
    line = Line(clock)
    put(tmp_path, ("k", "w"), at=START + 30 * DAY)  # made while the clock was a month ahead
    with StateDb(tmp_path / "state.db") as db:
        assert send_due(db, {"w": Outgoing(line, Pace("w"))}, clock, threading.Event()) == 1
        assert db.outbox_counts() == {"delivered": 1}


def test_what_is_for_a_channel_nobody_configured_is_refused_and_not_lost(tmp_path):
    put(tmp_path, ("k", "gone"), ("k", "w"))
    with StateDb(tmp_path / "state.db") as db:
        assert refuse_unknown(db, {"w"}, ManualClock(), threading.Event()) == 1
        assert db.outbox_counts() == {"pending": 1, "refused": 1}
        assert db.receipts()[-1]["detail"] == "no such channel is configured"


@contextmanager
def running(site_, state_dir):
    stop, failed = threading.Event(), []

    def work():
        try:
            run_senders(site_, state_dir, SystemClock(), stop)
        except Exception as error:  # noqa: BLE001  # raised below
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()
        if failed:
            raise failed[0]


def test_a_receiver_that_does_not_answer_delays_no_other_channel(tmp_path, receiver):
    """The slow one holds its first request for as long as the test wants; the other takes thirty meanwhile."""
    slow, quick = receiver(NEVER), receiver(200)
    told = site(channels=(Webhook(name="slow", url=slow.url), Webhook(name="quick", url=quick.url)))
    put(tmp_path, *((f"k{n}", name) for n in range(30) for name in ("slow", "quick")), at=datetime.now(UTC))
    with running(told, tmp_path):
        wait_until(lambda: len(quick.seen) == 30, "the quick channel has told everything")
        assert len(slow.seen) == 1
        slow.released.set()
    with StateDb(tmp_path / "state.db") as db:
        assert [row["channel"] for row in db.receipts()].count("quick") >= 29


def test_a_channel_whose_sender_has_a_defect_ends_the_part_loudly(tmp_path, receiver):
    told = site(channels=(Webhook(name="w", url=receiver(200).url),))
    put(tmp_path, ("k", "w", {"text": "x"}), at=datetime.now(UTC))
    with StateDb(tmp_path / "state.db") as db:
        db._connection.execute("UPDATE outbox SET body = '{'")
    with pytest.raises(json.JSONDecodeError), running(told, tmp_path) as failed:
        wait_until(lambda: failed, "the part has ended")


# -- what people see and do


def dingtalk(tmp_path, server):
    path = tmp_path / "robot.url"
    path.write_text(f"{server.base}/robot/send?access_token=t0ken")
    path.chmod(0o600)
    return DingTalk(name="group", url_file=str(path))


def committed(state_dir):
    with closing(StateEvidence(state_dir)) as evidence:
        return evidence.read()


def test_what_was_refused_is_listed_sent_again_and_its_receipts_verify(tmp_path, receiver):
    refusal = {"errcode": 310000, "errmsg": "sign not match"}
    server = receiver(Reply(200, refusal), Reply(200, {"errcode": 0, "errmsg": "ok"}))
    state = tmp_path / "state"
    state.mkdir()
    told = site(channels=(dingtalk(tmp_path, server),))
    put(state, ("e1:fired:1", "group", {"text": "二氧化硫超标"}))
    clock = ManualClock(START + minutes(1))
    with StateDb(state / "state.db") as db, ExitStack() as stack:
        channels = channels_of(told, clock, stack)
        send_due(db, channels, clock, threading.Event())
        assert db.outbox_counts() == {"refused": 1}
        listed = runner.invoke(app, ["outbox", "list", "--state", str(state)])
        assert "e1:fired:1" in listed.output
        assert "look at secret_file" in listed.output
        assert "t0ken" not in listed.output
        (row,) = json.loads(runner.invoke(app, ["outbox", "list", "--state", str(state), "--json"]).output)
        assert (row["state"], row["text"], row["attempts"]) == ("refused", "二氧化硫超标", 1)
        again = ["outbox", "retry", "e1:fired:1", "--state", str(state), "--reason", "key renewed", "--by", "wang"]
        assert runner.invoke(app, again).output == "1 notifications are pending again\n"
        assert runner.invoke(app, again).exit_code == 2  # it is neither refused nor given up now
        clock.at = SystemClock().now() + minutes(1)
        send_due(db, channels, clock, threading.Event())
        assert db.outbox_counts() == {"delivered": 1}
        receipts = [(row["outcome"], row["attempt"]) for row in db.receipts()]
        assert receipts == [("refused", 1), ("sent_again", 1), ("delivered", 2)]
        assert db.receipts()[1]["detail"] == "by wang: key renewed"
    check_receipts(committed(state))  # as `verify` does
    with StateDb(state / "state.db") as db:
        db._connection.execute("UPDATE receipts SET detail = 'by li: key renewed' WHERE outcome = 'sent_again'")
    with pytest.raises(Broken, match="its hash does not follow"):
        check_receipts(committed(state))
    assert server.bodies()[1]["text"]["content"].startswith("[可能重复] ")


def test_retry_wants_a_key_or_all_and_says_what_it_does_not_find(tmp_path):
    put(tmp_path, ("k", "w"), ("l", "w"), ("m", "v"))
    for arguments in (["retry"], ["retry", "k", "--all"], ["retry", "k"]):
        assert runner.invoke(app, ["outbox", *arguments, "--state", str(tmp_path)]).exit_code == 2
    assert runner.invoke(app, ["outbox", "list", "--state", str(tmp_path / "none")]).exit_code == 2
    with StateDb(tmp_path / "state.db") as db:
        refuse_unknown(db, set(), ManualClock(), threading.Event())
    done = runner.invoke(app, ["outbox", "retry", "--all", "--channel", "w", "--state", str(tmp_path)])
    assert done.output == "2 notifications are pending again\n"
    with StateDb(tmp_path / "state.db") as db:
        assert db.outbox_counts() == {"pending": 2, "refused": 1}


def test_status_has_a_line_a_channel_and_flags_a_template_that_cannot_be_filled(tmp_path, receiver):
    server = receiver(200)
    channel = Webhook(name="board", url=server.url, body={"s": "${alert.station}"})
    told = site(channels=(channel, Webhook(name="idle", url=server.url)))
    put(tmp_path, ("a", "board"), ("b", "board"), ("c", "gone"))
    clock = ManualClock(START + minutes(1))
    with StateDb(tmp_path / "state.db") as db, ExitStack() as stack:
        send_due(db, channels_of(told, clock, stack), clock, threading.Event())
        put(tmp_path, ("d", "board"), at=START + minutes(2))
        board, idle, gone = channel_statuses(db._connection, START + minutes(3), ["board", "idle"])
    assert (board.pending, board.oldest_pending_at, board.last_outcome) == (1, START + minutes(2), "delivered")
    assert (idle.channel, idle.pending, idle.last_at) == ("idle", 0, None)
    assert (gone.channel, gone.pending) == ("gone", 1)
    (said,) = channel_attention([board, idle, gone])
    assert said.startswith("channel board: template error: ${alert.station} is not in this notification; the plain")
    assert [one.channel for one in status_of(tmp_path, START + minutes(3), told).decided.channels] == [
        "board",
        "idle",
        "gone",
    ]


def write_site(folder, channels):
    folder.mkdir()
    (folder / "registry").mkdir()
    tables = {
        "outlets": "outlet,county,medium,name_zh,name_en\nO1,C,flue_gas,排口,outlet\n",
        "stations": "station,outlet,name_zh,name_en\nS1,O1,站,station\n",
        "points": "station,factor,unit\nS1,a21026,mg/m3\n",
    }
    for name, text in tables.items():
        (folder / "registry" / f"{name}.csv").write_text(text, encoding="utf-8")
    about = {"version": 1, "site": "t", "name": {"zh": "t", "en": "t"}, "time_zone": "Asia/Shanghai"}
    (folder / "site.yaml").write_text(json.dumps({**about, "channels": channels}), encoding="utf-8")
    return str(folder)


def test_a_test_message_is_marked_as_one_and_its_outcome_is_the_exit_code(tmp_path, receiver):
    server = receiver(Reply(200, {"errcode": 0}), Reply(200, {"errcode": 310000, "errmsg": "keywords not in content"}))
    robot = dingtalk(tmp_path, server)
    written = write_site(tmp_path / "site", [{"name": "group", "type": "dingtalk", "url_file": robot.url_file}])
    done = runner.invoke(app, ["outbox", "test", "group", "--site", written])
    assert (done.exit_code, done.output) == (0, "delivered: HTTP 200, code 0\n")
    assert server.bodies()[0]["text"]["content"].startswith("[测试] ")
    failed = runner.invoke(app, ["outbox", "test", "group", "--site", written])
    assert failed.exit_code == 1
    assert "look at keyword" in failed.output
    unknown = runner.invoke(app, ["outbox", "test", "grup", "--site", written])
    assert unknown.exit_code == 2
    assert "'group'?" in unknown.output


def test_no_trend_is_drawn_of_what_is_no_single_alert_or_has_no_data(tmp_path):
    put(tmp_path, ("k", "w"))
    tick = START.isoformat()
    about = {"rule": "so2", "station": "S1", "factor": "a21026", "period": "hour", "limit_id": None}
    for body in ({}, {"alert": None, "tick": tick}, {"alert": {**about, "period": "year"}, "tick": tick}):
        assert trend_of(body, tmp_path, "Asia/Shanghai") is None
    assert trend_of({"alert": about, "tick": tick}, tmp_path, "Asia/Shanghai") is None


def test_the_trend_is_that_of_the_alert_from_spans_and_from_the_archive_alike(tmp_path):
    told = site([POINT], limits=[{"period": "minute"}], channels=(Webhook(name="w", url="http://127.0.0.1:9"),))
    values = [10, 20, 80, 90, None, 30]
    rows = [(START, clock_row(START))]
    rows += [
        (START + minutes(n + 1), message(payload(START + minutes(n), {"a21026": value})))
        for n, value in enumerate(values)
        if value is not None
    ]
    write(tmp_path, [*rows, (START + minutes(9), clock_row(START + minutes(9)))])
    decide(told, tmp_path)
    with StateDb(tmp_path / "state.db") as db:
        bodies = [pending.notification.body for pending in db.due_notifications(epoch_us(START + DAY), 10)]
        fired = next(body for body in bodies if body["transition"] == "fired")
        last = next(body for body in bodies if body["transition"] in ("data_lost", "resolved"))
        early, late = (trend_of(body, tmp_path, "Asia/Shanghai") for body in (fired, last))
        assert late.limit == 50
        assert [point.value for point in early.points] == [10, 20, 80]  # what was known when it fired
        assert [(point.value, point.beyond) for point in late.points][:5] == [
            (10, False),
            (20, False),
            (80, True),
            (90, True),
            (None, False),
        ]
        Archive(tmp_path / "archive", SpanFiles(tmp_path / "spans", db), db, "Asia/Shanghai").compact(100)
        assert trend_of(last, tmp_path, "Asia/Shanghai") == late
    for span in (tmp_path / "spans").glob("*.span"):
        span.unlink()
    assert trend_pictures(told, tmp_path)(last).startswith(b"\x89PNG")
    for part in (tmp_path / "archive" / "verdicts").rglob("*.parquet"):
        part.write_bytes(b"damaged")
    assert trend_pictures(told, tmp_path)(last) is None
