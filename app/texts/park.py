"""Words for verdicts on parks and shared facilities, and for the numbers that stand behind treatment rules.

Promises: says of every such number whether it is law, practice, a project default, the park's plan or the site's own.
"""

from collections.abc import Callable
from typing import Any

from contracts.catalogue.park import AND_MORE, NUMBER_BASIS, REACH, Language
from contracts.factors import TREATMENT_OFF
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Site
from rules.kinds.park import NAMED_MEMBERS
from rules.kinds.treatment import LOW_LOAD
from rules.tables.reference import green_island_metrics

Row = dict[str, Any]


class ParkTexts:
    def __init__(self, site: Site):
        self._parks = {PARK_SUBJECT + one.park: one for one in site.parks}
        self._facilities = {FACILITY_SUBJECT + one.facility: one for one in site.facilities}
        self._thresholds = {one.threshold: one for one in site.park_thresholds}
        self._members = {one.member: one for one in site.members}
        self._enterprises = {one.enterprise: one for one in site.enterprises}
        self._pairs = site.pairs
        self._pair_of = {f"{TREATMENT_OFF}:{one.pair}": one for one in site.pairs}

    def place(self, subject: str, language: Language) -> str | None:
        """The name of a park, or of a facility with its enterprise's or park's; None for a station."""
        if subject in self._parks:
            return _named(self._parks[subject], language)
        if subject not in self._facilities:
            return None
        facility = self._facilities[subject]
        owner = self._enterprises.get(facility.enterprise or "") or self._parks.get(f"{PARK_SUBJECT}{facility.park}")
        parts = [_named(one, language) for one in (owner, facility) if one is not None]
        return ("" if language == "zh" else " ").join(parts)

    def code(self, episode: Row) -> str | None:
        """Which text of contracts.catalogue.ALERT, where it is not named like the kind of rule."""
        return f"treatment_order.{episode['limit_id']}" if episode["kind"] == "treatment_order" else None

    def words(self, episode: Row, place: Callable[[str], str], language: Language) -> dict[str, str]:
        """number_basis, reach, share, order_min, member, count, members. place: a station's."""
        count, members = self._producing(episode, place, language)
        pair = self._pair_of.get(str(episode["factor"]))
        return {
            "number_basis": NUMBER_BASIS[self._basis(episode)][language],
            "reach": REACH["beyond" if episode["exceeds"] else "near"][language],
            "share": f"{100 * self._share(pair):.10g}",
            "order_min": str(_minutes(pair, str(episode["limit_id"]))),
            "member": self._member(str(episode["limit_id"]), language),
            "count": count,
            "members": members,
        }

    def clause(self, episode: Row) -> str:
        """What the number rests on and where that was read; empty where it is none of these."""
        name = str(episode["limit_id"])
        if name in self._thresholds and str(episode["station"]) in self._parks:
            threshold = self._thresholds[name]
            return f"{threshold.source} ({NUMBER_BASIS[threshold.basis]['en']})"
        if name in green_island_metrics():
            metric = green_island_metrics()[name]
            return f"{metric.source} ({NUMBER_BASIS[metric.threshold_basis]['en']})"
        member = self._members.get(name.rpartition(".")[0])
        return member.contract if member is not None and episode["kind"] == "member_contract" else ""

    def _basis(self, episode: Row) -> str:
        name = str(episode["limit_id"])
        if name in green_island_metrics():
            return green_island_metrics()[name].threshold_basis
        threshold = self._thresholds.get(name)
        return "own" if threshold is None else threshold.basis

    def _share(self, pair: Any) -> float:
        if pair is not None and pair.treatment_share_min is not None:
            return float(pair.treatment_share_min)
        return float(green_island_metrics()[LOW_LOAD].number("rated_share"))

    def _member(self, name: str, language: Language) -> str:
        member = self._members.get(name.rpartition(".")[0])
        return "" if member is None else _named(self._enterprises[member.enterprise], language)

    def _producing(self, episode: Row, place: Callable[[str], str], language: Language) -> tuple[str, str]:
        """How many members produce without the facility, and which: the bits of `peak_which` say so."""
        facility = self._facilities.get(str(episode["station"]))
        if episode["kind"] != "shared_treatment_off" or facility is None or episode["peak_scaled"] is None:
            return "", ""
        count, bits = int(episode["peak_scaled"]), int(episode.get("peak_which") or 0)
        served = [
            pair
            for pair in self._pairs
            if (pair.treatment_station, pair.treatment_factor) == (facility.power_station, facility.power_factor)
        ]
        names = [place(pair.production_station) for n, pair in enumerate(served[:NAMED_MEMBERS]) if bits >> n & 1]
        names = list(dict.fromkeys(names))
        if count > bits.bit_count():
            names.append(AND_MORE[language])
        return str(count), ("、" if language == "zh" else ", ").join(names)


def _named(one: Any, language: Language) -> str:
    return str(one.name_zh if language == "zh" else one.name_en)


def _minutes(pair: Any, edge: str) -> int:
    seconds = None if pair is None else pair.start_before_s if edge == "start" else pair.stop_after_s
    return -(-(seconds or 0) // 60)
