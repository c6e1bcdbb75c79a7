"""`greenisland outbox`: notifications that wait, were refused or given up; send them again; try a channel."""

import getpass
import json
import sqlite3
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.channels import Mail, Sms
from contracts.clock import SystemClock
from contracts.instants import EPOCH, epoch_us
from contracts.ports import Notification
from contracts.reasons import Receipt
from notify.senders.wording import title_of
from store.state_db import StateDb

from ..operators.record import words
from ..sending.channels import channels_of
from ..site.files import load_site
from ..site.yaml_lines import suggestion

STATES = ("pending", "refused", "gave_up", "delivered")
DEAD = ("refused", "gave_up")
TEXT_SHOWN = 100
TEST = {
    "zh": ("[测试] 绿岛监测通知测试", "[测试] 这是一条测试消息,不是报警。收到即说明本通道可用,无需处理。"),
    "en": ("[TEST] GreenIsland channel test", "[TEST] A test message, no alert. It says that this channel works."),
}
STATE = Annotated[Path, typer.Option(help="The state directory of `greenisland run`.")]
JSON = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def list_command(
    state: STATE,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Delivered ones and those that wait too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest.")] = 100,
    as_json: JSON = False,
) -> None:
    """Show notifications that were refused or given up, with their last receipt."""
    rows = _rows(state, STATES if every else DEAD, channel, limit)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    if not rows:
        typer.echo("none" if every else "none was refused or given up")
    for row in rows:
        typer.echo(f"{row['state']:<9} {row['created_at']}  {row['channel']}  {row['key']}")
        typer.echo(f"          {row['text']}")
        typer.echo(f"          {row['attempts']} attempts; last: {row['detail'] or 'none yet'}")


def retry_command(
    state: STATE,
    key: Annotated[str | None, typer.Argument(help="The notification's key, as `list` shows it.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only on this channel.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were refused or given up.")] = False,
    reason: Annotated[str, typer.Option(help="What was mended; it stands in the receipt.")] = "sent again",
    by: Annotated[str | None, typer.Option(help="Whose word it is; without it your account.")] = None,
) -> None:
    """Send again what was refused or given up: it is pending once more, and a receipt says who wanted it."""
    if (key is None) != every:
        raise typer.BadParameter("give a KEY, or --all", param_hint="KEY")
    found = [row for row in _rows(state, DEAD, channel, None) if every or row["key"] == key]
    if not found and not every:
        where = "" if channel is None else f" on channel {channel}"
        said = f"{key!r} was neither refused nor given up{where}; `greenisland outbox list` shows what was"
        raise typer.BadParameter(said, param_hint="KEY")
    detail = f"by {by or getpass.getuser()}: {words(reason, '--reason')}"
    with StateDb(state / "state.db") as db:
        at_us = epoch_us(SystemClock().now())
        n = sum(db.send_again(row["key"], row["channel"], at_us=at_us, detail=detail) for row in found)
    typer.echo(f"{n:,} notifications are pending again")


def try_command(
    channel: Annotated[str, typer.Argument(help="The channel's name in site.yaml.")],
    site: Annotated[Path, typer.Option(help="The site's directory.")],
    to: Annotated[str | None, typer.Option(help="A mail address or phone, beside the channel's own.")] = None,
) -> None:
    """Send a test message, marked as one, by a channel. Exit code 0: it was taken; 1: it was not."""
    whole = load_site(site)
    names = [one.name for one in whole.file.channels]
    if channel not in names:
        hint = suggestion(channel, names) or (f"; there are {', '.join(names)}" if names else "; the site has none")
        raise typer.BadParameter(f"{channel!r} is no channel of this site{hint}", param_hint="CHANNEL")
    now = SystemClock().now()
    (one,) = (one for one in whole.file.channels if one.name == channel)
    title, text = TEST[one.language]
    body: dict[str, object] = {"title": title, "text": text, "language": one.language, "level": "yellow"}
    body |= {"transition": "test", "tick": now.isoformat()}
    if to is not None:
        if not isinstance(one, Mail | Sms):
            raise typer.BadParameter(f"{channel} has no recipients of its own", param_hint="--to")
        body["people"] = [{"name": to, "mail" if isinstance(one, Mail) else "phone": to}]
    only = whole.model_copy(update={"file": whole.file.model_copy(update={"channels": (one,)})})
    with ExitStack() as stack:
        sender = channels_of(only, SystemClock(), stack)[channel].sender
        sent = sender.send(Notification(f"test:{now.isoformat()}", channel, body), 1)
    typer.echo(f"{sent.receipt}: {sent.detail}")
    raise typer.Exit(0 if sent.receipt == Receipt.DELIVERED else 1)


def _rows(state: Path, states: tuple[str, ...], channel: str | None, limit: int | None) -> list[dict[str, Any]]:
    """Oldest first, of the latest so many. Raises BadParameter where there is no outbox."""
    path = state / "state.db"
    if not path.is_file():
        raise typer.BadParameter(f"there is no {path}: nothing was ever decided there", param_hint="--state")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(
            "SELECT key, channel, created_at, state, attempts, body, (SELECT detail FROM receipts WHERE"
            " receipts.key = outbox.key AND receipts.channel = outbox.channel ORDER BY seq DESC LIMIT 1) AS detail"
            f" FROM outbox WHERE state IN ({', '.join('?' * len(states))}) AND (? IS NULL OR channel = ?)"
            " ORDER BY created_at DESC, rowid DESC LIMIT ?",
            (*states, channel, channel, -1 if limit is None else limit),
        ).fetchall()
    return [_shown(row) for row in reversed(found)]


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    text = title_of(json.loads(row["body"]))
    return {
        "key": row["key"],
        "channel": row["channel"],
        "state": row["state"],
        "created_at": (EPOCH + timedelta(microseconds=row["created_at"])).isoformat(timespec="seconds"),
        "attempts": row["attempts"],
        "text": text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…",
        "detail": row["detail"],
    }
