"""What `greenisland bench` measures: one file a case, named here. docs/guide/bench.md says how to add one."""

from . import decode, ingest, journal, recovery, rejudge, replay, rules
from .harness import Case

CASES: dict[str, Case] = {
    "decode": decode.measure,
    "journal": journal.measure,
    "rules": rules.measure,
    "replay": replay.measure,
    "rejudge": rejudge.measure,
    "ingest": ingest.measure,
    "recovery": recovery.measure,
}
