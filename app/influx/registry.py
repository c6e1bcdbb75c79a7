"""The site's names for InfluxDB: places, factors and limits rows are tagged with, and what boards' variables offer.

Promises: every station, park and shared facility has a place; a label is `name [identifier]`. Pure.
Does not promise: that a series keeps its tags when the registry changes; from then on there is another one.
"""

from datetime import UTC, datetime

import polars as pl

from contracts.factors import (
    CONVERTED_PREFIX,
    DEVICE_PREFIX,
    DRY_STANDARD_PREFIX,
    FLOW_WEIGHTED_PREFIX,
    MASS_RATE_PREFIX,
    OWN_FACTORS,
    TREATMENT_OFF,
)
from contracts.points import point_table
from contracts.series import LABELLED, NOBODY
from contracts.site import FACILITY_SUBJECT, PARK_SUBJECT, Site
from rules.tables.reference import green_island_metrics
from store.influx_layout import FACTORS, LIMITS, PLACES, Registry, as_rows

from ..texts.texts import Texts

RATES = ("GI01", "GI03", "GI04")  # indicators that must be reached: synchronous operation, removal, collection
REGISTERED_AT = datetime(2000, 1, 1, tzinfo=UTC)  # of its rows: written again they replace themselves

_PREFIXES = {  # how a factor made of another is called
    "": ("{}", "{}"),
    CONVERTED_PREFIX: ("{}(折算)", "{} (converted)"),
    DRY_STANDARD_PREFIX: ("{}(标干)", "{} (dry, standard)"),
    DEVICE_PREFIX: ("{}(设备值)", "{} (device)"),
    DEVICE_PREFIX + CONVERTED_PREFIX: ("{}(设备折算值)", "{} (device, converted)"),
    FLOW_WEIGHTED_PREFIX: ("{}(流量加权)", "{} (flow-weighted)"),
    MASS_RATE_PREFIX: ("{}排放速率", "{} mass rate"),
}


def registry_of(site: Site) -> Registry:
    return Registry(
        pl.DataFrame(_places(site), schema=PLACES),
        pl.DataFrame(_factors(site), schema=FACTORS),
        pl.DataFrame(_limits(site), schema=LIMITS),
    )


def registry_rows(site: Site) -> pl.DataFrame:
    """Rows of the measurement `registry`: a point each, and each park and shared facility as a station of its own."""
    registry = registry_of(site)
    labels = _Labels(site, registry)
    points = point_table(site).filter("is_published").select("station", "factor", interval_s=pl.col("interval_s"))
    subjects = registry.places.filter(pl.col("station").str.contains(":")).select(
        "station", factor=pl.lit(NOBODY), interval_s=pl.lit(0, pl.Int32)
    )
    rows = pl.concat([points, subjects]).with_columns(unit=pl.lit(NOBODY), time=pl.lit(REGISTERED_AT))
    named = registry.name(rows.with_columns(pl.col("time").dt.cast_time_unit("us")))
    return as_rows(
        "registry", named.with_columns(labels.of(name, language) for name in LABELLED for language in ("zh", "en"))
    )


class _Labels:
    def __init__(self, site: Site, registry: Registry):
        self._names: dict[tuple[str, str], dict[str, str]] = {}
        for kind, rows in (("county", site.counties), ("park", site.parks), ("enterprise", site.enterprises)):
            for language in ("zh", "en"):
                self._names[kind, language] = {getattr(row, kind): getattr(row, f"name_{language}") for row in rows}
        places, factors = registry.places, registry.factors
        for language in ("zh", "en"):
            self._names["station", language] = dict(places.select("station", f"place_{language}").iter_rows())
            self._names["station", language] |= {
                one.station: f"{self._names['station', language][one.station]} {getattr(one, f'name_{language}')}"
                for one in site.stations
            }
            self._names["factor", language] = dict(factors.select("factor", f"factor_{language}").iter_rows())

    def of(self, kind: str, language: str) -> pl.Expr:
        """Column `<kind>_<language>` of a column <kind>."""
        names = self._names[kind, language]
        nobody = "无" if language == "zh" else "none"
        text = pl.col(kind).replace_strict(
            names, default=pl.when(pl.col(kind) == NOBODY).then(pl.lit(nobody)).otherwise(kind)
        )
        return (text + pl.lit(" [") + pl.col(kind) + pl.lit("]")).alias(f"{kind}_{language}")


def _places(site: Site) -> list[dict[str, str]]:
    texts = Texts(site)
    outlets = {outlet.outlet: outlet for outlet in site.outlets}
    owners = {enterprise.enterprise: enterprise for enterprise in site.enterprises}

    def place(station: str, **of: str | None) -> dict[str, str]:
        names = {"place_zh": texts.place(station, "zh"), "place_en": texts.place(station, "en")}
        return {"station": station, **names, **{key: value or NOBODY for key, value in of.items()}}

    found = []
    for one in site.stations:
        outlet = outlets[one.outlet]
        owner = owners.get(outlet.enterprise or "")
        park = outlet.park or (owner.park if owner else None)
        found.append(
            place(
                one.station,
                county=outlet.county,
                park=park,
                enterprise=outlet.enterprise,
                outlet=outlet.outlet,
                medium=outlet.medium,
            )
        )
    for park in site.parks:
        about = {"county": park.county, "park": park.park, "enterprise": None, "outlet": None}
        found.append(place(PARK_SUBJECT + park.park, medium="park", **about))
    for facility in site.facilities:
        its_park, county = site.park_and_county(facility)
        about = {"county": county, "park": its_park, "enterprise": facility.enterprise, "outlet": None}
        found.append(place(FACILITY_SUBJECT + facility.facility, medium="facility", **about))
    return found


def _factors(site: Site) -> list[dict[str, str]]:
    found = [
        {"factor": prefix + code, "factor_zh": zh.format(factor.name_zh), "factor_en": en.format(factor.name_en)}
        for code, factor in (site.factors | OWN_FACTORS).items()
        for prefix, (zh, en) in (_PREFIXES.items() if code not in OWN_FACTORS else [("", _PREFIXES[""])])
    ]
    pairs = [
        {"factor": f"{TREATMENT_OFF}:{one.pair}", "factor_zh": one.name_zh, "factor_en": one.name_en}
        for one in site.pairs
    ]
    return found + pairs


def _limits(site: Site) -> list[dict[str, object]]:
    """`is_lower`: the value must not be below it. What is not in it has no share of a limit."""
    own = [{"limit_id": one.limit_id, "basis": one.basis, "is_lower": one.comparator[0] == ">"} for one in site.limits]
    parks = [{"limit_id": one.threshold, "basis": one.basis, "is_lower": False} for one in site.park_thresholds]
    rates = [
        {"limit_id": name, "basis": green_island_metrics()[name].threshold_basis, "is_lower": True} for name in RATES
    ]
    contracts = [
        {"limit_id": f"{one.member}.{what}", "basis": "agreement", "is_lower": False}
        for one in site.members
        for what in ("limit", "load")
    ]
    capacity = [{"limit_id": "capacity", "basis": "own", "is_lower": False}]
    return list({str(row["limit_id"]): row for row in [*capacity, *contracts, *rates, *parks, *own]}.values())
