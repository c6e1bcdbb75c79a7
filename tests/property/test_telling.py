"""The law of telling: cuts of the feed, restarts and the order of what comes at one tick change nothing."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.reasons import HeldBack, Telling
from notify.telling.rests import Rest, Rests
from tests.telling_site import START, acknowledge, act, change, minutes, planned_by, silence, told

LEVELS = st.sampled_from(["yellow", "orange", "red"])
ROUTING = {
    "rosters": [{"roster": "duty", "turns": [{"who": ["li"], "hours": "20:00-08:00"}], "otherwise": ["wang"]}],
    "routes": [
        {
            "route": "red",
            "match": {"level": ["red"]},
            "channels": ["boss", "english"],
            "roster": "duty",
            "repeat_every": "7m",
            "escalate": [
                {"after": "5m", "channels": ["night"], "people": ["zhao"]},
                {"after": "20m", "channels": ["hook"]},
            ],
            "continue": True,
        },
        {
            "route": "grouped",
            "match": {"station": ["S1", "S2", "S3"]},
            "channels": ["hook"],
            "group_by": "enterprise",
            "wait": "90s",
            "repeat_every": "11m",
            "quiet": [
                {"levels": ["yellow"], "hours": "20:10-20:40"},
                {"levels": ["orange"], "hours": "20:15-20:25", "channels": ["night"]},
            ],
            "revisions_at": "20:45",
            "tells": ["fired", "level_changed", "data_lost", "data_back", "resolved", "withdrawn", "amended"],
        },
    ],
    "inhibit": [
        {"inhibition": "plant", "source": {"rule": "a", "level": "red"}, "target": {"rule": "b"}, "equal": ["park"]}
    ],
    "storm": {"more_than": 2, "within": "3m"},
    "flapping": {"changes": 4, "within": "9m"},
}
PLAN = planned_by(ROUTING)


@st.composite
def lives(draw):
    """Transitions of alerts that open, change, end and are corrected, as episodes do, in ticks of half a minute."""
    rows = []
    for station in ("S1", "S2", "S3", "S4"):
        for rule, kind in (("a", "limit"), ("b", "flat_line"), ("silent", "missing")):
            tick, opened, is_open, level = draw(st.integers(0, 40)), None, False, "yellow"
            over = False
            for _ in range(draw(st.integers(0, 6))):
                tick += draw(st.integers(1, 25))
                at = START + minutes(tick / 2)
                if opened is None or (over and draw(st.booleans())):
                    opened, is_open, over, level = at, True, False, draw(LEVELS)
                    said = "fired"
                elif is_open:
                    said = draw(
                        st.sampled_from(
                            ["level_changed", "data_lost", "data_back", "resolved", "resolved", "amended", "withdrawn"]
                        )
                    )
                    level = draw(LEVELS) if said == "level_changed" else level
                    is_open, over = said not in ("resolved", "withdrawn"), said in ("resolved", "withdrawn")
                else:
                    said = draw(st.sampled_from(["reopened", "amended"]))
                    is_open, over = said == "reopened", said != "reopened"
                rows.append(
                    change(said, at, station, rule=rule, kind=kind, level=level, opened_at=opened, is_open=is_open)
                )
    return rows


@st.composite
def words(draw, rows):
    """Operators' actions, each known at a tick."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        at = START + minutes(draw(st.integers(0, 120)) / 2)
        kind = draw(st.sampled_from(["acknowledge", "acknowledge", "assign", "silence", "unsilence"]))
        if kind in ("acknowledge", "assign"):
            if not rows:
                continue
            episode = draw(st.sampled_from(rows))["episode"]["id"]
            found.append(act(kind, at, episode=episode, reason="seen", **({"to": "li"} if kind == "assign" else {})))
        elif kind == "silence":
            matchers = draw(st.sampled_from(["station=S1", "rule=a level=yellow,orange", "kind=*"]))
            from_at = START + minutes(draw(st.integers(0, 120)) / 2)
            found.append(silence(at, matchers, from_at, from_at + minutes(draw(st.integers(1, 40)))))
        elif silences := [one for one in found if one.kind == "silence"]:
            found.append(act("unsilence", at, about=draw(st.sampled_from(silences)).name, reason="done"))
    return found


