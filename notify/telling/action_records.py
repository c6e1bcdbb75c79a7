"""Operators' actions on alerts out of the journal's `$operator` rows. Pure.

Promises: nothing raises. What cannot be read is a reject of rules.facts.records, which reads the same rows.
"""

import msgspec
import polars as pl

from contracts.actions import ACTIONS, Action, action_of
from contracts.records import decode
from contracts.topics import JOURNAL_OPERATOR


def actions_of(messages: pl.DataFrame) -> list[Action]:
    """Those of feed rows as `rules.ticks.stamp` gives them: frames.MESSAGES plus `known_at`, any topics."""
    found = []
    rows = messages.filter(pl.col("topic") == JOURNAL_OPERATOR)
    for payload, known_at in rows.select("payload", "known_at").iter_rows():
        try:
            record = decode(payload)
            if record.action in ACTIONS:
                found.append(action_of(record, payload, known_at))
        except (msgspec.DecodeError, ValueError, OverflowError):
            continue  # a row of REJECTS by now
    return found
