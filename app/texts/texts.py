"""Puts a transition into words: catalogue templates filled with the site's names and local times."""

from datetime import datetime, timedelta
from decimal import Decimal

from contracts.catalogue import (
    ADVICE,
    ALERT,
    BASIS,
    BOUND,
    CONVERTED,
    CONVERTED_AT,
    DOUBT,
    FINALITY,
    LEVEL,
    LIMIT_PERIOD,
    PERIOD,
    ROLLING,
    SENSE,
    TENDENCY,
    TIMES,
    TRANSITION,
    VALID,
    VALID_MINUTES,
    WATER_CLASS,
    WINDOW_AT,
    Language,
)
from contracts.catalogue.telling import ABOUT, SAID, SHORT, SHORT_AT, SURE
from contracts.civil_time import local, next_boundary
from contracts.factors import CONVERTED_PREFIX, TREATMENT_OFF
from contracts.reasons import Transition
from contracts.site import Limit, Site
from rules.facts.deadline import deadline_at
from rules.facts.tables import compile_marking
from rules.tables.judgement import Judgements, judged_by, judgements, may_say

from .made import in_unit, made_code, made_words
from .park import ParkTexts

PH = "w01001"
GONE = {Transition.WITHDRAWN, Transition.SUPERSEDED}  # what was said is no longer so, or no longer judged
OVER = GONE | {Transition.RESOLVED, Transition.FIRED_IN_RETROSPECT}
NOT_JUDGED = {"limit.near", "limit.early"}  # early warnings: there is nothing to be provisional or final about
AT = {"day": "%m-%d", "month": "%Y-%m", "year": "%Y"}  # how a window is named; the others by month, day and minute
QUALITY = ("surface_water", "ambient_air")  # media whose standards say how good, not how much may be let out
CODES = {"exceedance": "limit.exceedance", "not_met": "limit.ultra_low", "early_warning": "limit.early"}


