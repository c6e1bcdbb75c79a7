"""Another site on a running state directory: the engine goes on from where it stands, all turn at the same row."""

import logging
import shutil
import threading
from contextlib import closing, contextmanager

import pytest
from typer.testing import CliRunner

from app.bench.mosquitto import wait_until
from app.cli import app as cli
from app.commands.run import cannot_run
from app.evidence.link import Broken
from app.evidence.verify import verify
from app.health.status import status_of
from app.influx.part import run_influx
from app.operators.spool import journalling, waiting
from app.outputs import VERDICT_ORDER
from app.replay import replay
from app.service.collector import journal_directory
from app.service.engine import Engine, JournalFeed
from app.service.export import export
from app.service.recovery import DIFFERENCES
from app.site.files import load_site
from app.site.in_force import InForce
from app.site.kept import from_kept
from app.site.record import activation, keep, last_activated, site_content
from app.site.rule_files import load_rules
from app.site.yaml_lines import SiteErrors
from contracts.clock import ScaledClock
from contracts.topics import JOURNAL_SITE
from store.journal import Journal, segment_paths
from store.journal_reader import last_payload
from store.state_db import StateDb
from tests.builders import START, minutes
from tests.unit.test_influx_answers import Server

from .test_checkpoint import FILES
from .test_engine import clock_row, message, payload

SITE = {
    "site.yaml": """version: 1
site: test
name: {zh: 测试, en: test}
time_zone: Asia/Shanghai
""",
    "registry/counties.csv": "county,name_zh,name_en\n520330,习水县,Xishui\n",
    "registry/outlets.csv": "outlet,county,medium,name_zh,name_en\nO1,520330,flue_gas,排口,outlet\n",
    "registry/stations.csv": "station,outlet,name_zh,name_en\nS1,O1,站,station\n",
    "registry/points.csv": "station,factor,unit,kind,period_s,interval_s\n"
    "S1,a21026,mg/m3,avg,60,60\nS1,a21002,mg/m3,avg,60,60\nS1,a34013,mg/m3,avg,60,60\n",
    "registry/limits.csv": "limit_id,outlet,factor,period,limit,unit,basis,standard,status\n"
    "SO2,O1,a21026,minute,50,mg/m3,permit,permit,verified\n"
    "NOX,O1,a21002,minute,50,mg/m3,permit,permit,verified\n"
    "DUST,O1,a34013,hour,50,mg/m3,permit,permit,verified\n",
    "rules/own.yaml": "version: 1\nrules:\n"
    "  - {id: minute, kind: limit, period: minute, levels: {orange: 1.0}, select: {factor: [a21026, a21002]}}\n"
    "  - {id: hour, kind: limit, period: hour, levels: {orange: 1.0}, select: {factor: [a34013]}}\n",
}
STATION = "A0,O1,新站,new station\n"  # sorts before all others: every number of a point moves
CHANGED = {
    "registry/limits.csv": SITE["registry/limits.csv"].replace("NOX,O1,a21002,minute,50", "NOX,O1,a21002,minute,55"),
    "registry/stations.csv": SITE["registry/stations.csv"] + STATION,
    "registry/points.csv": SITE["registry/points.csv"] + "A0,a21026,mg/m3,avg,60,60\n",
}
TURN, END = 40, 75  # minutes
SPAN = ["--from", START.isoformat(), "--to", (START + minutes(END + 5)).isoformat()]
runner = CliRunner()


