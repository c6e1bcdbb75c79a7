"""`greenisland rules ...`: check a site's rules before they run."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from ..site.files import load_site
from ..site.rule_files import compile_rules, load_rules


def check_command(site: Annotated[Path, typer.Option(help="The site's directory.")]) -> None:
    """Read the whole site and its rules, bind every rule to its points, and say what was found."""
    whole = load_site(site)
    placed = load_rules(site, whole)
    plan = compile_rules(whole, placed)
    by_rule = dict(plan.bindings.group_by("rule").agg(pl.col("point").n_unique()).iter_rows())
    print(f"{whole.file.site}: {len(whole.stations)} stations, {len(whole.points)} points, {len(whole.limits)} limits")
    for one in placed:
        points = by_rule.get(one.rule.id, 0)
        print(f"  {one.rule.id} ({one.rule.kind}, {one.path.as_posix()}:{one.line}): {points} points")
    without = plan.bindings.filter((pl.col("kind") == "limit") & pl.col("limit_scaled").is_null())
    for station, factor in (
        without.join(plan.points, on="point").select("station", "factor").unique().sort("station", "factor").iter_rows()
    ):
        print(f"  {station} {factor}: no limit configured")
