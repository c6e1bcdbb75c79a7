"""Boards in somebody else's Grafana: pushed, compared, refused in words. Most of it needs the optional extra."""

import json
import sys
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.grafana import differences
from tests.answering import Answer, Answering

run = CliRunner().invoke
with_extra = pytest.mark.skipif(
    find_spec("grafana_client") is None, reason="grafana-client is in an environment of its own: greenisland[grafana]"
)


class Grafana(Answering):
    """The few addresses of a Grafana that the command uses."""

    def __init__(self):
        self.boards, self.folders, self.sources, self.refuses = {}, {}, set(), None
        super().__init__(self._answer)

    def _answer(self, asked):
        status, body = self.get(asked.path) if asked.method == "GET" else self.post(asked.path, json.loads(asked.body))
        if asked.headers["Authorization"] != "Bearer s3cret":
            status, body = 401, {"message": "invalid API key"}
        return Answer(*(self.refuses or (status, body)))

    def get(self, path):
        kind, _, uid = path.removeprefix("/api/").rpartition("/")
        found = {
            "dashboards/uid": lambda: {"dashboard": self.boards[uid], "meta": {}},
            "folders": lambda: self.folders[uid],
            "datasources/uid": lambda: {"uid": uid} if uid in self.sources else self.folders[None],
        }[kind]
        try:
            return 200, found()
        except KeyError:
            return 404, {"message": "not found"}

    def post(self, path, body):
        if path == "/api/folders":
            self.folders[body["uid"]] = body
            return 200, body
        assert path == "/api/dashboards/db"
        assert body["overwrite"]
        assert body["folderUid"] in self.folders
        board = body["dashboard"]
        self.boards[board["uid"]] = {**board, "id": len(self.boards) + 1, "version": 7}
        return 200, {"uid": board["uid"], "status": "success"}


@pytest.fixture
def grafana():
    running = Grafana()
    yield running
    running.close()


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    return str(path)


def command(what, grafana, token, *more):
    return run(app, ["grafana", what, "--url", grafana.url, "--token-file", token, *more])


@with_extra
def test_boards_are_pushed_into_folders_and_then_do_not_differ(grafana, token):
    grafana.sources = {f"gi-{bucket}" for bucket in ("raw", "minute", "hour", "day", "events")}
    assert command("diff", grafana, token).exit_code == 1
    for _ in range(2):  # again over what is there
        result = command("push", grafana, token)
        assert result.exit_code == 0, result.output
    assert len(grafana.boards) == 16
    assert set(grafana.folders) == {"gi-zh", "gi-en"}
    result = command("diff", grafana, token)
    assert (result.exit_code, {line.partition(": ")[2] for line in result.output.splitlines()}) == (0, {"the same"})


@with_extra
def test_what_somebody_changed_is_named(grafana, token):
    command("push", grafana, token, "--language", "zh")
    assert {uid[-3:] for uid in grafana.boards} == {"-zh"}
    board = grafana.boards["gi-overview-zh"]
    board["refresh"] = "1m"
    board["panels"][0]["title"] = "mine"
    result = command("diff", grafana, token, "--language", "zh")
    assert result.exit_code == 1
    changed = [line for line in result.output.splitlines() if not line.endswith("the same")]
    assert changed == ["gi-overview-zh: refresh differs", "gi-overview-zh: panel 1 红色告警 differs in title"]


@with_extra
def test_missing_data_sources_are_named(grafana, token):
    grafana.sources = {"gi-raw", "gi-hour"}
    result = command("push", grafana, token)
    assert result.exit_code == 1
    assert "no data source has the uid gi-minute, gi-day, gi-events" in result.output


@with_extra
def test_a_refusal_is_told_in_grafanas_words(grafana, token, tmp_path):
    (tmp_path / "wrong").write_text("wrong")
    result = command("push", grafana, str(tmp_path / "wrong"))
    assert (result.exit_code, "answers 401" in result.output) == (1, True)
    grafana.refuses = (503, {"message": "starting"})
    result = command("diff", grafana, token)
    assert (result.exit_code, "answers 503: Server Error 503: starting" in result.output) == (1, True)
    assert not grafana.boards


@with_extra
def test_an_absent_grafana_is_told(token):
    result = run(app, ["grafana", "diff", "--url", "http://127.0.0.1:9", "--token-file", token])
    assert (result.exit_code, "does not answer" in result.output) == (1, True)


def test_without_the_extra_it_is_said_what_to_install(token, monkeypatch):
    monkeypatch.setitem(sys.modules, "grafana_client", None)  # as where it is not installed
    result = run(app, ["grafana", "push", "--url", "http://127.0.0.1:9", "--token-file", token])
    assert result.exit_code == 1
    assert "pip install 'greenisland[grafana]'" in result.output


def test_panels_are_compared_one_by_one():
    ours = {"uid": "x", "version": 1, "panels": [{"id": 1, "title": "a", "w": 1}, {"id": 2, "title": "b"}]}
    theirs = {"uid": "x", "version": 9, "id": 4, "panels": [{"id": 1, "title": "a", "w": 2}, {"id": 3, "title": "c"}]}
    assert list(differences(ours, theirs)) == [
        "panel 1 a differs in w",
        "panel 2 b is not there",
        "panel 3 c is not ours",
    ]
    assert list(differences(ours, {**ours, "version": 3})) == []
