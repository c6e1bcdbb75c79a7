"""`deploy init`, `station` and `check`: private files, nothing overwritten, what does not fit is named."""

import os
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.deploying.broker_users import SHIPPED, acl, acl_blocks, may_publish
from app.deploying.certificates import OpensslFailed, expires_at
from app.deploying.check import check
from app.deploying.directory import (
    DeployError,
    Layout,
    add_station,
    environment_of,
    init,
    owner_named,
    revoke_station,
)
from app.deploying.secret_files import password_line, replace_users, users_of

from .conftest import COLLECTORS, HOST, STATIONS, copied

ME = (os.geteuid(), os.getegid())
NOW = datetime.now(UTC)
SITE = {
    "site.yaml": "version: 1\nsite: small\nname: {zh: 小站, en: Small}\ntime_zone: Asia/Shanghai\n",
    "registry/outlets.csv": "outlet,county,medium,name_zh,name_en\nO1,C1,flue_gas,一号,One\n",
    "registry/stations.csv": "station,outlet,name_zh,name_en\nS1,O1,一站,One\nS2,O1,二站,Two\n",
    "registry/points.csv": "station,factor,unit\nS1,a21026,mg/m3\nS2,a21026,mg/m3\n",
}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_secrets_keys_and_credentials_are_their_owners_alone(deployment):
    private = [path for path in deployment.root.rglob("*") if path.suffix in (".password", ".token", ".key")]
    private += [deployment.passwd, deployment.broker / "acl", deployment.environment]
    assert len(private) == 5 + 2 + 1 + 2 + 3 + 3  # secrets, collectors, senders, stations, keys; passwd, acl, .env
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    folders = [path for path in deployment.root.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [deployment.root, *folders]} == {0o700}


def test_no_two_secrets_are_the_same_and_none_is_short(tmp_path, shared_deployment):
    init(tmp_path / "another", HOST, "test", COLLECTORS, STATIONS, ME)
    files = [
        path
        for layout in (Layout(tmp_path / "another"), shared_deployment)
        for folder in (layout.secrets, layout.stations)
        for path in folder.iterdir()
    ]
    said = [path.read_text() for path in files]
    assert len(set(said)) == len(said) == 20
    assert min(map(len, said)) >= 43  # 256 bits in base64


def test_no_secret_is_in_a_file_for_everybody_or_in_the_environment(deployment):
    said = [path.read_text() for folder in (deployment.secrets, deployment.stations) for path in folder.iterdir()]
    told = ["site-sections.yaml", ".env", "broker/passwd", "broker/acl", "broker/mosquitto.conf"]
    for name in told:
        text = (deployment.root / name).read_text()
        assert [one for one in said if one in text] == []


def test_running_it_again_changes_nothing(deployment):
    before = contents(deployment.root)
    made = init(deployment.root, HOST, "test", COLLECTORS, STATIONS, ME)
    assert contents(deployment.root) == before
    assert [one for one in made if one.is_new] == []


def test_running_it_again_makes_what_is_missing_and_the_new_station(deployment):
    (deployment.secrets / "portal.key").unlink()
    before = contents(deployment.root)
    init(deployment.root, HOST, "test", COLLECTORS, (*STATIONS, "S3"), ME)
    after = contents(deployment.root)
    assert {name for name in after if before.get(name) != after[name]} == {
        "secrets/portal.key",
        "stations/S3.password",
        "broker/passwd",
    }
    assert set(users_of(deployment.passwd)) == {"collector-main", "collector-east", "senders", "S1", "S2", "S3"}


def test_a_password_line_is_what_mosquitto_passwd_writes(tmp_path, require_program):
    import base64

    path = tmp_path / "passwd"
    path.touch(mode=0o600)
    subprocess.run([require_program("mosquitto_passwd", "mosquitto"), "-b", path, "S1", "pass"], check=True, timeout=10)
    theirs = path.read_text().strip()
    assert password_line("S1", "pass", base64.b64decode(theirs.split("$")[3])) == theirs


