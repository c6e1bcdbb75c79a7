"""A case (督办) as HTML: one row of the list, how it stands, and what may be done about it. Everything is escaped.

Promises: pure. A button whose action the person's role does not have says so and does nothing; the API refuses it too.
"""

from datetime import datetime
from html import escape

from contracts.catalogue.cases import CASE_STATE, CONCLUSION
from contracts.reasons import CaseState

from ..auth import User, permitted
from ..cases import Case
from .alert_html import COLOURS, OVER, may_not
from .boards import Language
from .draw_cells import ink
from .shown import civil
from .words import said

# what is done, by whom, and how the case must stand
ACTS: tuple[tuple[str, str, tuple[CaseState, ...]], ...] = (
    ("reply_case", "cases.reply", (CaseState.AWAITING_REPLY, CaseState.REPLIED, CaseState.OPEN)),
    ("return_case", "cases.decide", (CaseState.REPLIED,)),
    ("close_case", "cases.decide", (CaseState.AWAITING_REPLY, CaseState.REPLIED, CaseState.OPEN)),
    ("reopen_case", "cases.decide", (CaseState.CLOSED,)),
    ("note_case", "cases.note", tuple(CaseState)),
)


def case_place(case: Case, language: Language) -> str:
    return case.place_zh if language == "zh" else case.place_en


def case_tag(case: Case, language: Language) -> str:
    """Level, state, and in words whether something is overdue."""
    colour = COLOURS.get(case.level, OVER) if case.state != CaseState.CLOSED else OVER
    parts = [said(case.level, language), CASE_STATE[case.state][language]]
    parts += [said("overdue", language)] if case.is_overdue else []
    style = f"--level:{colour};--ink:{ink(colour)}"
    return f'<span class="gi-tag" style="{style}">{escape(" · ".join(parts))}</span>'


def due(case: Case, language: Language, zone: str) -> list[str]:
    """What is due and by when, or how it came out."""
    if case.state == CaseState.CLOSED:
        how = CONCLUSION[case.conclusion][language] if case.conclusion else ""
        return [f"{said('closed_at', language)} {_at(case.closed_at, zone)}", how]
    found = [("reply_due", case.reply_due_at)] if case.state == CaseState.AWAITING_REPLY else []
    found += [("close_due", case.close_due_at)]
    return [f"{said(key, language)} {_at(at, zone)}" for key, at in found if at is not None]


def case_row(case: Case, user: User, language: Language, zone: str) -> str:
    colour = COLOURS.get(case.level, OVER) if case.state != CaseState.CLOSED else OVER
    facts = [f"{said('opened', language)} {_at(case.opened_at, zone)}", *due(case, language, zone)]
    facts += [said("n_alerts", language, n=case.alerts), case.terms, case.id[:8]]
    shown = "".join(f"<span>{escape(one)}</span>" for one in facts if one)
    return (
        f'<article class="gi-alert" data-case="{case.id}" style="--level:{colour}">'
        f'<div class="gi-edge"></div><div class="gi-alert-main">{case_tag(case, language)}'
        f'<a href="/cases/{case.id}">{escape(case_place(case, language))}</a>'
        f'<div class="gi-facts">{shown}</div></div>{case_buttons(case, user, language)}</article>'
    )


def case_buttons(case: Case, user: User, language: Language) -> str:
    made, has_first = [], False
    for act, permission, states in ACTS:
        if case.state not in states:
            continue
        may = permitted(user, permission, case.station)
        first, has_first = (" gi-first" if may and not has_first else ""), has_first or may
        why = "" if may else f' disabled title="{escape(may_not(user, permission, language))}"'
        made.append(
            f'<button type="button" class="gi-act{first}" data-act="{act}" data-id="{case.id}"{why}>'
            f"{escape(said(act, language))}</button>"
        )
    return f'<div class="gi-acts">{"".join(made)}</div>'


def _at(at: datetime | None, zone: str) -> str:
    return "" if at is None else civil(at, zone)
