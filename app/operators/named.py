"""What commands on alerts and cases share: state.db for reading, names cut short, instants as people read them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from contracts.civil_time import local
from contracts.instants import EPOCH, MICROSECOND
from contracts.site import Site
from store.alert_reads import NotReadable, Reading, Wanted, reading
from store.sqlite_damage import StateDamaged

from .record import state_directory

SHOWN_NAME = 8  # characters of a name: enough to give it to the next command
SHORTEST_NAME = 4


@contextmanager
def open_state(state: Path) -> Iterator[Reading]:
    """state.db, read at one instant; one that cannot be read ends the command, in words."""
    try:
        with reading(state_directory(state)) as found:
            yield found
    except (NotReadable, sqlite3.Error, StateDamaged) as error:
        typer.echo(f"{state}: {error}", err=True)
        raise typer.Exit(1) from error


def alert_named(found: Reading, name: str) -> dict[str, Any]:
    """The one alert whose name begins so; one that was withdrawn by its whole name. Raises BadParameter."""
    if (row := found.episode(name)) is not None:
        return row
    rows = {str(row["id"]): row for row in found.episodes(Wanted(), None, -1)}
    return rows[one_named(name, list(rows), "EPISODE", "alert")]


def one_named(name: str, names: list[str], hint: str, what: str) -> str:
    """The one of the names that begins so. Raises BadParameter."""
    if len(name) < SHORTEST_NAME:
        raise typer.BadParameter(f"{name!r}: give at least {SHORTEST_NAME} characters", param_hint=hint)
    its = [one for one in names if one.startswith(name.lower())]
    if len(its) != 1:
        said = f"{name} begins the names of {len(its)}; give more of it" if its else f"no {what} is named {name}"
        raise typer.BadParameter(said, param_hint=hint)
    return its[0]


def instant_of(us: object) -> datetime | None:
    """us since 1970 UTC."""
    return None if us is None else EPOCH + int(str(us)) * MICROSECOND


def civil_text(us: object, site: Site) -> str:
    at = instant_of(us)
    return "-" if at is None else local(at, site.time_zone).strftime("%Y-%m-%d %H:%M:%S")
