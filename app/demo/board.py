"""What the demo shows, kept up to date by the engine's spans. No terminal, no wall clock.

Promises: counts what fired before going live and after it apart; facts are those of the committed spans.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from contracts.catalogue import Language
from contracts.factors import CONVERTED_PREFIX, OWN_FACTORS
from contracts.reasons import LEVELS, Alert, Transition, Verdict
from contracts.site import Limit, Site

from ..pipeline import Episodes, Span
from ..texts.texts import PH, Texts

# Which simulated incident an alert of a kind of rule tells of. A limit's alert is an exceedance only where the value
# was judged against the period the limit is for; minute values above an hour's limit are an early warning.
INCIDENT = {
    "limit": "exceedance",
    "flat_line": "stuck",
    "missing": "dropout",
    "rejects": "malformed",
    "treatment_off": "treatment_off",
}
EARLY_WARNING = "early_warning"
RAISED = (Transition.FIRED, Transition.FIRED_IN_RETROSPECT, Transition.REOPENED)
SHOWN = {*RAISED, Transition.LEVEL_CHANGED, Transition.DATA_LOST, Transition.RESOLVED, Transition.WITHDRAWN}
RATE_OVER_S = 5.0
OPEN = (Alert.FIRING, Alert.NO_DATA)


@dataclass(frozen=True)
class Share:
    """A judged value beside its limit."""

    percent: float
    factor: str
    period: str


@dataclass(frozen=True)
class StationState:
    station: str
    name: str
    medium: str
    data_until: datetime | None  # end of the newest reading's period
    worst: Share | None
    level: str | None  # greatest of the open alerts
    silent: bool


@dataclass(frozen=True)
class Told:
    """A transition in words, of the instant (site clock) it was decided."""

    tick: datetime
    transition: str
    level: str
    text: str
    clause: str


@dataclass
class Tally:
    """Counted over history, or over live."""

    counts: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    alerts: dict[str, Counter[str]] = field(default_factory=dict)  # incident -> raised, resolved, withdrawn

    def add(self, span: Span, limits: dict[str, Limit]) -> None:
        self.counts.update(span.counts)
        self.rejects.update(span.rejects["reason"].to_list())
        for row in span.transitions:
            self.count(row, limits)

    def count(self, row: dict[str, object], limits: dict[str, Limit]) -> None:
        """One transition, as a span has them."""
        outcome = "raised" if row["transition"] in RAISED else str(row["transition"])
        if outcome in ("raised", Transition.RESOLVED, Transition.WITHDRAWN):
            self.alerts.setdefault(incident_of(row["episode"], limits), Counter())[outcome] += 1

    def incidents(self, outcome: str) -> list[str]:
        """Kinds of incident of which at least one alert had the outcome."""
        return sorted(kind for kind, n in self.alerts.items() if kind != EARLY_WARNING and n[outcome])


def incident_of(episode: dict[str, object], limits: dict[str, Limit]) -> str:
    """INCIDENT of an episode, or EARLY_WARNING; the kind itself where the table does not know it."""
    limit = limits.get(str(episode["limit_id"]))
    if limit is not None and not (episode["exceeds"] and episode["period"] == limit.period):
        return EARLY_WARNING
    return INCIDENT.get(str(episode["kind"]), str(episode["kind"]))


class Board:
    """`apply` from the engine's thread, everything else from the thread that shows."""

    def __init__(self, site: Site, language: Language, live_from: datetime):
        self.site, self.language, self.live_from = site, language, live_from
        self.texts = Texts(site)
        self.history, self.live = Tally(), Tally()
        self.clock: datetime | None = None  # up to where everything is decided
        self.episodes = Episodes()
        self.told: deque[Told] = deque(maxlen=200)
        self.told_n = 0
        self._mutex = threading.Lock()
        self._until: dict[str, datetime] = {}
        self._shares: dict[tuple[str, str, str], tuple[datetime, Share]] = {}
        self._rates: deque[tuple[float, int, int]] = deque()
        self._limits = {limit.limit_id: limit for limit in site.limits}
        self._upper = [limit.limit_id for limit in site.limits if limit.comparator in ("<=", "<")]
        outlets = {outlet.outlet: outlet for outlet in site.outlets}
        self._media = {station.station: outlets[station.outlet].medium for station in site.stations}

    def apply(self, span: Span, at_s: float) -> None:
        """`at_s`: when, on any steadily running clock of real seconds."""
        with self._mutex:
            is_live = span.clock_from is not None and span.clock_from >= self.live_from
            (self.live if is_live else self.history).add(span, self._limits)
            self.clock = span.clock_to or self.clock
            self.episodes.apply(span.transitions)
            ends = pl.col("event_at") + pl.duration(seconds="period_s")
            for station, at in span.readings.group_by("station").agg(ends.max()).iter_rows():
                self._until[station] = max(at, self._until.get(station, at))
            self._compare(span.verdicts)
            self._tell(span.transitions)
            self._rates.append((at_s, span.counts.get("messages", 0), span.counts.get("readings", 0)))

    def rates(self, now_s: float) -> tuple[float, float]:
        """Messages and readings decided per real second, over the last few."""
        with self._mutex:
            while self._rates and self._rates[0][0] < now_s - RATE_OVER_S:
                self._rates.popleft()
            return (
                sum(messages for _, messages, _ in self._rates) / RATE_OVER_S,
                sum(readings for _, _, readings in self._rates) / RATE_OVER_S,
            )

    def forget_rates(self) -> None:
        with self._mutex:
            self._rates.clear()

    def open_alerts(self) -> list[dict[str, object]]:
        """Open episodes, the gravest first, then the newest."""
        with self._mutex:
            rows = [one for one in self.episodes.by_id.values() if one["state"] in OPEN]
        return sorted(rows, key=lambda one: (rank(one), str(one["fired_at"]), str(one["id"])), reverse=True)

    def open_exceedances(self) -> list[dict[str, object]]:
        return [one for one in self.open_alerts() if incident_of(one, self._limits) == "exceedance"]

    def newest(self) -> list[Told]:
        """What was told last, the newest first."""
        with self._mutex:
            return list(reversed(self.told))

    def told_since(self, n: int) -> tuple[list[Told], int]:
        """What was told after the first `n`, and how many there are now."""
        with self._mutex:
            new = self.told_n - n
            return list(self.told)[-new:] if new > 0 else [], self.told_n

    def stations(self) -> list[StationState]:
        """Every station; those in alarm first."""
        alerts: dict[str, list[dict[str, object]]] = {}
        for one in self.open_alerts():
            alerts.setdefault(str(one["station"]), []).append(one)
        with self._mutex:
            rows = [self._station(station.station, alerts.get(station.station, [])) for station in self.site.stations]
        return sorted(rows, key=lambda row: (-LEVELS.index(row.level) if row.level else 1, not row.silent))

    def _station(self, station: str, alerts: list[dict[str, object]]) -> StationState:
        about = next(one for one in self.site.stations if one.station == station)
        shares = [share for (whose, _, _), (_, share) in self._shares.items() if whose == station]
        silent = any(one["kind"] == "missing" for one in alerts) or station not in self._until
        return StationState(
            station,
            about.name_zh if self.language == "zh" else about.name_en,
            self._media[station],
            self._until.get(station),
            None if silent else max(shares, key=lambda share: share.percent, default=None),
            str(alerts[0]["level"]) if alerts else None,
            silent,
        )

    def _compare(self, verdicts: pl.DataFrame) -> None:
        """Keeps the latest judged value of every upper limit, whatever the window it was judged in."""
        judged = [str(Verdict.EXCEEDANCE), str(Verdict.WITHIN)]
        latest = (
            verdicts.filter(
                pl.col("limit_id").is_in(self._upper)
                & pl.col("state").is_in(judged)
                & (pl.col("limit_scaled") > 0)
                & (pl.col("factor") != PH)
            )
            .sort("window_at", "window_s", "revision")
            .group_by("station", "limit_id", maintain_order=True)
            .last()
        )
        columns = ("station", "limit_id", "factor", "period", "window_at", "window_s", "value_scaled", "limit_scaled")
        for station, limit_id, factor, period, at, window_s, value, limit in latest.select(columns).iter_rows():
            key, ends_at = (station, limit_id, factor), at + timedelta(seconds=window_s)
            known = self._shares.get(key)
            if known is None or known[0] <= ends_at:
                self._shares[key] = (ends_at, Share(100.0 * value / limit, factor, period))

    def _tell(self, transitions: Iterable[dict[str, object]]) -> None:
        for row in transitions:
            if row["transition"] not in SHOWN:
                continue
            episode, transition = row["episode"], str(row["transition"])
            told = Told(
                row["tick"],
                transition,
                str(episode["level"]),
                self.texts.alert(transition, episode, self.language, row["tick"]),
                self.texts.clause(episode),
            )
            if not self.told or self.told[-1] != told:  # a treatment that serves two productions alarms for each
                self.told.append(told)
                self.told_n += 1


def rank(episode: dict[str, object]) -> int:
    return LEVELS.index(str(episode["level"])) if episode["level"] in LEVELS else -1


def base_factor(code: str) -> str:
    """Without our prefix of converted values."""
    return code if code in OWN_FACTORS else code.removeprefix(CONVERTED_PREFIX)
