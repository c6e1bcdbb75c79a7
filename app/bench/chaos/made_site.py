"""The site of the chaos: stations of their own identity, limits that their readings cross, two receivers.

Does not promise to look like a plant.
"""

import csv
from pathlib import Path

import yaml

from contracts.site import Influx

STATIONS = tuple(f"CH-{n:02d}" for n in range(1, 17))
FACTORS = ("a21002", "a21026", "a34013")
LIMIT = 50  # mg/m3, of the minute and of the hour
CHANNELS = {"duty": ["yellow", "orange", "red"], "night": ["red"]}

RULES = {
    "version": 1,
    "rules": [
        {"id": "minute", "kind": "limit", "period": "minute", "levels": {"orange": 1.0, "red": 1.8}},
        {"id": "hour", "kind": "limit", "period": "hour", "levels": {"yellow": 0.9, "orange": 1.0}},
        {"id": "silent", "kind": "missing", "intervals": 3, "pending": "5m", "level": "yellow"},
        {"id": "rejected", "kind": "rejects", "at_least": 1, "recovery": "3m", "level": "yellow"},
    ],
}


def write_site(folder: Path, broker_port: int, password_file: Path, webhook_url: str, influx: Influx | None) -> Path:
    """A site's directory in `folder`; returns it."""
    directory = folder / "site"
    (directory / "registry").mkdir(parents=True)
    (directory / "rules").mkdir()
    about = {
        "version": 1,
        "site": "chaos",
        "name": {"zh": "混沌", "en": "chaos"},
        "time_zone": "Asia/Shanghai",
        "broker": {
            "host": "127.0.0.1",
            "port": broker_port,
            "username": "collector-main",
            "password_file": str(password_file),
        },
        "clock_every": "20s",
        "lateness": "3h",  # nothing comes later than that, however slow the machine is
        "channels": [
            {"name": name, "type": "webhook", "url": f"{webhook_url}/{name}", "levels": levels}
            for name, levels in CHANNELS.items()
        ],
    }
    if influx is not None:
        kept = {"raw_kept": "36500d", "minute_kept": "36500d"}  # the made days are long ago
        about["influxdb"] = {"url": influx.url, "database": influx.database, **kept}
    (directory / "site.yaml").write_text(yaml.safe_dump(about, allow_unicode=True), encoding="utf-8")
    (directory / "rules" / "chaos.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    names = {"name_zh": "测", "name_en": "made"}
    tables = {
        "counties": [{"county": "C", **names}],
        "outlets": [{"outlet": f"O-{name}", "county": "C", "medium": "flue_gas", **names} for name in STATIONS],
        "stations": [{"station": name, "outlet": f"O-{name}", **names} for name in STATIONS],
        "points": [
            {"station": name, "factor": factor, "unit": "mg/m3", "kind": "avg", "period_s": 60}
            for name in STATIONS
            for factor in FACTORS
        ],
        "limits": [
            {
                "limit_id": f"{name}.{factor}.{period}",
                "outlet": f"O-{name}",
                "factor": factor,
                "period": period,
                "limit": LIMIT,
                "unit": "mg/m3",
                "basis": "permit",
                "standard": "permit",
                "status": "verified",
            }
            for name in STATIONS
            for factor in FACTORS
            for period in ("minute", "hour")
        ],
    }
    for name, rows in tables.items():
        with (directory / "registry" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return directory
