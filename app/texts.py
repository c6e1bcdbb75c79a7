"""Puts a transition into words: catalogue templates filled with the site's names and local times."""

from datetime import datetime
from decimal import Decimal

from contracts.catalogue import (
    ALERT,
    BASIS,
    CONVERTED,
    DOUBT,
    LEVEL,
    LIMIT_PERIOD,
    PERIOD,
    PROVISIONAL,
    SENSE,
    TENDENCY,
    TIMES,
    TRANSITION,
    VALID,
    Language,
)
from contracts.civil_time import local
from contracts.factors import CONVERTED_PREFIX, TREATMENT_OFF
from contracts.site import Limit, Site
from rules.judgement import Judgements, judged_by, judgements, may_say

PH = "w01001"
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
        self._limits = {limit.limit_id: limit for limit in site.limits}

    def place(self, station: str, language: Language) -> str:
        """Enterprise, outlet and its number; a river section has no enterprise."""
        outlet = self._outlets[self._stations[station].outlet]
        parts = [outlet.name_zh if language == "zh" else outlet.name_en]
        if outlet.enterprise is not None:
            owner = self._enterprises[outlet.enterprise]
            parts.insert(0, owner.name_zh if language == "zh" else owner.name_en)
        number = f"({outlet.outlet_no})" if outlet.outlet_no else ""
        return ("" if language == "zh" else " ").join(parts) + number

    def factor(self, code: str, language: Language) -> str:
        if code in self._pairs:
            pair = self._pairs[code]
            return pair.name_zh if language == "zh" else pair.name_en
        base = self._site.factors.get(code.removeprefix(CONVERTED_PREFIX))
        if base is None:
            return code
        return base.name_zh if language == "zh" else base.name_en

    def at(self, text: object) -> str:
        return local(datetime.fromisoformat(str(text)), self._site.time_zone).strftime("%m-%d %H:%M") if text else ""

    def alert(self, transition: str, episode: dict[str, object], language: Language) -> str:
        """One line in plain words: who, what, value against limit with its basis, since when."""
        limit = self._limits.get(str(episode["limit_id"])) if episode["limit_id"] else None
        value = _number(episode["peak_scaled"], episode["decimals"])
        limit_text = _number(episode["limit_scaled"], episode["decimals"])
        if value == limit_text and episode["peak_scaled"] != episode["limit_scaled"]:  # they differ further down
            value = _number(episode["peak_scaled"], episode["decimals"], in_full=True)
        code = self._code(episode, limit)
        side = "above" if limit is None or limit.comparator in ("<=", "<") else "below"
        words = {
            "place": self.place(str(episode["station"]), language),
            "factor": self.factor(str(episode["factor"]), language),
            "period": PERIOD[str(episode["period"])][language] + self._converted(episode, language),
            "value": value,
            "unit": episode["unit"],
            "limit": limit_text,
            "limit_period": LIMIT_PERIOD[limit.period][language] if limit else "",
            "basis": self._basis(limit, language) if limit else "",
            "sense": SENSE[side][language],
            "tendency": TENDENCY[side][language],
            "doubt": DOUBT[language] if limit and limit.status == "unverified" else "",
            "times": self._times(episode, limit, language),
            "valid": VALID[language].format(n=episode["peak_valid_n"], of=episode["peak_expected_n"]),
        }
        times = {
            "since": self.at(episode["opened_at"]),
            "until": self.at(episode["resolved_at"]),
            "level": LEVEL[str(episode["level"])][language],
            "provisional": PROVISIONAL[language] if code.startswith("limit.") else "",
        }
        parts = [ALERT[code][language].format(**words), TRANSITION[transition][language].format(**times)]
        return (", " if language == "en" else ",").join(parts)

    def clause(self, episode: dict[str, object]) -> str:
        """Standard and clause, and the condition under which the limit holds, if it has one."""
        limit = self._limits.get(str(episode["limit_id"])) if episode["limit_id"] else None
        if limit is None:
            return ""
        said = " ".join(part for part in (limit.standard, limit.clause) if part)
        if limit.when_factor is None or limit.when_value is None:
            return said
        unit = self._site.factors[limit.when_factor].unit
        return f"{said}, {limit.when_factor} {limit.when_comparator} {limit.when_value:g} {unit}"

    def _basis(self, limit: Limit, language: Language) -> str:
        is_quality = limit.basis == "standard" and self._outlets[limit.outlet].medium in QUALITY
        return BASIS["quality" if is_quality else limit.basis][language]

    def _code(self, episode: dict[str, object], limit: Limit | None) -> str:
        if episode["kind"] != "limit" or limit is None:
            return str(episode["kind"])
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
        )
        said = may_say(judgement, limit.status)
        if said != "early_warning" and not episode["exceeds"]:
            return "limit.near"
        return CODES.get(said, "limit.notice")

    def _converted(self, episode: dict[str, object], language: Language) -> str:
        return CONVERTED[language] if str(episode["factor"]).startswith(CONVERTED_PREFIX) else ""

    def _times(self, episode: dict[str, object], limit: Limit | None, language: Language) -> str:
        if limit is None or limit.comparator not in ("<=", "<") or episode["factor"] == PH or not limit.limit:
            return ""
        value, of = Decimal(int(str(episode["peak_scaled"]))), Decimal(int(str(episode["limit_scaled"])))
        times = ((value - of) / of).quantize(Decimal("0.01"))
        return TIMES[language].format(times=times) if times > 0 else ""


def _number(scaled: object, decimals: object, *, in_full: bool = False) -> str:
    """A scaled integer as people write it: at most four decimals (or all of them), no trailing zeros."""
    if scaled is None:
        return "-"
    value = Decimal(int(str(scaled))).scaleb(-int(str(decimals)))
    places = int(str(decimals)) if in_full else 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