class Texts:
    """judged: the table of words; the shipped one, if none is given."""

    def __init__(self, site: Site, judged: Judgements | None = None):
        self._site = site
        self._judged = judgements() if judged is None else judged
        self._stations = {station.station: station for station in site.stations}
        self._outlets = {outlet.outlet: outlet for outlet in site.outlets}
        self._enterprises = {enterprise.enterprise: enterprise for enterprise in site.enterprises}
        self._pairs = {f"{TREATMENT_OFF}:{pair.pair}": pair for pair in site.pairs}
        self._deadlines = compile_marking(site).deadlines
        self._limits = {limit.limit_id: limit for limit in site.limits}
        self._of_park = ParkTexts(site)

    def place(self, station: str, language: Language, *, with_number: bool = True) -> str:
        """Enterprise, outlet and its number (a river section has no enterprise); a park; a shared facility."""
        if (subject := self._of_park.place(station, language)) is not None:
            return subject
        if station not in self._stations:
            return station  # the site had it once: an alert of then ends
        outlet = self._outlets[self._stations[station].outlet]
        parts = [outlet.name_zh if language == "zh" else outlet.name_en]
        if outlet.enterprise is not None:
            owner = self._enterprises[outlet.enterprise]
            parts.insert(0, owner.name_zh if language == "zh" else owner.name_en)
        if outlet.outlet_no and with_number:
            parts.append(f"({outlet.outlet_no})")
        return ("" if language == "zh" else " ").join(parts)

    def factor(self, code: str, language: Language) -> str:
        if code in self._pairs:
            pair = self._pairs[code]
            return pair.name_zh if language == "zh" else pair.name_en
        base = self._site.factors.get(code.removeprefix(CONVERTED_PREFIX))
        if base is None:
            return code
        return base.name_zh if language == "zh" else base.name_en

    def at(self, text: object, tick: datetime | None = None, form: str = "%m-%d %H:%M") -> str:
        """In the site's time; with its year, where that is another than the tick's."""
        if not text:
            return ""
        at = local(datetime.fromisoformat(str(text)), self._site.time_zone)
        is_other = tick is not None and at.year != local(tick, self._site.time_zone).year
        return at.strftime(f"%Y-{form}" if is_other and "%Y" not in form else form)

    def final_from(self, episode: dict[str, object]) -> datetime:
        """Until when, and with it, the verdict on the episode's peak is provisional: its window may still be marked.

        Of a park or shared facility: until the last of the site's deadlines, for it is made of stations' windows.
        """
        own = self._deadlines.get(str(episode["station"]))
        deadlines = set(self._deadlines.values()) if own is None else {own}
        return max(deadline_at(self._peak_last(episode), one, self._site.time_zone) for one in deadlines)

    def alert(self, transition: str, episode: dict[str, object], language: Language, tick: datetime) -> str:
        """One line in plain words: who, what, value against limit with its basis, since when, whether it is final.

        The value is the worst so far; it is said of which window, unless that is the one in which the alert began.
        tick: of the decision that is told.
        """
        code = self._code(episode, self._limit(episode))
        times = {
            "alert": self._alert(transition, episode, language, tick),
            "since": self.at(episode["opened_at"], tick),
            "until": self.at(episode["resolved_at"], tick),
            "level": LEVEL[str(episode["level"])][language],
            "provisional": self._finality(episode, language, tick) if self._is_judged(code) else "",
        }
        return TRANSITION[transition][language].format(**times)

    def short(self, transition: str, episode: dict[str, object], language: Language, tick: datetime) -> str:
        """For a short message, whose end may be cut off: what happened, its level, how sure and when come first."""
        code, is_gone = self._code(episode, self._limit(episode)), transition in GONE
        is_final = tick > self.final_from(episode)
        words = {
            "said": SAID[transition][language],
            "level": LEVEL[str(episode["level"])][language],
            "sure": SURE["final" if is_final else "provisional"][language]
            if self._is_judged(code) and not is_gone
            else "",
            "at": self._short_at(
                episode["resolved_at" if transition == Transition.RESOLVED else "opened_at"], language, tick
            ),
            "alert": self._alert(transition, episode, language, tick, in_short=True),
        }
        return SHORT[language].format(**words)

    def _short_at(self, text: object, language: Language, tick: datetime) -> str:
        """Without its month, where that is the tick's."""
        at, told = (local(one, self._site.time_zone) for one in (datetime.fromisoformat(str(text)), tick))
        is_same = (at.year, at.month) == (told.year, told.month)
        return at.strftime(SHORT_AT[language]) if is_same else self.at(text, tick)

    def what(self, episode: dict[str, object], language: Language) -> str:
        """What an alert is about, in a word or two: its factor, or what is wrong with the station."""
        factor = str(episode["factor"])
        if factor.removeprefix(CONVERTED_PREFIX) in self._site.factors or factor in self._pairs:
            return self.factor(factor, language)
        return ABOUT.get(str(episode["kind"]), {}).get(language, "")

    def _limit(self, episode: dict[str, object]) -> Limit | None:
        return self._limits.get(str(episode["limit_id"])) if episode["limit_id"] else None

    def _is_judged(self, code: str) -> bool:
        return code.startswith(("limit.", "removal.")) and code not in NOT_JUDGED

    def _alert(
        self,
        transition: str,
        episode: dict[str, object],
        language: Language,
        tick: datetime,
        *,
        in_short: bool = False,
    ) -> str:
        limit = self._limit(episode)
        value = _number(episode["peak_scaled"], episode["decimals"])
        limit_text = _number(episode["limit_scaled"], episode["decimals"])
        if value == limit_text and episode["peak_scaled"] != episode["limit_scaled"]:  # they differ further down
            value = _number(episode["peak_scaled"], episode["decimals"], in_full=True)
        code = self._code(episode, limit)
        side = _side(episode, limit)
        window = "" if in_short else self._window(transition, episode, tick)
        made = made_words(episode, lambda factor: self.named(factor, language), language)
        made["span"] += WINDOW_AT[language].format(at=window) if window else ""
        words = {
            "place": self.place(str(episode["station"]), language, with_number=not in_short),
            "factor": self.factor(str(episode["factor"]), language),
            "period": self._period(episode, language, window),
            "value": value,
            "amount": in_unit(value, str(episode["unit"]), language),
            "limit": limit_text,
            "limit_period": LIMIT_PERIOD[limit.period][language] if limit else "",
            "basis": self._basis(limit, language) if limit else "",
            "water_class": WATER_CLASS.get(value, {}).get(language, ""),
            "target_class": WATER_CLASS.get(limit_text, {}).get(language, ""),
            "sense": SENSE[side][language],
            "bound": BOUND[side][language],
            "tendency": TENDENCY[side][language],
            "doubt": DOUBT[language] if limit and limit.status == "unverified" else "",
            "times": self._times(episode, limit, language),
            "valid": _valid(episode, language),
            "advice": "" if transition in OVER else ADVICE.get(code, {}).get(language, ""),
            "rule": episode["rule"],
            "of_limit": in_unit(f"{limit.limit:.10g}", limit.unit, language) if limit else "",
            "valid_n": episode["peak_valid_n"],
            "expected_n": episode["peak_expected_n"],
            **made,
            **self._of_park.words(episode, lambda its: self.place(its, language), language),
        }
        return ALERT[code][language].format(**words)

    def _window(self, transition: str, episode: dict[str, object], tick: datetime) -> str:
        """Of the value; empty where the alert begins with it."""
        if transition == Transition.FIRED and episode["peak_at"] == episode["opened_at"]:
            return ""
        return self.at(episode["peak_at"], tick, AT.get(str(episode["period"]), "%m-%d %H:%M"))

    def named(self, code: str, language: Language) -> str:
        """A factor's name, which says so where its values are converted."""
        return self.factor(code, language) + (CONVERTED[language] if code.startswith(CONVERTED_PREFIX) else "")

    def _period(self, episode: dict[str, object], language: Language, window: str) -> str:
        period, made = str(episode["period"]), episode.get("made_of")
        said = PERIOD[period][language]
        if isinstance(made, dict) and made["kind"] == "pooled":
            said = ROLLING[period][language].format(n=made["windows"])
        is_converted = str(episode["factor"]).startswith(CONVERTED_PREFIX)
        if window:
            return said + (CONVERTED_AT if is_converted else WINDOW_AT)[language].format(at=window)
        return said + (CONVERTED[language] if is_converted else "")

    def clause(self, episode: dict[str, object]) -> str:
        """Standard and clause, and the condition under which the limit holds, if it has one."""
        limit = self._limit(episode)
        if limit is None:
            return self._of_park.clause(episode)
        said = " ".join(part for part in (limit.standard, limit.clause) if part)
        if limit.when_factor is None or limit.when_value is None:
            return said
        of = self._site.factors.get(limit.when_factor)  # none: a mass rate, which is ours
        unit = "kg/h" if of is None else of.unit
        return f"{said}, {limit.when_factor} {limit.when_comparator} {limit.when_value:g} {unit}"

    def _peak_last(self, episode: dict[str, object]) -> datetime:
        """The last instant of the window the peak stands for."""
        peak_at, period = datetime.fromisoformat(str(episode["peak_at"])), str(episode["period"])
        if period == "instant":
            return peak_at
        return next_boundary(peak_at, period, self._site.time_zone) - timedelta(microseconds=1)

    def _finality(self, episode: dict[str, object], language: Language, tick: datetime) -> str:
        final_from = self.final_from(episode)
        if tick > final_from:
            return FINALITY["final"][language]
        if (own := self._deadlines.get(str(episode["station"]))) is None:
            return ""
        by, told = local(final_from, self._site.time_zone), local(tick, self._site.time_zone)
        is_next_day = own.per == "day" and by.date() == told.date() + timedelta(days=1)  # of the day it is told on
        if is_next_day:
            return FINALITY["by_day"][language].format(at=by.strftime("%H:%M"))
        return FINALITY["by_hour"][language].format(at=by.strftime("%m-%d %H:%M"))

    def _basis(self, limit: Limit, language: Language) -> str:
        is_quality = limit.basis == "standard" and self._outlets[limit.outlet].medium in QUALITY
        return BASIS["quality" if is_quality else limit.basis][language]

    def _code(self, episode: dict[str, object], limit: Limit | None) -> str:
        share = episode["kind"] == "occurrences" and limit is not None and limit.basis == "ultra_low"
        if limit is None and episode["kind"] == "limit":
            return "limit.notice"  # the site has it no more
        if limit is None or not (share or episode["kind"] in ("limit", "removal")):
            return self._of_park.code(episode) or made_code(episode)
        outlet = self._outlets[limit.outlet]
        owner = self._enterprises[outlet.enterprise].industry if outlet.enterprise is not None else ""
        opened_at = datetime.fromisoformat(str(episode["opened_at"]))
        judgement = judged_by(
            self._judged,
            medium=outlet.medium,
            industry=owner if limit.industry is None else limit.industry,
            factor=limit.factor,
            period=str(episode["period"]),
            limit_period=limit.period,
            basis=limit.basis,
            on=local(opened_at, self._site.time_zone).date(),
            test="share" if share else "value",
        )
        said = may_say(judgement, limit.status)
        if share:
            return "share.ultra_low" if said == "not_met" else "share.notice"
        if episode["kind"] == "removal":
            return "removal.exceedance" if said == "exceedance" else "removal.notice"
        if said != "early_warning" and not episode["exceeds"]:
            return "limit.near"
        return CODES.get(said, "limit.notice")

    def _times(self, episode: dict[str, object], limit: Limit | None, language: Language) -> str:
        if limit is None or limit.comparator not in ("<=", "<") or episode["factor"] == PH or not limit.limit:
            return ""
        value, of = Decimal(int(str(episode["peak_scaled"]))), Decimal(int(str(episode["limit_scaled"])))
        times = ((value - of) / of).quantize(Decimal("0.01"))
        return TIMES[language].format(times=times) if times > 0 else ""


def _side(episode: dict[str, object], limit: Limit | None) -> str:
    """The side on which a value is beyond its limit; of a rule's own number the one it lies on."""
    if limit is not None and limit.comparator in ("<=", "<", ">=", ">"):
        return "above" if limit.comparator in ("<=", "<") else "below"
    value, bound = episode["peak_scaled"], episode["limit_scaled"]
    return "below" if value is not None and bound is not None and int(str(value)) < int(str(bound)) else "above"


def _valid(episode: dict[str, object], language: Language) -> str:
    """In minutes where an hour has a value for each."""
    n, of, made = episode["peak_valid_n"], episode["peak_expected_n"], episode.get("made_of")
    is_minutes = episode["period"] == "hour" and of == 60 and not (isinstance(made, dict) and made["kind"] == "pooled")
    return (VALID_MINUTES if is_minutes else VALID)[language].format(n=n, of=of)


def _number(scaled: object, decimals: object, *, in_full: bool = False) -> str:
    """A scaled integer as people write it: at most four decimals (or all of them), no trailing zeros."""
    if scaled is None:
        return "-"
    value = Decimal(int(str(scaled))).scaleb(-int(str(decimals)))
    places = int(str(decimals)) if in_full else 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