def test_each_collector_has_its_block_and_all_else_of_the_acl_is_as_shipped():
    assert acl(["main"]) == (SHIPPED / "acl").read_text()
    two = acl(["east", "west"])
    assert two.count("user collector-") == 2
    assert "user collector-west\ntopic read gi/+/json\ntopic read gi/+/hj212\ntopic readwrite gi/clock/west\n" in two
    assert "main" not in two.replace("remain", "")


@pytest.mark.parametrize("station", ["collector-main", "collector-new", "senders", "clock"])
def test_a_station_cannot_be_called_as_a_user_of_the_centres_own(deployment, station):
    with pytest.raises(DeployError, match="give the station another identifier"):
        add_station(deployment.root, station)
    with pytest.raises(DeployError, match="give the station another identifier"):
        init(deployment.root, HOST, "test", COLLECTORS, (station,), ME)


def test_a_revoked_station_leaves_nothing_and_may_come_back_with_another_password(deployment):
    was = deployment.station_password("S1").read_text()
    revoke_station(deployment.root, "S1")
    assert "S1" not in users_of(deployment.passwd)
    assert not deployment.station_password("S1").exists()
    assert add_station(deployment.root, "S1").read_text() != was
    with pytest.raises(DeployError, match="has a credential"):
        add_station(deployment.root, "S1")


@pytest.mark.parametrize("user", ["S9", "collector-main", "senders"])
def test_only_a_station_with_a_credential_is_revoked(deployment, user):
    with pytest.raises(DeployError, match="has no credential"):
        revoke_station(deployment.root, user)
    assert "collector-main" in users_of(deployment.passwd)


def test_files_never_belong_to_root():
    with pytest.raises(DeployError, match="must not belong to root"):
        owner_named("0:0")
    with pytest.raises(DeployError, match="no user 'nobody-here'"):
        owner_named("nobody-here")
    assert owner_named(None)[0] != 0


def test_the_environment_names_places_and_numbers_only(deployment):
    assert environment_of(deployment.root) == {
        "GREENISLAND_DIR": str(deployment.root),
        "GREENISLAND_HOST": HOST,
        "GREENISLAND_UID": str(ME[0]),
        "GREENISLAND_GID": str(ME[1]),
    }


def test_without_openssl_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpensslFailed, match="apt-get install openssl"):
        init(tmp_path / "deployment", HOST, "test", COLLECTORS, STATIONS, ME)


