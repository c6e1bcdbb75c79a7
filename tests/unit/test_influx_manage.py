"""Buckets and tokens on a server that speaks the few addresses of InfluxDB 2.x the command uses."""

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app
from contracts.series import BUCKETS
from contracts.site import Influx
from store.influx_manage import READ, WRITE, Refused, prepare
from tests.answering import Answer, Answering
from tests.integration.live import ROOT

ORG = {"id": "0000000000000001", "name": "centre"}
DAY_S = 86_400


class Server(Answering):
    def __init__(self):
        self.buckets, self.tokens, self.asked = {}, [], []
        super().__init__(self._answer)

    def _answer(self, asked):
        body = json.loads(asked.body) if asked.body else {}
        return Answer(*self.answer(asked.method, asked.path, body, asked.headers["Authorization"]))

    def answer(self, method, path, body, token):
        if token != "Token operator":
            return 401, {"code": "unauthorized", "message": "unauthorized access"}
        about = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(about.query).items()}
        self.asked.append((method, about.path))
        if about.path == "/api/v2/orgs":
            return 200, {"orgs": [ORG] if asked.get("org") == ORG["name"] else []}
        if method == "GET" and about.path == "/api/v2/buckets":
            found = self.buckets.get(asked["name"])
            return 200, {"buckets": [found] if found else []}
        if method == "POST" and about.path == "/api/v2/buckets":
            assert body["orgID"] == ORG["id"]
            assert body["name"] not in self.buckets
            self.buckets[body["name"]] = {**body, "id": f"{len(self.buckets) + 2:016d}", "type": "user"}
            return 201, self.buckets[body["name"]]
        if method == "PATCH":
            [name] = [name for name, one in self.buckets.items() if about.path == f"/api/v2/buckets/{one['id']}"]
            self.buckets[name]["retentionRules"] = body["retentionRules"]
            return 200, self.buckets[name]
        assert (method, about.path) == ("POST", "/api/v2/authorizations")
        self.tokens.append(body)
        return 201, {**body, "id": "1", "token": f"token-{len(self.tokens)}"}


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


def prepared(server, out, token="operator", organisation="centre", **about):
    influx = Influx(url=server.url, **about)
    return prepare(influx, organisation, token, lambda name, text: (out / name).write_text(text) and None, out)


def test_five_buckets_and_two_tokens_are_made_and_the_second_time_nothing(server, tmp_path):
    done = prepared(server, tmp_path)
    assert list(server.buckets) == [f"greenisland_{bucket}" for bucket in BUCKETS]
    kept = {name: one["retentionRules"][0]["everySeconds"] for name, one in server.buckets.items()}
    assert list(kept.values()) == [90 * DAY_S, 400 * DAY_S, 0, 0, 0]
    assert done.made == [*(f"bucket {name}" for name in kept), WRITE, READ]
    assert [(tmp_path / name).read_text() for name in (WRITE, READ)] == ["token-1", "token-2"]
    again = prepared(server, tmp_path)
    assert (again.made, again.changed, len(again.left)) == ([], [], 7)
    assert len(server.tokens) == 2


def test_tokens_may_do_no_more_than_they_must(server, tmp_path):
    prepared(server, tmp_path)
    write, read = (one["permissions"] for one in server.tokens)
    ids = [one["id"] for one in server.buckets.values()]
    for permissions, actions in ((write, {"read", "write"}), (read, {"read"})):
        assert {one["action"] for one in permissions} == actions
        assert {one["resource"]["type"] for one in permissions} == {"buckets"}
        assert sorted({one["resource"]["id"] for one in permissions}) == ids
        assert len(permissions) == len(ids) * len(actions)


def test_how_long_a_bucket_keeps_follows_the_site(server, tmp_path):
    prepared(server, tmp_path)
    done = prepared(server, tmp_path, raw_kept=timedelta(days=30))
    assert done.changed == ["bucket greenisland_raw"]
    assert server.buckets["greenisland_raw"]["retentionRules"][0]["everySeconds"] == 30 * DAY_S


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"token": "wrong"}, "answers 401: unauthorized access; is this the operator's token"),
        ({"organisation": "other"}, "has no organisation 'other'"),
    ],
)
def test_what_the_server_refuses_is_told(server, tmp_path, about, said):
    with pytest.raises(Refused, match=said):
        prepared(server, tmp_path, **about)
    assert (server.buckets, list(tmp_path.iterdir())) == ({}, [])


def test_the_command_writes_tokens_only_their_owner_may_read(server, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    example = ROOT / "deploy" / "sites" / "zunyi"
    (site / "registry").symlink_to(example / "registry")
    (site / "rules").mkdir()
    about = yaml.safe_load((example / "site.yaml").read_text(encoding="utf-8"))
    about["influxdb"] = {"url": server.url, "database": "zunyi"}
    (site / "site.yaml").write_text(yaml.safe_dump(about, allow_unicode=True), encoding="utf-8")
    (tmp_path / "admin").write_text("operator\n")
    words = ["deploy", "influx", "--site", str(site), "--org", "centre", "--admin-token-file", str(tmp_path / "admin")]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "tokens")])
    assert result.exit_code == 0, result.output
    assert "made: bucket zunyi_raw" in result.output
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tokens").iterdir()} == {0o600}
    assert (tmp_path / "tokens" / READ).read_text() == "token-2\n"
    assert "token-2" not in result.output
