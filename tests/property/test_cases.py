"""Laws of cases: cuts and restarts change nothing; only people close; an alert is in one open case at most."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notify.cases.follow import Followed, follow
from notify.cases.state import CasesState, from_json, to_json
from tests.telling_site import START, act, change, minutes, planned_by

PLAN = planned_by(
    {
        "routes": [{"route": "all", "channels": ["hook"]}],
        "cases": [
            {
                "case": "red",
                "match": {"level": ["red"]},
                "per": "enterprise",
                "channels": ["hook", "boss"],
                "reply_within": "7m",
                "close_within": "15m",
                "wait": "90s",
                "overdue": {"channels": ["night"], "people": ["zhao"]},
            },
            {"case": "rest", "match": {"rule": ["so2"]}, "channels": ["english"], "wait": "0s", "reply_within": "4m"},
        ],
    }
)
SAID = ("level_changed", "data_lost", "resolved", "reopened", "withdrawn", "amended", "fired")
DEEDS = ("note_case", "reply_case", "return_case", "close_case", "close_case", "reopen_case")
END = START + minutes(90)


@st.composite
def rows(draw):
    found = []
    for station in ("S1", "S2", "S3"):
        for rule in ("so2", "nox"):
            ticks = draw(st.lists(st.integers(0, 120), max_size=6, unique=True))
            for n, tick in enumerate(sorted(ticks)):
                said = "fired" if n == 0 else draw(st.sampled_from(SAID))
                is_open = said not in ("resolved", "withdrawn")
                level = draw(st.sampled_from(["yellow", "orange", "red"]))
                at = START + minutes(tick / 2)
                found.append(change(said, at, station, rule=rule, level=level, is_open=is_open))
    return found


@st.composite
def deeds(draw, its):
    """What people do to cases that were open at some time, and to one there never was."""
    names = [*sorted({row.record["id"] for row in follow(PLAN, CasesState(), its, [], END).rows}), "0" * 20]
    found = []
    for _ in range(draw(st.integers(0, 8))):
        kind, case = draw(st.sampled_from(DEEDS)), draw(st.sampled_from(names))
        at = START + minutes(draw(st.integers(0, 150)) / 2)
        said = {"text": "so"} if kind in ("note_case", "reply_case") else {"reason": "so"}
        more = {"conclusion": "remedied"} if kind == "close_case" else {}
        found.append(act(kind, at, case=case, **said, **more))
    return sorted(found, key=lambda one: one.known_at)


def cut(its, actions, cuts) -> tuple[Followed, CasesState]:
    whole, state = Followed(), CasesState()
    for after, to in pairwise(sorted({START - minutes(1), *cuts, END})):
        part = follow(
            PLAN,
            state,
            [row for row in its if after < row["tick"] <= to],
            [one for one in actions if after < one.known_at <= to],
            to,
        )
        state = from_json(to_json(state))
        whole.rows += part.rows
        whole.planned += part.planned
    return whole, state


@given(st.data())
def test_cuts_restarts_and_the_order_within_a_tick_change_nothing(data):
    its = data.draw(rows())
    actions = data.draw(deeds(its))
    cuts = data.draw(st.lists(st.integers(0, 180).map(lambda n: START + timedelta(seconds=n * 30)), max_size=6))
    whole, _ = cut(its, actions, [])
    assert cut(data.draw(st.permutations(its)), actions, cuts)[0] == whole


@given(st.data())
def test_people_alone_close_and_an_alert_is_in_one_open_case_at_most(data):
    its = data.draw(rows())
    actions = data.draw(deeds(its))
    whole, state = cut(its, actions, [])
    closings = [row for row in whole.rows if row.event == "closed"]
    assert all(row.actor == "wang" for row in closings)
    alerts: dict[str, list[str]] = {}
    is_open: dict[str, bool] = {}
    for row in whole.rows:
        name = row.record["id"]
        its_alerts = alerts.setdefault(name, [])
        if row.event in ("opened", "joined"):
            its_alerts.append(row.episode)
        elif row.event == "left":
            its_alerts.remove(row.episode)
        is_open[name] = row.record["closed_at"] is None
        assert row.record["alerts"] == len(its_alerts)
        everywhere = [episode for one, still in is_open.items() if still for episode in alerts[one]]
        assert len(everywhere) == len(set(everywhere))
    assert {name: case.alerts for name, case in state.cases.items()} == alerts
    assert {name for name, still in is_open.items() if still} == set(state.places.values())


@given(rows())
def test_every_case_that_asks_is_overdue_once_where_nobody_does_anything(its):
    whole, _ = cut(its, [], [])
    asked = {row.record["id"]: row for row in whole.rows if row.event == "opened" and row.record["reply_due_at"]}
    overdue = [row for row in whole.rows if row.event == "reply_overdue"]
    due = {name: row.record["reply_due_at"] for name, row in asked.items()}
    assert {row.record["id"]: row.tick.isoformat() for row in overdue} == {
        name: at for name, at in due.items() if at <= END.isoformat()
    }
    assert len(overdue) == len({row.record["id"] for row in overdue})
