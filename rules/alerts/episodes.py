"""Alert episodes: a pure fold over the latest verdicts, and what changed in them at each decision tick.

Episodes speak of event time only. Transitions are history: appended at ticks, never taken back.
A window that cannot be judged neither raises, clears nor counts towards pending or recovery; one that the rule does not
apply to is passed over; one within, but nearer to its level than the rule's hysteresis, keeps an open alert open.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from contracts.reasons import LEVELS, Alert, Transition

RANK = {level: rank for rank, level in enumerate(LEVELS)}


@dataclass(frozen=True)
class Window:
    """One verdict as the fold sees it."""

    at: datetime
    seconds: int
    level: str | None  # null: within
    judged: bool
    value_scaled: int | None
    exceeds: bool = False  # beyond the limit itself, not only near it
    valid_n: int = 0
    expected_n: int = 0
    applies: bool = True  # false: the rule has nothing to say of it, and neither are data missing
    near: bool = False  # within, and not so far that an open alert may end
    which: int | None = None  # of what it counts: a bit each

    @property
    def end_at(self) -> datetime:
        return self.at + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Episode:
    """One alert, in event time."""

    opened_at: datetime  # start of the first window beyond the limit
    fired_at: datetime  # end of the window that made it last long enough
    level: str  # of the latest window beyond the limit
    peak: Window  # the first of the highest level
    last_at: datetime  # start of the latest window beyond the limit
    state: Alert = Alert.FIRING
    resolved_at: datetime | None = None


@dataclass(frozen=True)
class Machine:
    """Where the fold stands. `bad_s`, `good_s`: event time gathered towards pending and recovery."""

    bad_s: int = 0
    good_s: int = 0
    since: Window | None = None
    peak: Window | None = None
    open: Episode | None = None

    @property
    def idle(self) -> bool:
        return self.since is None and self.open is None


def worse(a: Window, b: Window) -> Window:
    """The one with the higher level; of equals the earlier."""
    assert a.level is not None
    assert b.level is not None
    return b if RANK[b.level] > RANK[a.level] else a


def step(machine: Machine, window: Window, pending_s: int, recovery_s: int) -> tuple[Machine, Episode | None]:
    """One window further. Returns the machine and an episode that ended with this window."""
    if not window.applies:
        return machine, None
    if not window.judged:
        if machine.open is None:
            return machine, None
        return replace(machine, open=replace(machine.open, state=Alert.NO_DATA)), None
    if window.level is None:
        return _good(machine, window, recovery_s)
    return _bad(machine, window, pending_s), None


def _good(machine: Machine, window: Window, recovery_s: int) -> tuple[Machine, Episode | None]:
    if machine.open is None:
        return Machine(), None
    if window.near:
        return replace(machine, good_s=0, open=replace(machine.open, state=Alert.FIRING)), None
    good_s = machine.good_s + window.seconds
    if good_s >= recovery_s:
        return Machine(), replace(machine.open, state=Alert.RESOLVED, resolved_at=window.end_at)
    return replace(machine, good_s=good_s, open=replace(machine.open, state=Alert.FIRING)), None


def _bad(machine: Machine, window: Window, pending_s: int) -> Machine:
    assert window.level is not None
    if machine.open is not None:
        episode = machine.open
        peak = worse(episode.peak, window)
        episode = replace(episode, level=window.level, peak=peak, last_at=window.at, state=Alert.FIRING)
        return replace(machine, good_s=0, open=episode)
    bad_s = machine.bad_s + window.seconds
    since = machine.since or window
    peak = worse(machine.peak, window) if machine.peak else window
    if bad_s < pending_s:
        return Machine(bad_s=bad_s, since=since, peak=peak)
    episode = Episode(opened_at=since.at, fired_at=window.end_at, level=window.level, peak=peak, last_at=window.at)
    return Machine(open=episode)


def fold(machine: Machine, windows: list[Window], pending_s: int, recovery_s: int) -> tuple[Machine, list[Episode]]:
    """The machine after the windows, and every episode that ended in them."""
    ended = []
    for window in windows:
        machine, episode = step(machine, window, pending_s, recovery_s)
        if episode is not None:
            ended.append(episode)
    return machine, ended


def episode_id(rule: str, station: str, factor: str, limit_id: str | None, opened_at: datetime) -> str:
    """Hash of what the episode is about and when it began: the same whenever and wherever it is derived."""
    text = "\x1f".join((rule, station, factor, limit_id or "", opened_at.isoformat()))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _told(episode: Episode) -> Episode:
    """As it is published: an open episode says nothing of its latest window, which moves on without a transition."""
    return replace(episode, last_at=episode.last_at if episode.resolved_at else episode.opened_at)


def changes(before: list[Episode], after: list[Episode], late: bool) -> list[tuple[Transition, Episode]]:
    """What a tick did to a subject's episodes; an episode is the same one when it opened at the same instant."""
    old = {episode.opened_at: episode for episode in before}
    new = {episode.opened_at: episode for episode in after}
    found: list[tuple[Transition, Episode]] = []
    for opened_at in sorted(old.keys() - new.keys()):
        found.append((Transition.WITHDRAWN, old[opened_at]))
    for opened_at in sorted(new.keys()):
        now, was = new[opened_at], old.get(opened_at)
        if was is None:
            over = now.state == Alert.RESOLVED
            found.append((Transition.FIRED_IN_RETROSPECT if late and over else Transition.FIRED, now))
        elif now.state == Alert.RESOLVED and was.state != Alert.RESOLVED:
            found.append((Transition.RESOLVED, now))
        elif now.state != Alert.RESOLVED and was.state == Alert.RESOLVED:
            found.append((Transition.REOPENED, now))
        elif now.state == Alert.NO_DATA and was.state == Alert.FIRING:
            found.append((Transition.DATA_LOST, now))
        elif now.state == Alert.FIRING and was.state == Alert.NO_DATA:
            found.append((Transition.DATA_BACK, now))
        elif now.level != was.level:
            found.append((Transition.LEVEL_CHANGED, now))
        elif late and _told(now) != _told(was):
            found.append((Transition.AMENDED, now))
    return found
