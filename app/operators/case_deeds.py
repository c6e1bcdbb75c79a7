"""What people may do to a case as it stands: asked before a record is made, in the words of whoever is refused.

Promises: reads only. Does not promise that it still holds when the record counts: then the case's history says so.
"""

from datetime import datetime
from typing import Any

from contracts.reasons import CaseState
from notify.cases.state import KEPT
from store.alert_reads import Reading
from store.case_rows import WantedCases

from .named import SHOWN_NAME, instant_of

OPEN = tuple(state for state in CaseState if state != CaseState.CLOSED)
Words = tuple[str, str]  # Chinese, English


def unfit(found: Reading, row: dict[str, Any], kind: str) -> Words | None:
    """Why the action of contracts.actions would have no effect on the case now; None: it would have one."""
    is_closed = row["state"] == CaseState.CLOSED
    if kind in ("reply_case", "return_case", "close_case") and is_closed:
        return "此督办已办结;需先重新办理", "the case is closed; reopen it first"
    if kind == "return_case" and row["state"] != CaseState.REPLIED:
        return "尚无反馈可退回", "there is no reply that could be returned"
    if kind == "reopen_case":
        return _not_again(found, row) if is_closed else ("此督办尚未办结", "the case is not closed")
    return None


def unfit_to_open(found: Reading, episode: str) -> Words | None:
    """Why no case can be opened about the alert."""
    for name in found.cases.cases_of(episode):
        if (row := found.cases.case(name)) is not None and row["state"] != CaseState.CLOSED:
            short = name[:SHOWN_NAME]
            return f"此告警已属于未办结的督办 {short}", f"the alert belongs to the case {short}, which is not closed"
    return None


def _not_again(found: Reading, row: dict[str, Any]) -> Words | None:
    last = found.last_span()
    now = None if last is None else instant_of(last.clock_to)
    if now is not None and now - datetime.fromisoformat(row["closed_at"]) >= KEPT:
        return (
            f"办结已超过 {KEPT.days} 天;请就告警另立督办",
            f"it was closed more than {KEPT.days} days ago; open another one about the alert",
        )
    for name in found.cases.alerts_of(row["id"]):
        if (why := unfit_to_open(found, name)) is not None:
            return why
    for other in found.cases.cases(WantedCases(states=OPEN, terms=row["terms"])):
        if other["place"] == row["place"]:
            short = other["id"][:SHOWN_NAME]
            return f"该处已有未办结的督办 {short}", f"at its place the case {short} is not closed"
    return None
