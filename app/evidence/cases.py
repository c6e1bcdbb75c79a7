"""Cases (督办) as evidence: their history follows from the journals, and how each stands from its history."""

import json
from collections.abc import Sequence
from itertools import zip_longest

from store.case_rows import case_row
from store.telling_rows import to_json

from .link import Broken, short
from .state import FILE, Committed, Row


def check_cases(committed: Committed, derived: Sequence[Row] | None) -> None:
    """derived: events the journals give, in order; None where nothing was derived. Raises Broken."""
    last: dict[str, Row] = {}
    for seq, row in enumerate(committed.case_events, 1):
        place = f"{FILE}, event {seq} of cases"
        if row["seq"] != seq:
            raise Broken("cases", place, f"is missing; the next one is {row['seq']}")
        try:
            record = json.loads(str(row["body"]))
            expected = case_row(record)
        except (ValueError, KeyError, TypeError) as error:
            raise Broken("cases", place, f"the case it leaves cannot be read: {error!r}") from error
        if record["id"] != row["case_id"]:
            raise Broken("cases", place, f"is of case {row['case_id']}; its body is of {record['id']}")
        last[str(row["case_id"])] = expected
    found = {str(row["id"]): row for row in committed.cases}
    for name in sorted({*last, *found}):
        if found.get(name) != last.get(name):
            said = f"is {short(found.get(name))}; its events leave {short(last.get(name))}"
            raise Broken("cases", f"{FILE}, case {name}", said)
    if derived is None:
        return
    for seq, (row, made) in enumerate(zip_longest(committed.case_events, derived), 1):
        kept = None if row is None else {key: value for key, value in row.items() if key != "seq"}
        again = None if made is None else {**made, "body": to_json(made["body"])}
        if kept != again:
            raise Broken(
                "cases", f"{FILE}, event {seq} of cases", f"is {short(kept)}; the journals give {short(again)}"
            )
