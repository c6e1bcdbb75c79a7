"""Coming in: passwords, sessions, the page's own token, locks that grow, tokens; and what of it is kept."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher, Type

from app.portal import passwords
from app.portal.auth import COOKIE, CSRF_HEADER
from app.portal.rate import Rate
from store.portal_db import FAILURES_MAX, SESSIONS_MAX, Account, PortalDb, PortalDbError, delay_s

from .centre import PASSWORD

SESSION = "/api/v1/session"


def sign_in(client, name="duty", password=PASSWORD):
    return client.post(SESSION, json={"name": name, "password": password})


def signed_in(centre, name="duty", **more):
    client = centre.client(**more)
    answer = sign_in(client, name)
    assert answer.status_code == 200, answer.text
    client.headers[CSRF_HEADER] = answer.json()["csrf"]
    return client


def test_a_session_lets_in_until_it_is_signed_out(own):
    client = signed_in(own)
    assert client.get(SESSION).json()["permissions"].count("alerts.acknowledge") == 1
    assert client.delete(SESSION).status_code == 204
    assert client.get(SESSION).status_code == 401


def test_a_session_ends_by_itself(own):
    client = signed_in(own)
    own.clock.at += timedelta(hours=11, minutes=59)
    assert client.get(SESSION).status_code == 200
    own.clock.at += timedelta(minutes=2)
    assert client.get(SESSION).status_code == 401


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_no_script_reads_the_cookie_and_no_other_site_sends_it(own, scheme, is_secure):
    told = sign_in(own.client(base_url=f"{scheme}://portal.test")).headers["set-cookie"].lower()
    assert "httponly" in told
    assert "samesite=lax" in told
    assert ("secure" in told) == is_secure


def test_a_change_with_the_cookie_alone_is_refused(own):
    client = own.client()
    sign_in(client)
    for token in ({}, {CSRF_HEADER: "0" * 64}):
        refused = client.delete(SESSION, headers=token)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:greenisland:problem:csrf")
    assert client.get(SESSION).status_code == 200  # reading needs none
    other = own.client()
    sign_in(other)
    assert client.delete(SESSION, headers={CSRF_HEADER: other.get(SESSION).json()["csrf"]}).status_code == 403


def test_a_wrong_password_and_a_name_there_is_not_are_told_alike(own):
    client = own.client()
    wrong, nobody = sign_in(client, password="not the password"), sign_in(client, "nobody", "not the password")
    assert (wrong.status_code, wrong.json()) == (nobody.status_code, nobody.json())
    assert wrong.status_code == 401


def test_wrong_passwords_lock_a_name_for_longer_and_longer_and_the_right_one_does_not_help(own):
    client, waits = own.client(), []
    for _ in range(4):
        assert sign_in(client, password="a guess").status_code == 401
    assert sign_in(client).status_code == 200  # and all is forgotten
    for _ in range(9):
        assert sign_in(client, password="a guess").status_code == 401
        if (locked := sign_in(client, password="a guess")).status_code == 429:
            waits.append(int(locked.headers["Retry-After"]))
            assert sign_in(client).status_code == 429
            own.clock.at += timedelta(seconds=waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 64]
    assert sign_in(client).status_code == 200
    outcomes = [one["outcome"] for one in own.client("administrator").get("/api/v1/logins").json()["items"]]
    assert outcomes[0] == "success"
    assert {"locked", "refused"} <= set(outcomes)


def test_delays_double_and_are_bounded():
    assert [delay_s(n) for n in (1, 4, 5, 6, 7, 12, 13, 10_000)] == [0, 0, 1, 2, 4, 128, 256, 300]


def test_an_address_that_tries_too_often_waits(own):
    client = own.client()
    answers = [sign_in(client, f"name{n}", "x").status_code for n in range(31)]
    assert answers == [401] * 30 + [429]
    own.clock.at += timedelta(seconds=61)
    assert sign_in(client).status_code == 200


def test_what_was_typed_as_a_name_is_nowhere_kept_and_locked_all_the_same(own):
    client = own.client()
    for _ in range(5):
        sign_in(client, "my-password-typed-too-early", "x")
    assert sign_in(client, "my-password-typed-too-early", "x").status_code == 429
    own.clock.at += timedelta(seconds=2)
    sign_in(client, "my-password-typed-too-early", "x")
    first = own.client("administrator").get("/api/v1/logins").json()["items"][0]
    assert (first["user"], first["outcome"], first["address"]) == (None, "refused", "192.0.2.1")
    assert b"typed-too-early" not in b"".join(path.read_bytes() for path in own.state_dir.glob("portal.db*"))


def test_a_new_password_ends_every_session_and_is_checked(own):
    first, second = signed_in(own), signed_in(own)
    change = "/api/v1/password"
    assert first.post(change, json={"old": "wrong", "new": "another-phrase-1"}).status_code == 422
    short = first.post(change, json={"old": PASSWORD, "new": "short"})
    assert "10 to 256 characters" in short.json()["detail"]
    assert first.post(change, json={"old": PASSWORD, "new": "another-phrase-1"}).status_code == 204
    assert second.get(SESSION).status_code == 401
    assert sign_in(own.client(), password="another-phrase-1").status_code == 200


def test_a_disabled_account_is_out_at_once_with_its_sessions_and_tokens(own):
    client = signed_in(own)
    with PortalDb(own.state_dir / "portal.db") as db:
        db.set_enabled("duty", False, 1, "test")
    assert client.get(SESSION).status_code == 401
    assert own.client("duty").get(SESSION).status_code == 401
    assert sign_in(own.client()).status_code == 401
    with PortalDb(own.state_dir / "portal.db") as db:
        db.set_enabled("duty", True, 2, "test")
    assert own.client("duty").get(SESSION).status_code == 401  # a token that was revoked stays so
    assert sign_in(own.client()).status_code == 200


def test_a_token_is_shown_once_lets_in_until_it_ends_and_can_be_revoked(own):
    client = own.client("viewer")
    made = client.post("/api/v1/tokens", json={"label": "board", "days": 2}).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert own.client().get(SESSION, headers=bearer).json()["name"] == "viewer"
    assert all(one["token"] is None for one in client.get("/api/v1/tokens").json()["items"])
    other = own.client("duty").delete(f"/api/v1/tokens/{made['prefix']}")
    assert other.status_code == 404  # of somebody else
    assert client.delete(f"/api/v1/tokens/{made['prefix']}").status_code == 204
    assert own.client().get(SESSION, headers=bearer).status_code == 401
    again = client.post("/api/v1/tokens", json={"label": "board", "days": 2}).json()
    own.clock.at += timedelta(days=2, seconds=1)
    assert own.client().get(SESSION, headers={"Authorization": f"Bearer {again['token']}"}).status_code == 401


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer gi_nothing", "Bearer  "])
def test_a_header_that_is_no_token_does_not_fall_back_to_the_cookie(own, header):
    client = signed_in(own)
    assert client.get(SESSION, headers={"Authorization": header}).status_code == 401


def test_nothing_that_lets_in_is_kept_as_it_is(own):
    client = signed_in(own)
    session = client.cookies[COOKIE]
    kept = b"".join(path.read_bytes() for path in own.state_dir.glob("portal.db*"))
    assert PASSWORD.encode() not in kept
    assert session.encode() not in kept
    assert own.tokens["duty"].encode() not in kept
    assert b"$argon2id$" in kept
    assert (own.state_dir / "portal.db").stat().st_mode & 0o077 == 0


def test_tables_that_strangers_fill_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("store.portal_db.FAILURES_MAX", 50)
    monkeypatch.setattr("store.portal_db.LOGINS_MAX", 20)
    assert FAILURES_MAX > 50
    with PortalDb(tmp_path / "portal.db") as db:
        for n in range(120):
            db.begin_login(f"name{n}", n)
            db.note_login(n, None, "192.0.2.1", "refused")
        db.add_user(Account("one", "One", "viewer", "city", (), 0, None), "x", "test")
        for n in range(SESSIONS_MAX + 5):
            db.add_session(f"{n}", "one", n, 10_000)
        assert [one["seq"] for one in db.logins(None, 500)] == list(range(120, 100, -1))
        assert db.user_of_session("0", 1) is None
        assert db.user_of_session(f"{SESSIONS_MAX + 4}", 1) is not None
        with db.transaction() as connection:
            (n,) = connection.execute("SELECT count(*) FROM failures").fetchone()
    assert n == 50


def test_addresses_are_forgotten_when_there_are_too_many(monkeypatch, centre):
    monkeypatch.setattr("app.portal.rate.ADDRESSES_MAX", 2)
    rate = Rate(1, 60.0, centre.clock)
    assert [rate.wait_s(name) for name in ("a", "a", "b", "c", "a")] == [0, 60, 0, 0, 0]


def test_a_name_is_taken_once(tmp_path):
    account = Account("one", "One", "viewer", "city", (), 0, None)
    with PortalDb(tmp_path / "portal.db") as db:
        db.add_user(account, "x", "test")
        with pytest.raises(PortalDbError, match="already"):
            db.add_user(account, "y", "test")
        assert db.password_of("one") == "x"


@pytest.mark.parametrize("password", ["short", "x" * 300, "aaaaaaaaaaaaa", "the-duty-officer"])
def test_weak_passwords_are_refused_in_words(password):
    with pytest.raises(ValueError, match="password"):
        passwords.check_password("duty", password)


def test_passwords_cost_what_rfc_9106_asks_for():
    cost = PasswordHasher()
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 65_536, 3, 4)


def test_one_password_is_the_same_however_the_keyboard_composed_it():
    kept = passwords.hash_password("Zürich-Straße-1")
    assert passwords.is_password(kept, "Zürich-Straße-1")
    assert not passwords.is_password(kept, "Zurich-Straße-1")
    assert not passwords.is_password("not a hash", "Zürich-Straße-1")
