"""A real influxd for tests of any room."""

from app.bench.influxd import Influxd

__all__ = ["Influxd"]
