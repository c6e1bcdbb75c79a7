"""`greenisland deploy influx`: buckets and tokens on InfluxDB 2.x."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..site.files import load_site


def influx_command(
    site: Annotated[Path, typer.Option(help="The site's directory: its `influxdb` section says where and how long.")],
    org: Annotated[str, typer.Option(help="The organisation the buckets belong to.")],
    admin_token_file: Annotated[Path, typer.Option(help="The operator's token; it is used for this alone.")],
    out: Annotated[Path, typer.Option(help="Directory for the two tokens it makes.")],
) -> None:
    """Make the buckets, a token that writes and one that reads (InfluxDB 2.x). What is there is left as it is."""
    from store.influx_manage import READ, Refused, prepare  # its client takes as long to load as all the rest

    influx = load_site(site).file.influxdb
    if influx is None:
        raise typer.BadParameter(f"{site}/site.yaml has no `influxdb` section", param_hint="--site")
    try:
        token = admin_token_file.read_text(encoding="utf-8").strip()
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--admin-token-file, --out") from error

    def write(name: str, text: str) -> None:
        with open(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{text}\n")

    try:
        done = prepare(influx, org, token, write, out)
    except Refused as refused:
        typer.echo(f"greenisland deploy influx: {refused}", err=True)
        raise typer.Exit(1) from refused
    for what, names in (("made", done.made), ("changed", done.changed), ("left as it is", done.left)):
        for name in names:
            typer.echo(f"{what}: {name}")
    typer.echo(f"give Grafana {out / READ} and no other token")