class Centre:
    """A state directory, its collector's journal and its site's directory."""

    def __init__(self, folder):
        self.site_dir, self.state_dir = folder / "site", folder / "state"
        self.write(SITE)

    def write(self, files):
        for name, text in files.items():
            path = self.site_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.site = load_site(self.site_dir)
        self.rules = [one.rule for one in load_rules(self.site_dir, self.site)]
        self.sha256 = keep(site_content(self.site_dir, ()), self.state_dir)

    def collect(self, from_minute, to_minute):
        """As a collector that is started with the site's directory as it is now, and stopped again."""
        directory = journal_directory(self.state_dir, "main")
        last = last_payload(directory, JOURNAL_SITE, []) if directory.is_dir() else None
        with Journal(directory) as journal:
            began_at = START + minutes(from_minute)
            journal.append([*activation(self.sha256, last, "li", "cli", began_at), clock_row(began_at)], began_at)
            for n in range(from_minute, to_minute):
                at = START + minutes(n)
                values = {"a21026": 60.0 if n >= 20 else 10.0, "a21002": 70.0 if n >= 30 else 10.0, "a34013": 10.0 + n}
                journal.append([message(payload(at, values))], at + minutes(1.1))
                journal.append([clock_row(at + minutes(1.5))], at + minutes(1.5))

    def engine(self):
        return Engine(self.site, self.rules, self.state_dir, ScaledClock(START, 1), self.sha256)

    def decide(self, rows=20):
        """As an engine that is started with the site's directory, and stopped. The number of rows it read again."""
        with closing(self.engine()) as engine:
            again = engine.recover()
            while engine.step(rows) is not None:
                pass
            engine.checkpoint()
        return again

    def outputs(self, folder):
        export(self.state_dir).write(folder)
        return [(folder / name).read_bytes() for name in FILES]

    def transitions(self):
        with StateDb(self.state_dir / "state.db") as db:
            return [(row["transition"], row["body"]["limit_id"]) for row in db.transitions()]


@pytest.fixture
def centre(tmp_path):
    """Forty minutes decided by the first site; then another one, and half an hour more of messages."""
    made = Centre(tmp_path)
    made.collect(0, TURN)
    assert made.decide() == 0
    assert made.transitions() == [("fired", "SO2"), ("fired", "NOX")]
    made.first = made.sha256
    made.write(CHANGED)
    assert made.sha256 != made.first
    made.collect(TURN, END)
    return made


def test_an_engine_goes_on_with_another_site_from_where_it_stands(centre):
    assert centre.decide() == 0  # nothing is read again: the checkpoint of the other site is gone on from
    # what is not touched goes on open; what is changed ends, and begins anew by the new limit
    assert centre.transitions() == [("fired", "SO2"), ("fired", "NOX"), ("superseded", "NOX"), ("fired", "NOX")]
    verdicts = export(centre.state_dir).verdicts
    every = [row for frame in verdicts for row in frame.select(VERDICT_ORDER).iter_rows()]
    assert len(every) == len(set(every))
    of_dust = [row for frame in verdicts for row in frame.filter(factor="a34013").iter_rows(named=True)]
    assert [(row["state"], row["valid_n"]) for row in of_dust] == [("within", 60)]  # the hour that was open at the turn
    assert not (centre.state_dir / DIFFERENCES).exists()


def test_recovery_verify_and_replay_turn_at_the_same_row(centre, tmp_path):
    centre.decide()
    live = centre.outputs(tmp_path / "live")
    report = verify(centre.state_dir)
    assert (report.derived, [name for _, name in report.sites]) == (True, [centre.first, centre.sha256])
    feed = JournalFeed(centre.state_dir, ("main",)).read(0)
    first = from_kept(centre.state_dir, centre.first)

    def load(name):
        return from_kept(centre.state_dir, name)

    replay(feed, first.site, first.rules, close=False, load=load).write(tmp_path / "replayed")
    assert [(tmp_path / "replayed" / name).read_bytes() for name in FILES] == live
    shutil.rmtree(centre.state_dir / "checkpoints")
    assert centre.decide() == feed.height
    assert not (centre.state_dir / DIFFERENCES).exists()
    assert centre.outputs(tmp_path / "again") == live


def test_kills_between_any_two_spans_change_nothing(centre, tmp_path):
    """Every start has another span to decide again, around the turn too."""
    whole = Centre(tmp_path / "whole")
    shutil.copytree(centre.state_dir, whole.state_dir, dirs_exist_ok=True)
    shutil.copytree(centre.site_dir, whole.site_dir, dirs_exist_ok=True)
    whole.write(CHANGED)
    whole.decide()
    for n in range(40):
        with closing(centre.engine()) as engine:
            engine.recover()
            if engine.step(7) is None:
                break
            if n % 3 == 0:
                engine.checkpoint()
    assert centre.outputs(tmp_path / "cut") == whole.outputs(tmp_path / "uncut")
    assert not (centre.state_dir / DIFFERENCES).exists()


