"""Every route, every role: who may, who is refused in words, and what lies outside of a scope does not exist."""

import pytest

from app.portal.app import PUBLIC, declared
from app.portal.roles import ACTIONS, MAY, ROLES

from .centre import OF_ROLE, PEOPLE, ROOT

ALL = "viewer duty reviewer rule_engineer administrator enterprise operation_maintenance enforcement"
# route -> who may; written down a second time, so that nobody widens it unnoticed
TABLE = {
    "GET /api/v1/session": ALL,
    "DELETE /api/v1/session": ALL,
    "POST /api/v1/password": ALL,
    "GET /api/v1/tokens": ALL,
    "POST /api/v1/tokens": ALL,
    "DELETE /api/v1/tokens/{prefix}": ALL,
    "GET /api/v1/users": "administrator",
    "GET /api/v1/logins": "administrator",
    "GET /api/v1/changes": "administrator",
    "GET /api/v1/alerts": ALL,
    "GET /api/v1/alerts/{name}": ALL,
    "GET /api/v1/alerts/{name}/transitions": ALL,
    "GET /api/v1/alerts/{name}/actions": ALL,
    "GET /api/v1/alerts/{name}/notifications": "duty reviewer administrator enforcement",
    "GET /api/v1/alerts/{name}/held-back": "duty reviewer administrator enforcement",
    "POST /api/v1/alerts/{name}/acknowledge": "duty",
    "POST /api/v1/alerts/{name}/assign": "duty",
    "POST /api/v1/alerts/{name}/comment": "duty reviewer enterprise operation_maintenance",
    "GET /api/v1/cases": ALL,
    "GET /api/v1/cases/{name}": ALL,
    "GET /api/v1/cases/{name}/events": ALL,
    "GET /api/v1/cases/{name}/alerts": ALL,
    "POST /api/v1/cases": "duty reviewer enforcement",
    "POST /api/v1/cases/{name}/note": "duty reviewer operation_maintenance enforcement",
    "POST /api/v1/cases/{name}/reply": "enterprise",
    "POST /api/v1/cases/{name}/return": "reviewer enforcement",
    "POST /api/v1/cases/{name}/close": "reviewer enforcement",
    "POST /api/v1/cases/{name}/reopen": "reviewer enforcement",
    "GET /api/v1/silences": "viewer duty reviewer rule_engineer administrator enforcement",
    "POST /api/v1/silences": "duty",
    "POST /api/v1/silences/{name}/end": "duty",
    "GET /api/v1/verdicts": ALL,
    "GET /api/v1/verdicts/revisions": ALL,
    "GET /api/v1/series": ALL,
    "GET /api/v1/tree": ALL,
    "GET /api/v1/stations": ALL,
    "GET /api/v1/stations/{station}": ALL,
    "GET /api/v1/points": ALL,
    "GET /api/v1/marks": ALL,
    "GET /api/v1/marks/types": ALL,
    "GET /api/v1/marks/{fact}": ALL,
    "POST /api/v1/marks": "enterprise operation_maintenance",
    "POST /api/v1/marks/{fact}/withdraw": "enterprise operation_maintenance",
    "POST /api/v1/marks/{fact}/review": "reviewer",
    "POST /api/v1/checks": "operation_maintenance",
    "GET /api/v1/explain/verdicts": ALL,
    "GET /api/v1/explain/alerts/{name}": ALL,
    "GET /api/v1/proposals": "rule_engineer administrator",
    "GET /api/v1/proposals/{number}": "rule_engineer administrator",
    "POST /api/v1/proposals": "rule_engineer",
    "POST /api/v1/proposals/{number}/approve": "rule_engineer administrator",
    "POST /api/v1/proposals/{number}/reject": "rule_engineer administrator",
    "GET /api/v1/status": "duty rule_engineer administrator",
    "GET /api/v1/events": ALL,
}
STREAM = "GET /api/v1/events"  # never ends; test_events has it
NOWHERE = {"name": "0" * 20, "fact": "0" * 32, "number": "4711", "prefix": "nothing", "station": "NOWHERE"}


def path_of(route: str) -> tuple[str, str]:
    """Method and an address of something there is not: whoever may, is told so."""
    method, path = route.split(" ")
    if "/silences/" in path:
        path = path.replace("{name}", "0" * 32)
    return method, path.format(**NOWHERE)


