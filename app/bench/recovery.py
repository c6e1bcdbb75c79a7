"""Recovery: an engine that was killed decides its journal again from the last checkpoint, compared and told to nobody.

Measured without any checkpoint, so that all of the journal is read; a running engine writes one every five minutes.
"""

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import polars as pl

from contracts.clock import SystemClock
from contracts.ports import RawMessage
from store.journal import Journal

from ..service.collector import journal_directory
from ..service.engine import Engine
from .harness import Figure, Size, alternate, figure, rates
from .workload import FACTORS, HOUR_RULE, messages_of, site_of

OUTLETS = 1_440
MINUTES = 75
HOUR_READINGS = 3_600 * 23_000  # what a prefecture may send in an hour


def measure(size: Size) -> list[Figure]:
    """20,160 points, a reading a minute, as one collector's journal gives them."""
    outlets, minutes = size.of(OUTLETS, least=20), size.of(MINUTES, least=3)
    site = site_of(outlets=outlets, stations=1)
    readings = outlets * FACTORS * minutes
    with tempfile.TemporaryDirectory(prefix="greenisland-bench-", dir=size.folder) as folder:
        state_dir = Path(folder) / "state"
        _journalled(state_dir, site.file.collectors[0], messages_of(site, minutes))
        with closing(Engine(site, HOUR_RULE, state_dir, SystemClock())) as engine:
            while engine.step() is not None:
                pass
        shutil.rmtree(state_dir / "checkpoints", ignore_errors=True)

        def recover() -> None:
            with closing(Engine(site, HOUR_RULE, state_dir, SystemClock())) as engine:
                if engine.recover() < outlets * minutes:
                    raise RuntimeError("the recovery did not read the whole journal again")

        (taken,) = alternate(size.rounds, recover)
    pace = rates(readings, taken.wall)
    return [
        figure("recovery", "readings/s", pace),
        figure("recovery", "CPU us each", [1e6 * s / readings for s in taken.cpu]),
        figure("an hour of 23,000 readings/s, at that", "minutes", [HOUR_READINGS / one / 60 for one in pace]),
    ]


def _journalled(state_dir: Path, collector: str, messages: pl.DataFrame) -> None:
    with Journal(journal_directory(state_dir, collector)) as journal:
        for part in messages.iter_slices(1_000):
            journal.append_history(
                [(at, RawMessage(source, topic, body)) for at, source, topic, body in part.iter_rows()]
            )
