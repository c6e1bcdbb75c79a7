"""A small site with routes, and transitions as the pipeline gives them, for tests of telling."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from contracts.actions import Action
from contracts.routing import Routing
from contracts.site import Enterprise, Park, Site
from notify.telling.adapt import adapt
from notify.telling.plan import TellPlan, compile_telling
from notify.telling.planned import Told
from notify.telling.rests import Rests
from notify.telling.state import TellState, from_json, to_json
from notify.telling.tell import tell

from .builders import site

# A Thursday in Shanghai, 20:00; 2026-10-01 is the first day of the National Day holiday.
START = datetime(2026, 9, 24, 12, tzinfo=UTC)
CHANNELS = tuple(
    {"type": "webhook", "name": name, "url": f"http://127.0.0.1:9/{name}", "language": language}
    for name, language in (("hook", "zh"), ("english", "en"), ("boss", "zh"), ("night", "zh"))
)
PEOPLE = [
    {"person": name, "name_zh": name, "name_en": name, "phone": f"1380000000{n}"}
    for n, name in enumerate(("wang", "li", "zhao"))
]


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def told_site(routing: dict[str, Any] | None = None, stations: int = 4) -> Site:
    """Stations S1, S2, ... of enterprises E1 (odd) and E2 (even) in the park P."""
    base = site([{"station": f"S{n}"} for n in range(1, stations + 1)], channels=CHANNELS)
    outlets = tuple(
        outlet.model_copy(update={"enterprise": f"E{2 - int(outlet.outlet[3:]) % 2}", "park": "P"})
        for outlet in base.outlets
    )
    enterprises = tuple(
        Enterprise(enterprise=name, county="C1", park="P", name_zh=name, name_en=name, industry="cement")
        for name in ("E1", "E2")
    )
    parks = (Park(park="P", county="C1", name_zh="园", name_en="park"),)
    made = None if routing is None else Routing(**{"version": 1, "people": PEOPLE, **routing})
    return base.model_copy(update={"outlets": outlets, "enterprises": enterprises, "parks": parks, "routing": made})


def planned_by(routing: dict[str, Any] | None = None, stations: int = 4) -> TellPlan:
    return compile_telling(told_site(routing, stations))


def episode_of(station: str, rule: str, opened_at: datetime) -> str:
    return sha256(f"{rule}{station}{opened_at}".encode()).hexdigest()[:20]


def change(
    said: str,
    at: datetime,
    station: str = "S1",
    *,
    rule: str = "so2",
    kind: str = "limit",
    level: str = "orange",
    opened_at: datetime = START,
    is_open: bool | None = None,
    state: str = "firing",
) -> dict[str, Any]:
    """A row of Span.transitions."""
    over = said in ("resolved", "fired_in_retrospect") if is_open is None else not is_open
    return {
        "tick": at,
        "transition": said,
        "episode": {
            "id": episode_of(station, rule, opened_at),
            "rule": rule,
            "kind": kind,
            "station": station,
            "factor": "a21026",
            "period": "hour",
            "limit_id": None,
            "limit_scaled": 50,
            "decimals": 0,
            "unit": "mg/m3",
            "state": "resolved" if over else state,
            "level": level,
            "exceeds": True,
            "peak_level": level,
            "peak_scaled": 60,
            "peak_at": opened_at.isoformat(),
            "peak_valid_n": 60,
            "peak_expected_n": 60,
            "opened_at": opened_at.isoformat(),
            "fired_at": opened_at.isoformat(),
            "last_at": opened_at.isoformat() if over else None,
            "resolved_at": at.isoformat() if over else None,
            "open": not over,
            "made_of": None,
        },
    }


def act(kind: str, at: datetime, by: str = "wang", **body: str) -> Action:
    name = sha256(f"{kind}{at}{by}{sorted(body.items())}".encode()).hexdigest()[:32]
    return Action(name=name, kind=kind, actor=by, origin="test", made_at=at, known_at=at, body=body)


def acknowledge(at: datetime, station: str = "S1", rule: str = "so2", opened_at: datetime = START) -> Action:
    return act("acknowledge", at, episode=episode_of(station, rule, opened_at), reason="seen")


def silence(at: datetime, matchers: str, from_at: datetime, to_at: datetime) -> Action:
    about = {"from_at": from_at.isoformat(), "to_at": to_at.isoformat(), "reason": "work"}
    return act("silence", at, matchers=matchers, **about)


def told(
    plan: TellPlan,
    rows: list[dict[str, Any]],
    *,
    actions: list[Action] = [],  # noqa: B006
    rests: Rests = Rests(),
    to: datetime = START + timedelta(days=2),
    cuts: tuple[datetime, ...] = (),
    then: tuple[datetime, TellPlan] | None = None,
) -> Told:
    """What a feed tells, cut at instants, the state taken through JSON there. then: other routes from there on."""
    state, whole, after = TellState(), Told(), START - timedelta(days=1)
    for end in sorted({*(cut for cut in cuts if cut < to), to, *([then[0]] if then else [])}):
        its = [row for row in rows if after < row["tick"] <= end]
        # an action comes with the journal rows before the clock has reached its tick
        said = [action for action in actions if after < action.known_at <= end]
        part = tell(plan, state, its, said, rests, end)
        if then is not None and end == then[0]:
            plan = then[1]
            part.held += adapt(plan, state).held
        state, after = from_json(to_json(state)), end
        whole.planned += part.planned
        whole.held += part.held
        whole.care += part.care
        whole.actions += part.actions
    return whole


def lines(of: Told, channel: str | None = None) -> list[str]:
    """What was planned, a line each: minutes after START, channel, kind, step, and what of whom; sorted in a tick."""
    found = [
        (
            one.tick,
            f"{(one.tick - START).total_seconds() / 60:g}m {one.channel} {one.kind}"
            + (f" {one.step}" if one.step else "")
            + " "
            + ", ".join(f"{item.transition} {item.record['station']}" for item in one.items),
        )
        for one in of.planned
        if channel in (None, one.channel)
    ]
    return [line for _, line in sorted(found)]


def held(of: Told) -> list[str]:
    return [
        f"{(one.tick - START).total_seconds() / 60:g}m {one.transition} {one.why}"
        + (f" until {(one.until - START).total_seconds() / 60:g}m" if one.until else "")
        for one in of.held
    ]
