"""`greenisland alerts`: look at alerts, and do what operators do: acknowledge, assign, comment, silence."""

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.clock import SystemClock
from contracts.durations import parse_duration
from contracts.matching import format_matchers, matches, parse_matchers
from contracts.reasons import OVER
from contracts.site import Site
from notify.telling.labels import Labeller
from store.alert_reads import NotReadable, Wanted, reading
from store.sqlite_damage import StateDamaged

from ..operators.named import SHOWN_NAME, alert_named, civil_text, instant_of, one_named, open_state
from ..operators.record import civil, instant, interval, state_directory, submit, words
from ..site.files import load_site
from ..texts.texts import Texts
from .mark import BY, JSON, REASON, SITE, STATE, WAIT

LISTED = 200
EPISODE = Annotated[str, typer.Argument(help="The alert's name, or the beginning of it.")]
SILENCE = Annotated[str, typer.Argument(help="The silence's name, or the beginning of it.")]


def list_command(
    state: STATE,
    site: SITE,
    all_: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    level: Annotated[str | None, typer.Option(help="Only this level: yellow, orange or red.")] = None,
    station: Annotated[str | None, typer.Option(help="Only this station.")] = None,
    as_json: JSON = False,
) -> None:
    """Show alerts, the latest first: what they say, and who takes care of them."""
    whole = load_site(site)
    stations = None if station is None else [station]
    with open_state(state) as found:
        states = None if all_ else sorted({row["state"] for row in found.episodes(Wanted(), None, -1)} - set(OVER))
        rows = found.episodes(Wanted(stations=stations, states=states, level=level), None, LISTED)
        care, untold = found.telling.attention(), found.telling.told_to_nobody()
    if as_json:
        more = [{"attention": _care(care.get(row["id"])), "told_to_nobody": row["id"] in untold} for row in rows]
        typer.echo(json.dumps([row | its for row, its in zip(rows, more, strict=True)], ensure_ascii=False))
        return
    texts = Texts(whole)
    for row in rows:
        typer.echo(_line(row, texts))
        if row["id"] in care:
            typer.echo(f"          {_care_words(care[row['id']], whole)}")
        if row["id"] in untold:
            typer.echo("          told to nobody: no route, or no channel of its route, takes it")
    typer.echo(f"{len(rows)} alerts" + (f", the latest {LISTED}" if len(rows) == LISTED else ""))


def show_command(episode: EPISODE, state: STATE, site: SITE, as_json: JSON = False) -> None:
    """Show one alert: what it says, its history, what people did, who was told, what was held back and why."""
    whole = load_site(site)
    with open_state(state) as found:
        row = alert_named(found, episode)
        name = str(row["id"])
        history = found.transitions_of(name, 0, -1)
        told, held = found.telling.told_of(name), found.telling.held_back(name)
        actions, care = found.telling.actions(episode=name), found.telling.attention().get(name)
    if as_json:
        all_ = {"alert": row, "attention": _care(care), "transitions": history, "actions": actions}
        typer.echo(json.dumps(all_ | {"notifications": told, "held_back": held}, ensure_ascii=False))
        return
    typer.echo(f"{name}\n{_line(row, Texts(whole))}")
    if care is not None:
        typer.echo(_care_words(care, whole))
    lines = [(one["tick"], 0, one["transition"]) for one in history]
    for one in actions:
        said = one["body"].get("reason") or one["body"].get("text")  # type: ignore[attr-defined]
        lines.append((one["known_at"], 1, f"{one['kind']} by {one['actor']}: {said}"))
    for one in told:
        body = one["body"]
        people = ", ".join(str(person["name"]) for person in body["people"])
        to = f" for {people}" if people else ""
        lines.append((one["tick"], 2, f"{body['kind']} to {one['channel']}{to}: {one['state']}"))
    for one in held:
        until = f" until {civil_text(one['until'], whole)}" if one["until"] is not None else ""
        lines.append(
            (one["tick"], 3, f"{one['transition']} not told by {one['route'] or 'any route'}: {one['why']}{until}")
        )
    for at, _, said in sorted(lines):
        typer.echo(f"  {civil_text(at, whole)}  {said}")


def acknowledge_command(
    episode: EPISODE, state: STATE, reason: REASON, by: BY = None, wait: WAIT = "3s", as_json: JSON = False
) -> None:
    """Acknowledge an alert (确认): repeats and steps stop until its level rises or it reopens."""
    row = _row(state, episode)
    about = [f"{row['rule']} of {row['station']}: repeats and steps stop until its level rises or it reopens"]
    submit(state, "acknowledge", by, wait, as_json, about, episode=row["id"], reason=words(reason, "--reason"))


