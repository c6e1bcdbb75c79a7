"""The registry as readers ask of it: whose a station is, and which names lie in a person's scope.

Promises: pure. A scope other than the city's sees only what it names, and of parks and shared facilities only its own;
what is no longer in the registry is seen by the city alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Site


@dataclass(frozen=True)
class Place:
    """Where a verdict's subject belongs: a station, or `park:...`, `facility:...`."""

    subject: str
    outlet: str | None
    enterprise: str | None
    park: str | None
    county: str | None


class Places:
    def __init__(self, site: Site):
        self.of: dict[str, Place] = {}
        outlets = {one.outlet: one for one in site.outlets}
        owners = {one.enterprise: one for one in site.enterprises}
        county_of = {one.park: one.county for one in site.parks}
        for station in site.stations:
            outlet = outlets[station.outlet]
            owner = owners.get(outlet.enterprise or "")
            park = outlet.park or (owner.park if owner else None)
            its = Place(station.station, outlet.outlet, outlet.enterprise, park, outlet.county)
            self.of[station.station] = its
        for park, county in county_of.items():
            self.of[PARK_SUBJECT + park] = Place(PARK_SUBJECT + park, None, None, park, county)
        for one in site.facilities:
            name = FACILITY_SUBJECT + one.facility
            self.of[name] = Place(name, None, one.enterprise, *site.park_and_county(one))
        self.known = {
            "county": {one.county for one in site.counties} | {one.county for one in site.outlets},
            "park": set(county_of),
            "enterprise": set(owners),
            "outlet": set(outlets),
            "stations": {one.station for one in site.stations},
        }

    def where(self, **wanted: str | None) -> set[str]:
        """The subjects with all of these: station, outlet, enterprise, park, county; None: any."""
        asked = {("subject" if key == "station" else key): value for key, value in wanted.items() if value is not None}
        return {
            name for name, place in self.of.items() if all(getattr(place, key) == value for key, value in asked.items())
        }

    def scope(self, kind: str, names: Iterable[str]) -> frozenset[str] | None:
        """The subjects of a scope; None: all there are and were."""
        if kind == "city":
            return None
        wanted = set(names)
        if kind == "stations":
            return frozenset(wanted)
        return frozenset(name for name, place in self.of.items() if getattr(place, kind) in wanted)