def test_a_site_that_cannot_be_had_is_waited_for_and_nothing_after_its_row_is_decided(centre):
    path = centre.state_dir / "sites" / f"{centre.sha256}.json"
    text = path.read_bytes()
    path.unlink()
    with closing(Engine(load_site(centre.site_dir), [], centre.state_dir, ScaledClock(START, 1), "f" * 64)) as engine:
        engine.recover()
        with pytest.raises(Broken, match="put it back from a backup"):
            engine.step()
        path.write_bytes(text)
        assert engine.step() is not None
    assert centre.transitions()[2:] == [("superseded", "NOX"), ("fired", "NOX")]


def test_a_site_with_other_collectors_cannot_take_over(centre, caplog):
    text = SITE["site.yaml"] + "collectors: [main, east]\n"
    centre.decide()
    site, rules, sha256 = centre.site, centre.rules, centre.sha256
    centre.write({"site.yaml": text})
    centre.collect(END, END + 5)
    centre.site, centre.rules, centre.sha256 = site, rules, sha256
    centre.decide()
    assert "its collectors are main, east, not main" in caplog.text
    assert centre.transitions()[-1] == ("fired", "NOX")
    assert verify(centre.state_dir).derived


LIMITS_ONLY = {"registry/limits.csv": CHANGED["registry/limits.csv"]}


def reload(centre, *options):
    return runner.invoke(cli, ["reload", "--site", str(centre.site_dir), "--state", str(centre.state_dir), *options])


@contextmanager
def collecting(centre):
    """The journal of a collector that runs, and takes operators' records."""
    clock = ScaledClock(START + minutes(TURN), 1)
    directory = journal_directory(centre.state_dir, "main")
    with Journal(directory) as journal, journalling(centre.state_dir, journal, clock):
        yield journal


@pytest.fixture
def running(tmp_path):
    made = Centre(tmp_path)
    made.collect(0, TURN)
    made.decide()
    return made


def test_rules_and_limits_are_reloaded_while_everything_runs(running):
    with closing(running.engine()) as engine, collecting(running) as journal:
        engine.recover()
        running.write(LIMITS_ONLY)
        done = reload(running, "--by", "chen")
        assert (done.exit_code, done.output.startswith(f"site {running.sha256[:12]}: ")) == (0, True)
        at = START + minutes(TURN + 1)
        journal.append([clock_row(at)], at)
        while engine.step() is not None:
            pass
    assert running.transitions() == [("fired", "SO2"), ("fired", "NOX"), ("superseded", "NOX")]
    held = status_of(running.state_dir, START).site
    assert (held.body["sha256"], held.actor) == (running.sha256, "chen")
    assert "it holds already" in reload(running).output


def test_a_part_beside_the_engine_is_given_each_site_once_also_one_that_held_before(tmp_path, caplog):
    running = Centre(tmp_path)
    first = running.sha256
    running.collect(0, 1)
    running.write(LIMITS_ONLY)
    part = InForce(running.state_dir, running.sha256, "a part", look_every_s=0.0)
    assert part.changed() is None  # the journal still names the one before
    running.collect(1, 2)
    assert part.changed() is None  # now its own
    running.write(SITE)
    running.collect(2, 3)
    assert part.changed().name == first
    assert part.changed() is None
    running.write({"registry/limits.csv": SITE["registry/limits.csv"].replace("DUST,", "DUST.2,")})
    (running.state_dir / "sites" / f"{running.sha256}.json").unlink()
    running.collect(3, 4)
    assert part.changed() is None
    assert "a part goes on with the site it has" in caplog.text
    running.write(LIMITS_ONLY)
    running.collect(4, 5)
    assert part.changed().name == running.sha256


def test_a_part_that_cannot_read_a_journal_says_so_once_and_follows_when_it_can(tmp_path, caplog):
    running = Centre(tmp_path)
    running.collect(0, 1)
    part = InForce(running.state_dir, running.sha256, "a part", look_every_s=0.0)
    running.write(LIMITS_ONLY)
    running.collect(1, 2)
    newest = segment_paths(journal_directory(running.state_dir, "main"))[-1]
    whole = newest.read_bytes()
    newest.write_bytes(b"no segment" * 1_000)
    assert [part.changed(), part.changed()] == [None, None]
    assert caplog.text.count("a part cannot see which site holds") == 1
    newest.write_bytes(whole)
    assert part.changed().name == running.sha256


