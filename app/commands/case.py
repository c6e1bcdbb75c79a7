"""`greenisland case`: cases (督办): look at them, open, note, reply, return, close, reopen."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from contracts.civil_time import local
from contracts.reasons import CaseState, Conclusion, Transition
from contracts.site import Site
from notify.cases.state import Happened
from store.alert_reads import Reading
from store.case_rows import WantedCases

from ..operators.case_deeds import OPEN, unfit, unfit_to_open
from ..operators.named import SHOWN_NAME, alert_named, civil_text, instant_of, one_named, open_state
from ..operators.record import civil, known_station, one_of, submit, words
from ..site.files import load_site
from ..texts.cases import CaseTexts
from ..texts.texts import Texts
from .mark import BY, JSON, REASON, SITE, STATE, WAIT

LISTED = 200
CASE = Annotated[str, typer.Argument(help="The case's name, or the beginning of it.")]
TEXT = Annotated[str, typer.Option(help="What is to stand in its history.")]


def list_command(
    state: STATE,
    site: SITE,
    all_: Annotated[bool, typer.Option("--all", help="Those that are closed as well.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those of which a time has passed.")] = False,
    station: Annotated[str | None, typer.Option(help="Only cases that an alert of this station opened.")] = None,
    as_json: JSON = False,
) -> None:
    """Show cases, the latest first: how they stand, and by when what is due."""
    whole = load_site(site)
    stations = None if station is None else [known_station(whole, station)]
    states = None if all_ else OPEN
    with open_state(state) as found:
        now = _now_us(found)
        wanted = WantedCases(stations, states, overdue_at=now if overdue else None)
        rows = found.cases.cases(wanted, None, LISTED)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    texts = Texts(whole)
    for row in rows:
        typer.echo(f"{row['id'][:SHOWN_NAME]}  {row['level']:<6}  {row['state']}  {_due(row, now, whole)}".rstrip())
        typer.echo(f"          {texts.place(row['station'], 'zh')}, {row['terms']}, {_alerts(row['alerts'])}")
    typer.echo(f"{len(rows)} cases" + (f", the latest {LISTED}" if len(rows) == LISTED else ""))


def show_command(case: CASE, state: STATE, site: SITE, as_json: JSON = False) -> None:
    """Show one case: how it stands, its history, its alerts."""
    whole = load_site(site)
    with open_state(state) as found:
        row, now = _named(found, case), _now_us(found)
        history, alerts = found.cases.events(row["id"]), found.cases.alerts_of(row["id"])
        about = {name: found.episode(name) for name in alerts}
        then = [found.episode_at(one["episode"], one["tick"]) if one["episode"] else None for one in history]
    if as_json:
        its = {"case": row, "events": history, "alerts": [about[name] for name in alerts]}
        typer.echo(json.dumps(its, ensure_ascii=False))
        return
    said, texts = CaseTexts(Texts(whole)), Texts(whole)
    typer.echo(f"{row['id']}\n{row['level']}  {row['state']}  {_due(row, now, whole)}".rstrip())
    typer.echo(f"{texts.place(row['station'], 'zh')} ({row['place']}), terms {row['terms']}")
    for one, alert in zip(history, then, strict=True):
        happened = Happened(one["event"], one["actor"], one["text"], one["body"], alert)
        by = f" ({one['actor']})" if one["actor"] else ""
        at = instant_of(one["tick"])
        assert at is not None
        typer.echo(f"  {civil_text(one['tick'], whole)}  {said.line(happened, 'zh', at)}{by}")
    for name in alerts:
        if (alert := about[name]) is not None:
            at = datetime.fromisoformat(str(alert["resolved_at"] or alert["peak_at"]))
            line = texts.alert(Transition.FIRED if alert["open"] else Transition.RESOLVED, alert, "zh", at)
            typer.echo(f"  alert {name[:SHOWN_NAME]}  {line}")


def open_command(
    episode: Annotated[str, typer.Argument(help="The alert's name, or the beginning of it.")],
    terms: Annotated[str, typer.Option(help="Which terms hold: a name under `cases` in routes.yaml.")],
    state: STATE,
    site: SITE,
    reason: REASON,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Open a case about an alert (督办), or let the alert join the one that is open at its place on these terms."""
    whole = load_site(site)
    known = [] if whole.routing is None else [one.case for one in whole.routing.cases]
    one_of(terms, known, "--terms", "none of this site's terms (`cases` of routes.yaml)")
    with open_state(state) as found:
        alert = alert_named(found, episode)
        if (why := unfit_to_open(found, alert["id"])) is not None:
            raise typer.BadParameter(why[1], param_hint="EPISODE")
    about = {key: alert[key] for key in ("station", "level")} | {"episode": alert["id"], "terms": terms}
    lines = [f"{alert['rule']} of {alert['station']}, on the terms {terms}"]
    submit(state, "open_case", by, wait, as_json, lines, **about, reason=words(reason, "--reason"))


