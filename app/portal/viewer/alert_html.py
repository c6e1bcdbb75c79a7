"""An alert as HTML: one row of the list, and what may be done about it. Everything a site wrote is escaped.

Promises: pure. A button whose action the person's role does not have says so and does nothing; the API refuses it too.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from contracts.matching import format_matchers

from ..alerts import Alert
from ..auth import User, permitted
from ..roles import ACTIONS, ROLES
from .boards import Language
from .draw_cells import ink
from .shown import civil, digits
from .words import said

COLOURS = {"red": "#E02F44", "orange": "#FF780A", "yellow": "#F2CC0C"}
OVER = "#8E9AA5"  # of what is no longer open
ACTS = (("acknowledge", "alerts.acknowledge"), ("silence", "silences.write"), ("comment", "alerts.comment"))
STATES = {
    "firing": "firing",
    "no_data": "no_data_state",
    "pending": "pending",
    "resolved": "resolved_state",
    "withdrawn": "withdrawn",
    "superseded": "superseded",
}


def place_of(alert: Alert, language: Language) -> str:
    return (alert.place_zh if language == "zh" else alert.place_en) or alert.station


def text_of(alert: Alert, language: Language) -> str:
    told = alert.text_zh if language == "zh" else alert.text_en
    return told or f"{alert.rule} {alert.factor}"


def tag(alert: Alert, language: Language) -> str:
    """Level and state."""
    colour = COLOURS.get(alert.level, OVER) if alert.is_open else OVER
    level = said(alert.level, language) if alert.level in COLOURS else alert.level
    state = said(STATES[alert.state], language) if alert.state in STATES else alert.state
    style = f"--level:{colour};--ink:{ink(colour)}"
    return f'<span class="gi-tag" style="{style}">{escape(level)} · {escape(state)}</span>'


def row(alert: Alert, user: User, language: Language, zone: str) -> str:
    colour = COLOURS.get(alert.level, OVER) if alert.is_open else OVER
    factor = alert.factor_zh if language == "zh" else alert.factor_en
    facts = [
        f"{said('since', language)} {civil(alert.opened_at, zone)}",
        f"{said('resolved', language)} {civil(alert.resolved_at, zone)}" if alert.resolved_at else "",
        factor,
        f"{number(alert.peak)} {alert.unit} / {said('limit', language)} {alert.limit}"
        if alert.limit and alert.peak
        else "",
        taken_by(alert, language),
    ]
    shown = "".join(f"<span>{escape(one)}</span>" for one in facts if one)
    return (
        f'<article class="gi-alert" data-alert="{alert.id}" style="--level:{colour}">'
        f'<div class="gi-edge"></div><div class="gi-alert-main">{tag(alert, language)}'
        f'<a href="/alerts/{alert.id}">{escape(place_of(alert, language))}</a>'
        f"<p>{escape(text_of(alert, language))}</p>"
        f'<div class="gi-facts">{shown}</div></div>{buttons(alert, user, language)}</article>'
    )


def number(exact: str) -> str:
    """As many digits as count; all of them are in the API."""
    return digits(float(exact))


def taken_by(alert: Alert, language: Language) -> str:
    care, parts = alert.attention, []
    if care and care.acknowledged_by:
        parts.append(said("acknowledged_by", language, name=care.acknowledged_by))
    if care and care.assigned_to:
        parts.append(said("assigned_to", language, name=care.assigned_to))
    return " · ".join(parts)


def buttons(alert: Alert, user: User, language: Language) -> str:
    made = []
    for act, permission in ACTS:
        if act == "acknowledge" and not alert.is_open:
            continue
        may = permitted(user, permission, alert.station)
        first = " gi-first" if act == "acknowledge" and may else ""
        why = "" if may else f' disabled title="{escape(may_not(user, permission, language))}"'
        made.append(
            f'<button type="button" class="gi-act{first}" data-act="{act}" data-id="{alert.id}"{why}>'
            f"{escape(said(act, language))}</button>"
        )
    return f'<div class="gi-acts">{"".join(made)}</div>'


def may_not(user: User, permission: str, language: Language) -> str:
    role, (zh, en) = ROLES[user.role], ACTIONS[permission]
    if language == "zh":
        return said("may_not", language, role=role.zh, action=zh)
    return said("may_not", language, role=role.en, action=en)


def silencing(alert: Alert) -> str:
    """The matchers of a silence of this alert's kind at its place, and of no other."""
    return format_matchers({"station": (alert.station,), "rule": (alert.rule,), "factor": (alert.factor,)})


def pairs(found: Sequence[tuple[str, str | None]]) -> str:
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in found if value)
    return f'<dl class="gi-pairs">{shown}</dl>'


def steps(found: Sequence[tuple[datetime, str, str]], zone: str) -> str:
    """(when, what, small print)"""
    made = "".join(
        f"<li><time>{civil(at, zone)}</time><div>{escape(what)}<small>{escape(small)}</small></div></li>"
        for at, what, small in found
    )
    return f'<ol class="gi-steps">{made}</ol>'