class Lines(Server):
    """An InfluxDB that takes everything."""

    def __init__(self):
        self.taken = []
        super().__init__()

    def take(self, lines):
        self.taken += lines
        return 204, None, {}

    def has(self, *parts):
        return any(all(part in line for part in parts) for line in list(self.taken))


def test_the_influxdb_writer_goes_on_with_the_limits_that_hold(tmp_path, caplog):
    """A limit that came with a reload has its basis in the lines, without a restart."""
    (tmp_path / "token").write_text("t")
    running, stop = Centre(tmp_path), threading.Event()
    with closing(Lines()) as server:
        influxdb = f"influxdb: {{url: {server.url!r}, token_file: {str(tmp_path / 'token')!r}}}\n"
        running.write({"site.yaml": SITE["site.yaml"] + influxdb})
        running.collect(0, TURN)
        running.decide()
        about = (running.site, running.state_dir, ScaledClock(START, 1), stop, running.sha256)
        writer = threading.Thread(target=run_influx, args=about)
        writer.start()
        try:
            wait_until(lambda: server.has("verdict,", "limit_id=SO2,", "basis=permit,"), "lines by the first site")
            caplog.set_level(logging.INFO, "app.site.in_force")
            old = "SO2,O1,a21026,minute,50,mg/m3,permit"
            limits = SITE["registry/limits.csv"].replace(old, "SO2.2,O1,a21026,minute,55,mg/m3,agreement")
            running.write({"registry/limits.csv": limits})
            running.collect(TURN, TURN)
            wait_until(lambda: "the InfluxDB writer goes on with" in caplog.text, "it looked again")
            running.collect(TURN + 1, TURN + 5)
            running.decide()
            wait_until(lambda: server.has("verdict,", "limit_id=SO2.2,", "basis="), "lines by the second site")
        finally:
            stop.set()
            writer.join(30)
        assert not writer.is_alive()
        assert server.has("limit_id=SO2.2,", "basis=agreement,")


def test_what_other_parts_have_read_when_they_were_started_is_not_reloaded(running):
    running.write(CHANGED)
    refused = reload(running)
    assert refused.exit_code == 1
    assert "registry: stations, registry: points): start `greenisland run` again" in refused.output
    assert last_activated(running.state_dir).body["sha256"] != running.sha256


def test_a_site_with_errors_is_not_activated_and_the_error_names_file_and_line(running):
    path = running.site_dir / "rules" / "own.yaml"
    path.write_text(SITE["rules/own.yaml"].replace("orange: 1.0", "orange: x", 1), encoding="utf-8")
    refused = reload(running)
    assert isinstance(refused.exception, SiteErrors)
    assert "rules/own.yaml:3" in str(refused.exception)
    assert len(list((running.state_dir / "sites").iterdir())) == 1


def test_without_a_collector_nothing_is_activated_then_or_later(running):
    running.write(LIMITS_ONLY)
    refused = reload(running, "--wait", "1s")
    assert (refused.exit_code, "does the first collector run?" in refused.output) == (1, True)
    assert waiting(running.state_dir) == []


def test_run_refuses_a_site_its_state_directory_cannot_go_on_with(running):
    assert cannot_run(running.state_dir, running.site) is None
    running.write({"site.yaml": SITE["site.yaml"].replace("Asia/Shanghai", "Europe/Berlin")})
    assert "its time zone is Europe/Berlin, not Asia/Shanghai" in cannot_run(running.state_dir, running.site)


def test_a_recorded_feed_is_replayed_by_the_sites_the_state_directory_keeps(centre, tmp_path):
    centre.decide()
    feed = tmp_path / "feed.parquet"
    options = ["feed", "record", "--state", str(centre.state_dir), "--out", str(feed)]
    assert runner.invoke(cli, [*options, *SPAN]).exit_code == 0
    out = tmp_path / "out"
    done = runner.invoke(cli, ["replay", str(feed), "--state", str(centre.state_dir), "--out", str(out), "--open-end"])
    assert done.exit_code == 0, done.output
    live = centre.outputs(tmp_path / "live")
    assert [(out / name).read_bytes() for name in FILES[:3]] == live[:3]
    assert "--site" in runner.invoke(cli, ["replay", str(feed), "--out", str(out)]).output