def note_command(case: CASE, state: STATE, text: TEXT, by: BY = None, wait: WAIT = "3s", as_json: JSON = False) -> None:
    """Put a remark into a case's history (备注)."""
    row = _row(state, case, "note_case")
    submit(state, "note_case", by, wait, as_json, _about(row), case=row["id"], text=words(text, "--text"))


def reply_command(
    case: CASE,
    state: STATE,
    text: Annotated[str, typer.Option(help="What the enterprise answers.")],
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Reply to a case, as the enterprise or in its name (反馈)."""
    row = _row(state, case, "reply_case")
    submit(state, "reply_case", by, wait, as_json, _about(row), case=row["id"], text=words(text, "--text"))


def return_command(
    case: CASE, state: STATE, reason: REASON, by: BY = None, wait: WAIT = "3s", as_json: JSON = False
) -> None:
    """Return the reply: it does not do, and another one is due (退回)."""
    row = _row(state, case, "return_case")
    submit(state, "return_case", by, wait, as_json, _about(row), case=row["id"], reason=words(reason, "--reason"))


def close_command(
    case: CASE,
    state: STATE,
    conclusion: Annotated[str, typer.Option(help=f"With what: {', '.join(Conclusion)}.")],
    reason: REASON,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Close a case with a conclusion (办结). Its alerts go on as they are."""
    with open_state(state) as found:
        row = _fitting(found, case, "close_case")
        alerts = [found.episode(name) for name in found.cases.alerts_of(row["id"])]
    one_of(conclusion, [str(one) for one in Conclusion], "--conclusion", "no conclusion")
    lines = _about(row)
    if n := sum(1 for alert in alerts if alert is not None and alert["open"]):
        lines.append(f"{_alerts(n)} of it still open, and told of as ever")
    body = {"case": row["id"], "conclusion": conclusion, "reason": words(reason, "--reason")}
    submit(state, "close_case", by, wait, as_json, lines, **body)


def reopen_command(
    case: CASE, state: STATE, reason: REASON, by: BY = None, wait: WAIT = "3s", as_json: JSON = False
) -> None:
    """Take a closed case up again, within 35 days; its times begin anew."""
    row = _row(state, case, "reopen_case")
    submit(state, "reopen_case", by, wait, as_json, _about(row), case=row["id"], reason=words(reason, "--reason"))


def _row(state: Any, name: str, kind: str) -> dict[str, Any]:
    with open_state(state) as found:
        return _fitting(found, name, kind)


def _named(found: Reading, name: str) -> dict[str, Any]:
    whole = one_named(name, found.cases.names_like(name.lower()), "CASE", "case")
    row = found.cases.case(whole)
    assert row is not None
    return row


def _fitting(found: Reading, name: str, kind: str) -> dict[str, Any]:
    row = _named(found, name)
    if (why := unfit(found, row, kind)) is not None:
        raise typer.BadParameter(why[1], param_hint="CASE")
    return row


def _now_us(found: Reading) -> int | None:
    """The site's clock at the last commit."""
    last = found.last_span()
    return None if last is None else last.clock_to


def _due(row: dict[str, Any], now_us: int | None, site: Site) -> str:
    """What is due next and by when, or how it came out."""
    if row["state"] == CaseState.CLOSED:
        return f"{row['conclusion']}, {civil(datetime.fromisoformat(row['closed_at']), site)}"
    due = [("reply", row["reply_due_at"])] if row["state"] == CaseState.AWAITING_REPLY else []
    due += [("to be closed", row["close_due_at"])]
    now, parts = instant_of(now_us), []
    for what, text in due:
        if text is not None:
            at = datetime.fromisoformat(text)
            late = " (overdue)" if now is not None and at <= now else ""
            parts.append(f"{what} by {local(at, site.time_zone):%m-%d %H:%M}{late}")
    return ", ".join(parts)


def _about(row: dict[str, Any]) -> list[str]:
    return [f"{row['terms']}, {row['place']}"]


def _alerts(n: int) -> str:
    return f"{n} alert" if n == 1 else f"{n} alerts"
