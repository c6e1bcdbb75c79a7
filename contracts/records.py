"""Records that people and the system itself put into the journal: `$operator` and `$site` rows.

Every record says who (`actor`) and by which way (`origin`), so that an action can be shown, and replayed, years later.
"""

from datetime import datetime

import msgspec

RECORD_VERSION = 1

# Actions of `$operator` rows that are neither facts about data (`contracts.facts.KINDS`) nor about alerts
# (`contracts.actions.ACTIONS`).
OTHER_ACTIONS = frozenset({"command"})


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    v: int
    actor: str  # a person's account, or "system"
    origin: str  # "cli", "api", "console", ...
    at: datetime  # wall time at which it was made; the journal's received_at orders it
    action: str  # "activate_site", ...
    body: dict[str, str]


def encode(record: Record) -> bytes:
    return msgspec.json.encode(record, order="deterministic")


def decode(payload: bytes) -> Record:
    """Raises msgspec.DecodeError, also for a record of a version this program does not know."""
    record = msgspec.json.decode(payload, type=Record)
    if record.v != RECORD_VERSION:
        raise msgspec.ValidationError(f"record version {record.v}; this program knows {RECORD_VERSION}")
    return record
