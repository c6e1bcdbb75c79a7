"""`greenisland deploy`: the directory of a deployment with its secrets, certificates and stations' credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from contracts.clock import SystemClock

from ..deploying.certificates import OpensslFailed
from ..deploying.check import check
from ..deploying.directory import DeployError, Made, add_station, init, owner_named, revoke_station
from ..site.files import load_site

DIR = Annotated[Path, typer.Argument(help="The deployment's directory.")]
STATION = Annotated[str, typer.Argument(help="The station's identifier, as in registry/stations.csv.")]
RELOAD = "tell the broker: `docker compose kill -s HUP broker`, or copy broker/passwd and `systemctl reload mosquitto`"


def init_command(
    directory: DIR,
    host: Annotated[str, typer.Option(help="Name or address stations and people reach this machine by.")],
    site: Annotated[
        Path | None, typer.Option(help="The site's directory: its stations and collectors get credentials.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="Whom the files belong to: a user, or uid:gid. Default: you; of root 10001.")
    ] = None,
) -> None:
    """Make secrets, certificates, broker settings and credentials. What is there already is left as it is."""
    whole = None if site is None else load_site(site)
    with _in_words():
        made = init(
            directory,
            host,
            "centre" if whole is None else whole.file.site,
            ("main",) if whole is None else whole.file.collectors,
            () if whole is None else tuple(station.station for station in whole.stations),
            owner_named(owner),
        )
    _say(directory, made)
    if whole is None:
        typer.echo("No --site was given: no station has a credential yet. Run it again with --site.")
    typer.echo(f"Now: take {directory}/site-sections.yaml over into the site's site.yaml, put the site at")
    typer.echo(f"{directory}/site, and keep {directory}/ca/ca.key somewhere else. Then `greenisland deploy check`.")


def add_command(directory: DIR, station: STATION) -> None:
    """Give a station a credential."""
    with _in_words():
        path = add_station(directory, station)
    typer.echo(f"its user name is {station}, its password is in {path}")
    typer.echo(RELOAD)


def revoke_command(directory: DIR, station: STATION) -> None:
    """Take a station's credential away: once the broker knows, it is cut off and cannot come back."""
    with _in_words():
        revoke_station(directory, station)
    typer.echo(f"station {station} has no credential any more")
    typer.echo(RELOAD)


def check_command(
    directory: DIR,
    compose: Annotated[
        Path | None,
        typer.Option(help="docker-compose.yml to be checked with it. Default: none, a centre without Docker."),
    ] = None,
) -> None:
    """Say what is missing, open to others, expired or does not fit. Exit code 1: something is."""
    with _in_words():
        found = check(directory, compose, SystemClock().now())
    for line in found:
        typer.echo(line)
    typer.echo("all is well" if not found else f"{len(found)} findings")
    raise typer.Exit(1 if found else 0)


def _say(directory: Path, made: list[Made]) -> None:
    for one in made:
        if one.is_new:
            typer.echo(f"made  {one.path.relative_to(directory)}")
    if kept := sum(not one.is_new for one in made):
        typer.echo(f"kept  {kept} that were there")


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (DeployError, OpensslFailed, OSError) as error:
        typer.echo(f"greenisland deploy: {error}", err=True)
        raise typer.Exit(2) from error