# -- check


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory as it should be, of a small site; made by the command."""
    folder = tmp_path_factory.mktemp("made")
    for name, text in SITE.items():
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    owner = "10001" if os.geteuid() == 0 else f"{ME[0]}:{ME[1]}"
    root, site = folder / "whole", str(folder / "site")
    done = CliRunner().invoke(
        app, ["deploy", "init", str(root), "--host", "centre.example", "--site", site, "--owner", owner]
    )
    assert done.exit_code == 0, done.output
    shutil.copytree(folder / "site", root / "site")
    return root


@pytest.fixture
def whole(made, tmp_path):
    """A copy of it, belonging to the same user."""
    root = copied(made, tmp_path / "whole")
    for path in (root, *root.rglob("*")):
        was = (made / path.relative_to(root)).stat()
        os.chown(path, was.st_uid, was.st_gid)
    return root


def test_a_directory_as_made_is_well(whole):
    assert check(whole, None, NOW) == []


def test_what_is_wrong_is_named_with_what_would_be_right(whole):
    (whole / "secrets" / "portal.key").chmod(0o644)
    (whole / "secrets" / "grafana.key").unlink()
    (whole / "broker" / "certs" / "server.key").write_bytes((whole / "web" / "server.key").read_bytes())
    (whole / "web" / "server.crt").write_bytes((whole / "ca" / "ca.crt").read_bytes())
    revoke_station(whole, "S1")
    add_station(whole, "NOT-IN-REGISTRY")
    found = "\n".join(check(whole, None, NOW))
    for said in (
        f"{whole}/secrets/portal.key: others may read it (mode 0644); chmod 600",
        f"{whole}/secrets/grafana.key: is missing; run `greenisland deploy init` again",
        f"{whole}/broker/certs/server.key: is not the key of server.crt",
        f"{whole}/web/server.crt: is not for centre.example",
        f"{whole}/broker/passwd: has no line for S1 of the site",
        f"{whole}/broker/passwd: NOT-IN-REGISTRY is not in the site's registry",
    ):
        assert said in found


def test_a_channel_the_sites_broker_would_refuse_is_named_and_a_reader_with_a_block_is_meant(whole):
    about, senders = whole / "site" / "site.yaml", "broker: {username: senders}, "
    channels = "channels: [{name: one, type: mqtt, %stopic: greenisland/alerts/red}]\n"
    about.write_text(f"{SITE['site.yaml']}broker: {{username: collector-main}}\n{channels % ''}", encoding="utf-8")
    (found,) = check(whole, None, NOW)
    assert "broker/acl: collector-main may not publish to greenisland/alerts/red, as channel one would" in found
    about.write_text(SITE["site.yaml"] + channels % senders, encoding="utf-8")
    assert check(whole, None, NOW) == []
    replace_users(whole / "broker" / "passwd", {**users_of(whole / "broker" / "passwd"), "wall": "wall:x"})
    assert len(check(whole, None, NOW)) == 1
    with (whole / "broker" / "acl").open("a", encoding="utf-8") as acl_file:
        acl_file.write("\nuser wall\ntopic read greenisland/#\n")
    assert check(whole, None, NOW) == []


def test_what_an_acl_grants_is_read_as_mosquitto_reads_it():
    text = "topic a\nuser one\ntopic read b\ntopic write c/#\ntopic deny c/x\npattern write %u/#\nuser two\n"
    blocks = acl_blocks(text)
    granted = [(user, topic) for user in ("one", "two") for topic in "abc" if may_publish(blocks, user, topic)]
    assert granted == [("one", "c")]
    assert may_publish(blocks, "one", "c/y")
    assert not may_publish(blocks, "one", "c/x")
    assert set(blocks) == {"one", "two"}


def test_a_certificate_that_runs_out_is_told_before(whole):
    ends = expires_at(whole / "broker" / "certs" / "server.crt")
    assert timedelta(days=800) < ends - NOW < timedelta(days=826)
    found = check(whole, None, ends - timedelta(days=29))
    assert any(f"broker/certs/server.crt: ends on {ends:%Y-%m-%d}" in one for one in found)
    assert check(whole, None, ends - timedelta(days=31)) == []


def test_a_broken_site_is_told_in_the_sites_own_words(whole):
    (whole / "site" / "site.yaml").write_text("version: 1\nsite: x\n")
    assert any("site.yaml" in one and "time_zone" in one for one in check(whole, None, NOW))


def test_the_commands_speak_and_their_exit_codes_say_it_too(whole):
    run = CliRunner().invoke
    assert run(app, ["deploy", "check", str(whole)]).exit_code == 0
    added = run(app, ["deploy", "station", "add", str(whole), "S9"])
    assert added.exit_code == 0
    assert "stations/S9.password" in added.output
    assert (whole / "stations" / "S9.password").read_text() not in added.output
    assert run(app, ["deploy", "check", str(whole)]).exit_code == 1
    assert run(app, ["deploy", "station", "revoke", str(whole), "S9"]).exit_code == 0
    assert run(app, ["deploy", "station", "revoke", str(whole), "S9"]).exit_code == 2
    assert run(app, ["deploy", "station", "add", str(whole / "nowhere"), "S9"]).exit_code == 2
