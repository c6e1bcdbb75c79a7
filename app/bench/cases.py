"""What `greenisland bench` measures: one file a case, named here. docs/guide/bench.md says how to add one."""

from . import decode, ingest, journal, latency, memory, recovery, recovery_hour, rejudge, replay, rules, year
from .harness import Case

CASES: dict[str, Case] = {
    "decode": decode.measure,
    "journal": journal.measure,
    "rules": rules.measure,
    "replay": replay.measure,
    "rejudge": rejudge.measure,
    "ingest": ingest.measure,
    "memory": memory.measure,
    "latency": latency.measure,
    "recovery": recovery.measure,
    "recovery-hour": recovery_hour.measure,
    "year": year.measure,
}

WHEN_NAMED = frozenset({"recovery-hour"})  # too long to be among all of them
