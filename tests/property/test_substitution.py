"""Substitution against a naive oracle that walks back hour by hour, with small numbers in place of the rules' own."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rules.accounts.substitution import FULL, PARTIAL, STOP_TYPES
from rules.tables.reference import validity_rules
from tests.mass_hours import FEW, HOUR, Q1, account, effect, stack

GAP_H, SHORT, LONG, MOST = 2, 3, 5, 8
RULES = {
    **validity_rules(),
    FULL: validity_rules()[FULL].model_copy(
        update={
            "numbers": {
                "capture_pct": Decimal("70.5"),
                "gap_h": Decimal(GAP_H),
                "short_gap_hours": Decimal(SHORT),
                "long_gap_hours": Decimal(LONG),
            }
        }
    ),
    PARTIAL: validity_rules()[PARTIAL].model_copy(
        update={"numbers": {"capture_from_pct": Decimal(40), "capture_to_pct": Decimal("70.5"), "hours": Decimal(MOST)}}
    ),
}
# (concentration, flow, how often) in a row, and where of the quarter's border the row begins
runs = st.lists(
    st.tuples(
        st.sampled_from([None, FEW, 0, 3, 10, 11, 50]), st.sampled_from([100, 100, 300, 0, None]), st.integers(1, 4)
    ),
    min_size=1,
    max_size=14,
)
before = st.integers(0, 30)
stops = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=2)


def hours_of(runs, stops, lag):
    """One dict an hour: concentration, flow, whether it was due, its quarter."""
    values = [(c, q) for c, q, n in runs for _ in range(n)]
    stopped = {h for begin, length in stops for h in range(begin, begin + length)}
    return [
        {"c": None if c == FEW else c, "q": q, "due": n not in stopped, "quarter": n >= lag}
        for n, (c, q) in enumerate(values)
    ]


def mass(c, q, factor):
    """mg/h, to the milligram; nothing flows: nothing is emitted."""
    if q is None or (c is None and q != 0):
        return None
    return round((0 if q == 0 else c) * q * factor)


def captured(hours, quarter):
    due = [h for h in hours if h["due"] and h["quarter"] == quarter]
    valid = [h for h in due if h["mass"] is not None]
    return Fraction(len(valid), len(due)) * 100


def walked_back(hours, n, is_there, counts):
    """The hours before the gap that holds hour n which are there, the latest first; and the gap's length."""
    begin = n
    while begin > 0 and not (counts(hours[begin - 1]) and is_there(hours[begin - 1])):
        begin -= 1
    end = n
    while end + 1 < len(hours) and not (counts(hours[end + 1]) and is_there(hours[end + 1])):
        end += 1
    length = sum(counts(h) and not is_there(h) for h in hours[begin : end + 1])
    return [m for m in range(begin - 1, -1, -1) if counts(hours[m]) and is_there(hours[m])], length


def greatest(hours, n):
    """(state, mass, hours it is of) of a missing hour of flue gas."""
    share = captured(hours, hours[n]["quarter"])
    if share < 40:
        return "unknown", None, None
    found, length = walked_back(hours, n, lambda h: h["mass"] is not None, lambda h: h["due"])
    found = found[: MOST if share < Fraction("70.5") else SHORT if length <= GAP_H else LONG]
    if not found:
        return "unknown", None, None
    return "substituted", max(hours[m]["mass"] for m in found), (len(found), found[-1], found[0])


def mean_of(hours, n, key, counts):
    found, length = walked_back(hours, n, lambda h: h[key] is not None, counts)
    found = found[:length]
    return Fraction(sum(hours[m][key] for m in found), len(found)) if found else None


def preceding(hours, n):
    """(state, mass) of a missing hour of waste water."""
    for m, hour in enumerate(hours):
        flow = hour["q"]
        hour["flow"] = flow if flow is not None or not hour["due"] else mean_of(hours, m, "q", lambda h: h["due"])
    q, c = hours[n]["flow"], hours[n]["c"]
    if c is None and q != 0:
        c = mean_of(hours, n, "c", lambda h: h["due"] and h["flow"] != 0)
    made = mass(c, q, 1000)
    return ("unknown", None) if made is None else ("substituted", made)


def began(lag):
    return Q1 - lag * HOUR


def accounted(whole, runs, stops, lag):
    values = [(c, q) for c, q, n in runs for _ in range(n)]
    effects = [effect(began(lag) + a * HOUR, began(lag) + (a + n) * HOUR) for a, n in stops]
    concentrations, flows = zip(*values, strict=True)
    return account(whole, list(concentrations), list(flows), began(lag), effects=effects, rules=RULES)


@given(runs, stops, before)
def test_flue_gas_takes_the_greatest_mass_a_naive_walk_back_finds(runs, stops, lag):
    hours = hours_of(runs, stops, lag)
    for h in hours:
        h["mass"] = mass(h["c"], h["q"], 1)
    made = accounted(stack(), runs, stops, lag)
    for n, (h, row) in enumerate(zip(hours, made, strict=True)):
        told = (row["state"], row["rate"])
        if not h["due"]:
            assert told == ("stopped", h["mass"])
        elif h["mass"] is not None:
            assert told == ("measured", h["mass"])
        else:
            state, rate, of = greatest(hours, n)
            assert told == (state, rate)
            if of is not None:
                first, last = began(lag) + of[1] * HOUR, began(lag) + (of[2] + 1) * HOUR
                assert (row["of_n"], row["of_from"], row["of_to"]) == (of[0], first, last)


WATER = stack("w01018", "waste_water", interval_s=3600)


@given(runs, stops, before)
def test_waste_water_takes_the_mean_a_naive_walk_back_finds(runs, stops, lag):
    hours = hours_of(runs, stops, lag)
    made = accounted(WATER, runs, stops, lag)
    for n, (h, row) in enumerate(zip(hours, made, strict=True)):
        measured = mass(h["c"], h["q"], 1000)
        told = (row["state"], row["rate"])
        if not h["due"]:
            assert told == ("stopped", measured)
        elif measured is not None:
            assert told == ("measured", measured)
        else:
            state, rate = preceding(hours, n)
            assert row["state"] == state
            assert rate == row["rate"] or abs(rate - row["rate"]) <= 1  # its halves are rounded of a float
        assert (row["unknown"] is None) == (row["state"] != "unknown")


def test_the_types_of_marks_that_are_stops_are_types_there_are():
    from rules.facts.tables import TYPES, shipped_tables

    text = shipped_tables()[TYPES]
    assert all(f"\n{name}," in text for name in STOP_TYPES)