def assign_command(
    episode: EPISODE,
    state: STATE,
    to: Annotated[str, typer.Option(help="Whose it is to deal with.")],
    reason: REASON,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Assign an alert to somebody (分派)."""
    row = _row(state, episode)
    body = {"episode": row["id"], "to": words(to, "--to"), "reason": words(reason, "--reason")}
    submit(state, "assign", by, wait, as_json, [f"{row['rule']} of {row['station']}: to {to}"], **body)


def comment_command(
    episode: EPISODE,
    state: STATE,
    text: Annotated[str, typer.Option(help="What is to stand in its history.")],
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Put a remark into an alert's history (备注)."""
    row = _row(state, episode)
    about = [f"{row['rule']} of {row['station']}"]
    submit(state, "comment", by, wait, as_json, about, episode=row["id"], text=words(text, "--text"))


def silence_command(
    state: STATE,
    site: SITE,
    match: Annotated[str, typer.Option(help="Which alerts: 'station=XS-COAL-1 kind=missing'; * stands for any.")],
    reason: REASON,
    from_: Annotated[str | None, typer.Option("--from", help="Beginning; ISO 8601 with offset; none: now.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="End, not included; ISO 8601 with offset; or ...")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="... for so long: 2h.")] = None,
    by: BY = None,
    wait: WAIT = "3s",
    as_json: JSON = False,
) -> None:
    """Silence alerts (静默): they are judged and shown as ever, but tell nobody meanwhile."""
    whole = load_site(site)
    state_directory(state)
    try:
        matchers = parse_matchers(match)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--match") from error
    from_at, to_at = _span(from_, to, for_)
    about = [f"{format_matchers(matchers)}: silent from {civil(from_at, whole)} to {civil(to_at, whole)}"]
    about += _matching(state, matchers, whole)
    body = {"matchers": match, "from_at": from_at, "to_at": to_at, "reason": words(reason, "--reason")}
    submit(state, "silence", by, wait, as_json, about, **body)


def unsilence_command(
    silence: SILENCE, state: STATE, reason: REASON, by: BY = None, wait: WAIT = "3s", as_json: JSON = False
) -> None:
    """End a silence before its time."""
    with open_state(state) as found:
        names = [str(one["name"]) for one in found.telling.actions("silence")]
    name = one_named(silence, names, "SILENCE", "silence")
    body = {"about": name, "reason": words(reason, "--reason")}
    submit(state, "unsilence", by, wait, as_json, [f"ends the silence {name[:SHOWN_NAME]}"], **body)


def silences_command(
    state: STATE,
    site: SITE,
    all_: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    as_json: JSON = False,
) -> None:
    """Show silences: which alerts, until when, by whom and why."""
    whole = load_site(site)
    with open_state(state) as found:
        silences, ended = found.telling.actions("silence"), found.telling.actions("unsilence")
        last = found.last_span()
    now = None if last is None else instant_of(last.clock_to)
    rows = [_silence(one, ended, now) for one in silences]
    rows = [row for row in rows if all_ or row["state"] != "over"]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        until = civil(datetime.fromisoformat(row["to_at"]), whole)
        typer.echo(f"{row['name'][:SHOWN_NAME]}  {row['state']}  {row['matchers']}  until {until}")
        typer.echo(f"          by {row['actor']}: {row['reason']}")
    typer.echo(f"{len(rows)} silences")


def _silence(row: dict[str, Any], ended: list[dict[str, Any]], now: datetime | None) -> dict[str, Any]:
    body = row["body"]
    told = {key: row[key] for key in ("name", "actor")} | body
    back = [one for one in ended if one["body"]["about"] == row["name"]]
    from_at, to_at = datetime.fromisoformat(body["from_at"]), datetime.fromisoformat(body["to_at"])
    if back or (now is not None and to_at <= now):
        return told | {"state": "over"}
    return told | {"state": "active" if now is not None and from_at <= now else "to come"}


def _span(from_: str | None, to: str | None, for_: str | None) -> tuple[datetime, datetime]:
    if (to is None) == (for_ is None):
        raise typer.BadParameter("give one of them", param_hint="--to, --for")
    from_at = SystemClock().now().replace(microsecond=0) if from_ is None else instant(from_, "--from")
    if to is not None:
        return interval(from_at.isoformat(), to)
    try:
        return from_at, from_at + parse_duration(for_)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error


def _matching(state: Path, matchers: dict[str, tuple[str, ...]], site: Site) -> list[str]:
    """What is open now and falls under it; nothing where there is no state.db yet."""
    labeller = Labeller(site)
    try:
        with reading(state) as found:
            rows = [row for row in found.episodes(Wanted(), None, -1) if row["open"]]
    except (NotReadable, sqlite3.Error, StateDamaged):
        return []
    n = sum(matches(matchers, labeller.of(row)) for row in rows)
    return [f"{n} of {len(rows)} open alerts fall under it"]


def _row(state: Path, name: str) -> dict[str, Any]:
    with open_state(state) as found:
        return alert_named(found, name)


def _line(row: dict[str, Any], texts: Texts) -> str:
    said = "resolved" if row["state"] in OVER else "data_lost" if row["state"] == "no_data" else "fired"
    if row["state"] == "superseded":
        said = "superseded"
    at = datetime.fromisoformat(str(row["resolved_at"] or row["peak_at"]))
    return f"{row['id'][:SHOWN_NAME]}  {row['level']:<6}  {texts.alert(said, row, 'zh', at)}"


def _care(care: dict[str, object] | None) -> dict[str, object] | None:
    if care is None:
        return None
    return {key: _iso(value) if key.endswith("_at") else value for key, value in care.items()}


def _care_words(care: dict[str, object], site: Site) -> str:
    parts = []
    if care["acknowledged_by"] is not None:
        at = civil_text(care["acknowledged_at"], site)
        parts.append(f"acknowledged by {care['acknowledged_by']} at {at}: {care['acknowledge_reason']}")
    if care["assigned_to"] is not None:
        parts.append(f"assigned to {care['assigned_to']} by {care['assigned_by']}")
    return "; ".join(parts) or "not acknowledged any more: it rose or reopened"


def _iso(us: object) -> str | None:
    return None if (at := instant_of(us)) is None else at.isoformat()
