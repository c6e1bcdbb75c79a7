"""Factors and units: the table every room reads.

`tables/factors.csv` says per HJ 212 code its names, canonical unit and storage decimals; a site may add or override
rows in `registry/factors.csv`. Values are kept in the canonical unit; reductions run on integers of 10^-decimals.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Factor:
    code: str
    name_zh: str
    name_en: str
    unit: str
    decimals: int


# unit -> (dimension, how many of the dimension's base unit one of it is)
UNITS: dict[str, tuple[str, float]] = {
    "g/m3": ("mass per gas volume", 1e3),
    "mg/m3": ("mass per gas volume", 1.0),
    "ug/m3": ("mass per gas volume", 1e-3),
    "ng/m3": ("mass per gas volume", 1e-6),
    "g/L": ("mass per water volume", 1e3),
    "mg/L": ("mass per water volume", 1.0),
    "ug/L": ("mass per water volume", 1e-3),
    "ng/L": ("mass per water volume", 1e-6),
    "ppm": ("volume share", 1.0),
    "ppb": ("volume share", 1e-3),
    "%": ("percentage", 1.0),
    "m3/h": ("volume flow", 1.0),
    "m3/s": ("volume flow", 3600.0),
    "m3/d": ("volume flow", 1.0 / 24.0),
    "L/s": ("volume flow", 3.6),
    "m3": ("volume", 1.0),
    "m/s": ("speed", 1.0),
    "Pa": ("pressure", 1e-3),
    "hPa": ("pressure", 1e-1),
    "kPa": ("pressure", 1.0),
    "MPa": ("pressure", 1e3),
    "degC": ("temperature", 1.0),
    "W": ("power", 1e-3),
    "kW": ("power", 1.0),
    "MW": ("power", 1e3),
    "kWh": ("energy", 1.0),
    "MWh": ("energy", 1e3),
    "kg/h": ("mass flow", 1.0),
    "g/h": ("mass flow", 1e-3),
    "uS/cm": ("conductivity", 1.0),
    "NTU": ("turbidity", 1.0),
    "dB": ("sound level", 1.0),
    "deg": ("angle", 1.0),
    "m": ("length", 1.0),
    "A": ("current", 1.0),
    "V": ("voltage", 1.0),
    "1": ("number", 1.0),
}

# Factors the pipeline itself makes, per station; no device may send them.
STATION_PRESENCE = "$station"  # one sample a minute in which any reading of the station's own clock falls
REJECT_COUNT = "$rejects"  # one sample a rejected message or reading, by receive time
CLOCK_LAG = "$clock_lag"  # seconds from the end of a message's period to its receipt, one sample a message
TREATMENT_OFF = "$treatment_off"  # 1 while production runs and its treatment does not, 0 otherwise
RIVER_CLASS = "$river_class"  # 1 to 5, 6 worse than V; of a section, by its worst factor
DEVICE_PREFIX = "dev_"  # "dev_a21026", "dev_zs_a21026": the device's own hours or days, beside those we compute
DRY_STANDARD_PREFIX = "ds_"  # "ds_a21026": dry and at standard state, by us
CONVERTED_PREFIX = "zs_"  # "zs_a21026": converted to the reference O2 by us
FLOW_WEIGHTED_PREFIX = "fw_"  # "fw_w01018": daily mean weighted by the flow, by us
MASS_RATE_PREFIX = "kg_"  # "kg_a24088": measured concentration x flow in kg/h, by us
REMOVAL_PREFIX = "removal_"  # "removal_a24088": of limits alone: the share of its mass that treatment takes out
WASTE_WATER_FLOW = "w00000"
GAS_FLOW = "a00000"
WIND_SPEED, WIND_DIRECTION = "a01007", "a01008"

OWN_FACTORS = {
    STATION_PRESENCE: Factor(STATION_PRESENCE, "数据到达", "data arriving", "1", 0),
    REJECT_COUNT: Factor(REJECT_COUNT, "拒收报文", "rejected messages", "1", 0),
    CLOCK_LAG: Factor(CLOCK_LAG, "数采仪时钟", "logger's clock", "1", 0),
    RIVER_CLASS: Factor(RIVER_CLASS, "水质类别", "water class", "1", 0),
    TREATMENT_OFF: Factor(TREATMENT_OFF, "治理设施未同步运行", "treatment off while producing", "1", 0),
}


def units_of(factor: Factor) -> list[str]:
    """Every unit a value of the factor may be sent in."""
    dimension = UNITS[factor.unit][0]
    return [unit for unit, (its, _) in UNITS.items() if its == dimension]


def ratio(sent: str, canonical: str) -> float:
    """What a value in `sent` is multiplied by to be in `canonical`. Raises KeyError, ValueError."""
    (sent_dimension, sent_scale), (dimension, scale) = UNITS[sent], UNITS[canonical]
    if sent_dimension != dimension:
        raise ValueError(f"{sent} and {canonical} are not units of one quantity")
    return sent_scale / scale


def mass_rate_unit(concentration: str, flow: str) -> float:
    """kg/h of one concentration x flow. Raises KeyError, ValueError."""
    kg_per_m3 = {"mass per gas volume": 1e-6, "mass per water volume": 1e-3}  # of each dimension's base unit
    (dimension, scale), (of_flow, m3_h) = UNITS[concentration], UNITS[flow]
    if dimension not in kg_per_m3 or of_flow != "volume flow":
        raise ValueError(f"{concentration} x {flow} is no mass flow")
    return kg_per_m3[dimension] * scale * m3_h


def standard_factors() -> dict[str, Factor]:
    """The project's own table, by code, with the factors the pipeline makes."""
    with (files("contracts") / "tables" / "factors.csv").open(encoding="utf-8", newline="") as lines:
        rows = [
            Factor(row["code"], row["name_zh"], row["name_en"], row["unit"], int(row["decimals"]))
            for row in csv.DictReader(lines)
        ]
    return OWN_FACTORS | {factor.code: factor for factor in rows}
