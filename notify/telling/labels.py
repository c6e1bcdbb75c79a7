"""What an alert can be matched by: its own record, and what the registry knows of its station. Pure.

Promises: one value for each of contracts.matching.ALERT_KEYS; the empty text where there is none.
"""

from collections.abc import Mapping
from typing import Any

from contracts.matching import ALERT_KEYS
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Site

Labels = dict[str, str]


class Labeller:
    def __init__(self, site: Site):
        self._basis = {limit.limit_id: limit.basis for limit in site.limits}
        parks = {park.park: {"park": park.park, "county": park.county} for park in site.parks}
        enterprises = {one.enterprise: one for one in site.enterprises}
        outlets = {outlet.outlet: outlet for outlet in site.outlets}
        self._of: dict[str, Labels] = {f"{PARK_SUBJECT}{name}": labels for name, labels in parks.items()}
        for one in site.facilities:
            park, county = site.park_and_county(one)
            owner = enterprises.get(one.enterprise or "")
            its = {"park": park, "county": county, "enterprise": one.enterprise, "industry": owner and owner.industry}
            self._of[f"{FACILITY_SUBJECT}{one.facility}"] = {key: value for key, value in its.items() if value}
        for station in site.stations:
            outlet = outlets[station.outlet]
            owner = enterprises.get(outlet.enterprise or "")
            self._of[station.station] = {
                "outlet": outlet.outlet,
                "medium": outlet.medium,
                "county": outlet.county,
                "park": outlet.park or (owner.park if owner else None) or "",
                "enterprise": outlet.enterprise or "",
                "industry": owner.industry if owner else "",
            }

    def of(self, record: Mapping[str, Any]) -> Labels:
        """record: an episode as `rules.alerts.update.record` publishes it."""
        own = {key: str(record.get(key) or "") for key in ("rule", "kind", "level", "period", "factor", "limit_id")}
        own |= {"station": str(record["station"]), "episode": str(record["id"])}
        own["basis"] = self._basis.get(own["limit_id"], "")
        return dict.fromkeys(ALERT_KEYS, "") | self._of.get(own["station"], {}) | own