@st.composite
def rests(draw):
    found = {}
    for station in draw(st.sets(st.sampled_from(["S1", "S2", "S3"]))):
        from_at = START + minutes(draw(st.integers(0, 60)))
        tick = from_at + minutes(draw(st.integers(-5, 5)))
        until = draw(st.sampled_from([None, tick + minutes(8)]))
        found[station, "a21026"] = (Rest(from_at, from_at + minutes(draw(st.integers(1, 30))), tick, until),)
    ends = {at for its in found.values() for rest in its for at in (rest.to_at, rest.until) if at}
    return Rests(found, tuple(sorted(ends)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cuts_restarts_and_the_order_within_a_tick_change_nothing(data):
    rows = data.draw(lives())
    actions, at_rest = data.draw(words(rows)), data.draw(rests())
    to = START + minutes(150)
    whole = told(PLAN, rows, actions=actions, rests=at_rest, to=to)
    cuts = data.draw(st.lists(st.integers(0, 300).map(lambda n: START + timedelta(seconds=30 * n)), max_size=12))
    shuffled, said = data.draw(st.permutations(rows)), data.draw(st.permutations(actions))
    parts = told(PLAN, shuffled, actions=said, rests=at_rest, to=to, cuts=tuple(cuts))
    assert parts == whole


OTHER = {
    "routes": [
        {
            "route": "red",
            "match": {"level": ["red", "orange"]},
            "channels": ["boss"],
            "group_by": "station",
            "wait": "1m",
        },
        {"route": "rest", "channels": ["night"], "group_by": "park", "repeat_every": "5m"},
    ],
    "inhibit": ROUTING["inhibit"],
}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_change_of_routes_tells_the_same_however_the_feed_is_cut_and_forgets_nothing(data):
    rows = data.draw(lives())
    actions = data.draw(words(rows))
    to, then = START + minutes(150), (START + minutes(data.draw(st.integers(1, 60))), planned_by(OTHER))
    whole = told(PLAN, rows, actions=actions, to=to, then=then)
    cuts = data.draw(st.lists(st.integers(0, 300).map(lambda n: START + timedelta(seconds=30 * n)), max_size=8))
    assert told(PLAN, rows, actions=actions, to=to, then=then, cuts=tuple(cuts)) == whole
    keys = [(one.key, one.channel) for one in whole.planned]
    assert len(keys) == len(set(keys))
    told_of = {item.record["id"] for one in whole.planned for item in one.items}
    assert {row["episode"]["id"] for row in rows} <= told_of | {one.episode for one in whole.held}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_is_told_twice_and_nothing_is_forgotten(data):
    rows = data.draw(lives())
    actions = data.draw(words(rows))
    found = told(PLAN, rows, actions=actions, to=START + timedelta(hours=5))
    keys = [(one.key, one.channel) for one in found.planned]
    assert len(keys) == len(set(keys))
    told_of = {item.record["id"] for one in found.planned for item in one.items}
    held_of = {one.episode for one in found.held}
    assert {row["episode"]["id"] for row in rows} <= told_of | held_of
    for one in found.planned:
        assert (one.kind == Telling.STORM) <= (len(one.items) > 1)
        assert all(item.decided_at <= one.tick for item in one.items)


CALM = {key: value for key, value in ROUTING.items() if key not in ("inhibit", "flapping")}  # these explain an end
CALM["flapping"] = None
CALM["routes"] = [ROUTING["routes"][0], {**ROUTING["routes"][1], "tells": [*ROUTING["routes"][1]["tells"], "reopened"]}]
CALM_PLAN = planned_by(CALM)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whoever_was_told_of_an_alert_is_told_when_it_is_over(data):
    rows = data.draw(lives())
    actions = data.draw(words(rows))
    found = told(CALM_PLAN, rows, actions=actions, to=START + timedelta(days=3))
    is_over = {row["episode"]["id"]: not row["episode"]["open"] for row in rows}
    last = {(one.route, item.record["id"]): item for one in found.planned for item in one.items}
    assert [item for (_, episode), item in last.items() if is_over[episode] and item.record["open"]] == []


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_silence_of_everything_tells_nothing_while_it_lasts(data):
    rows = data.draw(lives())
    quiet = silence(START, "kind=*", START, START + timedelta(days=1))
    found = told(PLAN, rows, actions=[quiet], to=START + timedelta(hours=23))
    assert found.planned == []
    assert {one.why for one in found.held} <= {
        HeldBack.SILENCED,
        HeldBack.OVERTAKEN,
        HeldBack.GROUPED,
        HeldBack.NO_ROUTE,
        HeldBack.NOT_TOLD_BEFORE,
    }


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_an_acknowledged_alert_is_never_repeated_nor_taken_further_while_it_stays_so(data):
    rows = [change("fired", START + minutes(1), level="red", rule="a")]
    at = START + minutes(data.draw(st.integers(2, 60)))
    found = told(PLAN, rows, actions=[acknowledge(at, rule="a")], to=START + timedelta(hours=6))
    again = [one.tick for one in found.planned if one.kind in (Telling.REPEAT, Telling.ESCALATION)]
    assert all(tick < at for tick in again)