def test_the_table_holds_every_route_that_is_declared():
    told = {f"{method} {path}" for method, path in declared()}
    assert told - {f"{method} {path}" for method, path in PUBLIC} == set(TABLE)


def test_every_permission_is_used_and_has_words_for_a_refusal():
    assert set(ACTIONS) == set(MAY)
    assert {permission for permission in declared().values() if permission} == set(MAY)


def test_the_guide_shows_the_table_as_it_is():
    text = (ROOT / "docs" / "guide" / "users.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    (head,) = [row for row in rows if row[0] == "permission"]
    told = {row[0].strip("`"): row[1:] for row in rows if row[0].strip("`") in MAY}
    shown = {name: {role for role, cross in zip(head[1:], row, strict=True) if cross} for name, row in told.items()}
    assert shown == MAY


@pytest.mark.parametrize("route", [route for route in TABLE if route != STREAM])
def test_each_role_may_what_the_table_says_and_is_refused_in_words_otherwise(centre, route):
    method, path = path_of(route)
    nobody = centre.client().request(method, path)
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    permission = declared()[method, route.split(" ")[1]]
    for role in ROLES:
        answer = centre.client(OF_ROLE[role]).request(method, path)
        if role in TABLE[route].split():
            assert answer.status_code not in (401, 403), (role, answer.text)
            assert answer.status_code < 500, (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["detail"] == f"The role '{ROLES[role].en}' may not {ACTIONS[permission][1]}"
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_refusal_is_told_in_chinese_to_whom_reads_chinese(centre):
    client = centre.client("enterprise", **{"Accept-Language": "zh-CN,zh;q=0.9"})
    refused = client.post(f"/api/v1/alerts/{'0' * 20}/acknowledge", json={"reason": "x"}).json()
    assert refused["detail"] == "排污单位不能确认告警"


@pytest.mark.parametrize("person", ["duty-xs", "enterprise", "maintenance", "enforcement"])
def test_what_lies_outside_of_a_scope_is_answered_as_if_it_did_not_exist(centre, person):
    every = {
        one["id"]: one for one in centre.client("viewer").get("/api/v1/alerts", params={"limit": 500}).json()["items"]
    }
    mine = {one["id"] for one in centre.client(person).get("/api/v1/alerts", params={"limit": 500}).json()["items"]}
    kind, names = PEOPLE[person][1:]
    inside = {
        name for name, one in every.items() if (one["station"] in names if kind == "stations" else one[kind] in names)
    }
    assert mine == inside
    assert inside, "the scenario has alerts for everybody"
    assert set(every) - inside
    outside = next(one for name, one in every.items() if name not in inside)
    client = centre.client(person)
    is_, is_not = (client.get(f"/api/v1/alerts/{name}") for name in (outside["id"], "f" * 20))
    assert (is_.status_code, is_.json()) == (404, is_not.json())
    for path in ("/api/v1/stations/{}", "/api/v1/points?station={}", "/api/v1/marks/types?station={}"):
        there, nowhere = (client.get(path.format(name)) for name in (outside["station"], "NOWHERE"))
        assert (there.status_code, there.json()) == (404, nowhere.json())
    window = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
    for path in ("verdicts", "series"):
        asked = {**window, "factor": outside["factor"]}
        there, nowhere = (
            client.get(f"/api/v1/{path}", params={**asked, "station": name}) for name in (outside["station"], "NOWHERE")
        )
        assert (there.status_code, there.json()) == (404, nowhere.json())


def test_an_enterprise_sees_itself_alone_in_the_tree(centre):
    counties = centre.client("enterprise").get("/api/v1/tree").json()["counties"]
    assert [one["id"] for one in counties] == ["520330"]
    (park,) = counties[0]["parks"]
    assert (park["id"], park["subject"], park["facilities"]) == ("xishui", None, [])
    assert [one["id"] for one in park["enterprises"]] == ["xs-a"]
    stations = [one["id"] for outlet in park["enterprises"][0]["outlets"] for one in outlet["stations"]]
    assert sorted(stations) == ["XS-COAL-1", "XS-COAL-2"]


def test_everybody_of_the_city_sees_every_station_once_in_the_tree(centre):
    found = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(one["id"] for one in node.get("stations", []))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for one in node:
                walk(one)

    walk(centre.client("viewer").get("/api/v1/tree").json())
    assert sorted(found) == sorted(one.station for one in centre.site.stations)
