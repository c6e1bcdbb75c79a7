"""Explanations over HTTP: from the messages to the verdict and the words, derived again and compared, one at a time."""

import pytest

from store.state_db import StateDb

from .centre import every

EXPLAIN = "/api/v1/explain"


@pytest.fixture(scope="module")
def alert(centre):
    with StateDb(centre.state_dir / "state.db") as db:
        rows = [one for one in db.episodes() if str(one["station"]).startswith("XS-COAL") and one["body"]["limit_id"]]
    return rows[0]


def test_an_alert_is_explained_to_its_enterprise_and_comes_out_equal(centre, alert):
    answer = centre.client("enterprise").get(f"{EXPLAIN}/alerts/{alert['id']}", params={"verify": "true"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["window"]["is_decided"]
    assert [step["title"] for step in told["window"]["steps"]][-1] == "Revisions"
    assert told["differences"] == []
    assert len(told["compared"]) == 2
    history = every(centre.client("enterprise"), f"/api/v1/alerts/{alert['id']}/transitions")
    assert [one["zh"] for one in told["told"]] == [one["text_zh"] for one in history]


def test_a_verdict_is_explained_by_the_site_that_is_in_force(centre, alert):
    asked = {key: alert[key] for key in ("rule", "station", "factor")} | {"at": alert["body"]["peak_at"]}
    told = centre.client("viewer").get(f"{EXPLAIN}/verdicts", params=asked).json()
    assert told["is_decided"]
    assert told["point"] == f"{alert['station']}/{alert['factor']}"
    nothing = centre.client("viewer").get(f"{EXPLAIN}/verdicts", params={**asked, "rule": "none"})
    assert nothing.status_code == 404
    wrong = centre.client("viewer").get(f"{EXPLAIN}/verdicts", params={**asked, "factor": "w01018"})
    assert (wrong.status_code, "does not judge" in wrong.json()["detail"]) == (422, True)


def test_every_message_by_its_hash_is_for_those_who_see_evidence(centre, alert):
    asked = {key: alert[key] for key in ("rule", "station", "factor")} | {"at": alert["body"]["peak_at"], "all": "true"}
    for path in (f"{EXPLAIN}/verdicts", f"{EXPLAIN}/alerts/{alert['id']}"):
        refused = centre.client("enterprise").get(path, params=asked)
        assert (refused.status_code, refused.json()["title"]) == (403, "Not permitted")


def test_one_explanation_is_worked_on_at_a_time(centre, alert):
    turn = centre.app.state.centre.explaining
    with turn:
        busy = centre.client("viewer").get(f"{EXPLAIN}/alerts/{alert['id']}")
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "30")
