"""Puts a transition into words: catalogue templates filled with the site's names and local times."""

from datetime import datetime
from decimal import Decimal

from contracts.catalogue import (
    ALERT,
    BASIS,
    CONVERTED,
    LEVEL,
    PERIOD,
    PROVISIONAL,
    SENSE,
    TIMES,
    TRANSITION,
    VALID,
    Language,
)
from contracts.civil_time import local
from contracts.factors import CONVERTED_PREFIX, TREATMENT_OFF
from contracts.site import Limit, Site

PH = "w01001"


class Texts:
    def __init__(self, site: Site):
        self._site = site
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
        words = {
            "place": self.place(str(episode["station"]), language),
            "factor": self.factor(str(episode["factor"]), language),
            "period": PERIOD[str(episode["period"])][language] + self._converted(episode, language),
            "value": value,
            "unit": episode["unit"],
            "limit": limit_text,
            "basis": BASIS[limit.basis][language] if limit else "",
            "sense": SENSE["above" if limit is None or limit.comparator in ("<=", "<") else "below"][language],
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
        limit = self._limits.get(str(episode["limit_id"])) if episode["limit_id"] else None
        return " ".join(part for part in (limit.standard, limit.clause) if part) if limit else ""

    def _code(self, episode: dict[str, object], limit: Limit | None) -> str:
        if episode["kind"] != "limit" or limit is None:
            return str(episode["kind"])
        if limit.period != episode["period"]:
            return "limit.early"
        if not episode["exceeds"]:
            return "limit.near"
        if limit.basis == "ultra_low":
            return "limit.ultra_low"
        may_exceed = limit.basis in ("standard", "permit") and limit.status != "unverified"
        return "limit.exceedance" if may_exceed else "limit.notice"

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
