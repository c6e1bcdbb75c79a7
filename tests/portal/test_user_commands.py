"""`greenisland user`: accounts, roles, scopes, tokens from the command line; no password is ever an argument."""

import json
import re

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.portal import passwords
from store.portal_db import PortalDb, PortalDbError

from .centre import ROOT

SITE = ROOT / "deploy" / "sites" / "zunyi"
runner = CliRunner()


@pytest.fixture
def state(tmp_path):
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def run(*words, typed=None):
    return runner.invoke(app, ["user", *map(str, words)], input=typed)


def said(result):
    """Without the frame that is drawn around it."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", result.output)


def add(state, name="li.wei", role="duty", typed="correct-horse-9\ncorrect-horse-9\n", **options):
    more = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    return run("add", name, "--state", state, "--site", SITE, "--role", role, *more, typed=typed)


def listed(state):
    return {one["name"]: one for one in json.loads(run("list", "--state", state, "--json").output)}


def test_an_account_is_added_with_a_password_that_is_asked_for_twice(state):
    assert add(state, full_name="李伟", scope="county:520330,520324").exit_code == 0
    one = listed(state)["li.wei"]
    assert (one["full_name"], one["role"], one["scope_kind"]) == ("李伟", "duty", "county")
    assert one["scope"] == ["520330", "520324"]
    with PortalDb(state / "portal.db") as db:
        kept = db.password_of("li.wei")
    assert passwords.is_password(kept, "correct-horse-9")
    other = add(state, "other", typed="correct-horse-9\nanother-horse-9\ncorrect-horse-9\ncorrect-horse-9\n")
    assert "do not match" in other.output


def test_a_password_comes_from_the_first_line_of_a_file(state, tmp_path):
    (tmp_path / "password").write_text("a-phrase-of-mine\nnot this\n")
    assert add(state, password_file=tmp_path / "password", typed=None).exit_code == 0
    with PortalDb(state / "portal.db") as db:
        assert passwords.is_password(db.password_of("li.wei"), "a-phrase-of-mine")


@pytest.mark.parametrize("command", ["add", "passwd"])
def test_no_option_takes_a_password(command):
    options = re.findall(r"--[a-z-]+", run(command, "--help").output)
    assert [one for one in options if "pass" in one] == ["--password-file"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"role": "dutty"}, "did you mean 'duty'"),
        ({"role": "enterprise"}, "the role enterprise has a scope of enterprise"),
        ({"role": "enterprise", "scope": "enterprise:xs-z"}, "'xs-z' is none of this site's enterprise"),
        ({"role": "rule_engineer", "scope": "county:520330"}, "has a scope of city"),
        ({"scope": "county"}, "name what it holds"),
        ({"scope": "city:520330"}, "city names nothing"),
        ({"scope": "planet:earth"}, "no kind of scope"),
        ({"name": "two words"}, "1 to 64 letters"),
        ({"typed": "short\nshort\n"}, "10 to 256 characters"),
        ({"typed": "li.wei-li.wei\nli.wei-li.wei\n"}, "holds the user's name"),
    ],
)
def test_what_is_wrong_is_told_in_words_and_nobody_is_added(state, options, told):
    result = add(state, **options)
    assert result.exit_code == 2
    assert told in said(result)
    assert listed(state) == {}


def test_a_name_is_taken_once(state):
    add(state)
    assert "there is a user 'li.wei' already" in said(add(state))


def test_an_account_is_disabled_and_enabled(state):
    add(state)
    assert run("disable", "li.wei", "--state", state).exit_code == 0
    assert not listed(state)["li.wei"]["enabled"]
    assert run("enable", "li.wei", "--state", state).exit_code == 0
    assert listed(state)["li.wei"]["enabled"]
    assert "there is no user 'wei'" in said(run("disable", "wei", "--state", state))


def test_a_password_is_set_anew_and_lifts_a_lock(state):
    add(state)
    with PortalDb(state / "portal.db") as db:
        waits = [db.begin_login("li.wei", 1) for _ in range(7)]
        assert waits[-1] > 0
    assert run("passwd", "li.wei", "--state", state, typed="another-horse-1\nanother-horse-1\n").exit_code == 0
    with PortalDb(state / "portal.db") as db:
        assert db.begin_login("li.wei", 1) == 0
        assert passwords.is_password(db.password_of("li.wei"), "another-horse-1")


def test_a_token_is_printed_once_listed_by_its_beginning_and_revoked(state):
    add(state)
    made = run("token", "li.wei", "--state", state, "--label", "board", "--lasts", "30d")
    token = made.stdout.splitlines()[0]
    assert token.startswith("gi_")
    (held,) = listed(state)["li.wei"]["tokens"]
    assert token[3:].startswith(held["prefix"])
    assert token.encode() not in b"".join(path.read_bytes() for path in state.glob("portal.db*"))
    assert run("revoke", token, "--state", state).exit_code == 0  # the whole of it will do
    assert listed(state)["li.wei"]["tokens"] == []
    assert "no token" in said(run("revoke", held["prefix"], "--state", state))


@pytest.mark.parametrize("lasts", ["0s", "401d", "soon"])
def test_a_token_has_an_end(state, lasts):
    add(state)
    assert run("token", "li.wei", "--state", state, "--label", "x", "--lasts", lasts).exit_code == 2


def test_what_was_done_to_accounts_is_kept(state):
    add(state)
    run("disable", "li.wei", "--state", state)
    with PortalDb(state / "portal.db") as db:
        told = [(one["what"], one["about"]) for one in db.changes(None, 10)]
    assert told == [("user disabled", "li.wei"), ("user added", "li.wei: duty, city")]


def test_a_directory_that_is_none_is_told(tmp_path):
    assert "is not a folder" in said(run("list", "--state", tmp_path / "none"))


def test_a_database_of_a_newer_release_is_not_touched(state):
    add(state)
    with PortalDb(state / "portal.db") as db, db.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(PortalDbError, match="newer release"):
        PortalDb(state / "portal.db")
    assert "newer release" in said(run("list", "--state", state))
