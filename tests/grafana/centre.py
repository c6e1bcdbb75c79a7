"""A centre whose boards can be drawn: a civil day of the example site, decided, archived and in a real InfluxDB."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from app.bench.mosquitto import wait_until
from app.influx.part import POLL_S, InfluxPart
from contracts.clock import ScaledClock
from contracts.site import Influx, Site
from store.state_db import StateDb
from tests.decided_day import FROM_AT, TO_AT, archive, decided_day

__all__ = ["FROM_AT", "SHOWN_TO_AT", "TO_AT", "fill"]

SHOWN_TO_AT = TO_AT + timedelta(hours=1)  # the writer's pulse comes a little later


def fill(tmp_path_factory, folder: Path, url: str) -> tuple[Site, Path]:
    """Everything as in a running centre, through the parts that run in one; the site and its state directory."""
    site, _, state_dir = decided_day(tmp_path_factory, folder)
    influx = Influx(url=url, raw_kept=timedelta(days=36500), minute_kept=timedelta(days=36500))
    site = site.model_copy(update={"file": site.file.model_copy(update={"influxdb": influx})})
    archive(site, state_dir, 0)
    with StateDb(state_dir / "state.db") as db, closing(InfluxPart(site, state_dir, db, ScaledClock(TO_AT, 1))) as part:
        wait_until(lambda: part.round() == POLL_S, "InfluxDB has everything", timeout_s=120)
    return site, state_dir
