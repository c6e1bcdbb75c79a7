"""InfluxDB is absent under a whole centre of real processes: nobody waits for it, and it gets everything in the end."""

import pytest

from store.influx import CURSOR, query
from store.state_db import StateDb

from .broker import Peer
from .service_process import STATION, TOPIC, centre, numbered

SENT, MORE = 400, 800


@pytest.fixture
def started(tmp_path, free_port, require_program, influxd):
    program = require_program("mosquitto")
    with centre(tmp_path, free_port(), program, file={"influxdb": {"url": influxd.url}}) as one:
        yield one


def test_an_influxdb_that_comes_late_and_goes_away_delays_nobody_and_has_everything_in_the_end(started, influxd):
    started.run("collector", "engine", "influxdb")

    def decide(first, end):
        with Peer(started.broker.port, STATION, "s") as station:
            station.publish_all(TOPIC, numbered(first, end))
        started.until(lambda: started.decided("readings").height == end, f"{end} readings are decided")

    def cursors():
        with StateDb(started.state_dir / "state.db") as db:
            return db.cursor(CURSOR), db.last_span().seq

    def caught_up():
        last = cursors()[1]
        started.until(lambda: cursors()[0] >= last, "it has caught up")
        asked = f"SELECT count(value) AS n FROM reading WHERE station = '{STATION}'"
        return int(query(started.site.file.influxdb, asked)["n"].item())

    started.until(lambda: "does not answer" in started.log(), "it is missed")
    decide(0, SENT)
    assert cursors()[0] == 0
    influxd.start()
    assert caught_up() == SENT
    influxd.stop()
    decide(SENT, MORE)
    influxd.start()
    assert caught_up() == MORE
