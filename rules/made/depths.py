"""In which order points made of others are decided: what is made of made points lies deeper than they do."""

from dataclasses import dataclass

import polars as pl

from ..windows.due import OWN_S


@dataclass(frozen=True)
class Depth:
    """Points none of which is made of another one of them, and what is asked of them in every step."""

    derived: pl.DataFrame  # ground.DERIVED of one period, with what the formulas need beside it
    inputs: pl.DataFrame  # ground.INPUTS of these
    touches: pl.DataFrame  # out, lag, point: each once
    numbers: pl.Series  # of the points that are inputs
    is_input: pl.Series  # by number of a point
    roles: tuple[str, ...]
    is_lagged: bool  # an input may be of another window than the output
    has_dates: bool  # an output may begin or end on a day


def by_depth(
    points: pl.DataFrame, derived: pl.DataFrame, inputs: pl.DataFrame, levels: pl.DataFrame, period: str
) -> list[Depth]:
    """Shallowest first. points: POINTS, numbered by row; levels: of this period."""
    derived = derived.filter(pl.col("period") == period).drop("period")
    inputs = inputs.filter(pl.col("period") == period).drop("period")
    made_of: dict[int, list[int]] = {}
    for out, point in inputs.select("out", "point").iter_rows():
        made_of.setdefault(out, []).append(point)
    depth: dict[int, int] = {}

    def depth_of(out: int) -> int:
        if out not in depth:
            depth[out] = 0  # an input of itself, some windows ago, is no deeper
            depth[out] = 1 + max((depth_of(point) for point in made_of[out] if point in made_of), default=-1)
        return depth[out]

    depths = pl.DataFrame(
        {"out": list(made_of), "depth": [depth_of(out) for out in made_of]}, {"out": pl.UInt32, "depth": pl.Int64}
    )
    scales = points.select("point", scale=pl.lit(10.0).pow(pl.col("decimals").cast(pl.Float64)))
    roles = (
        inputs.join(scales, on="point")
        .group_by("out", "role")
        .agg(pl.col("scale").first(), of=pl.len())
        .pivot("role", index="out", values=["scale", "of"])
    )
    wide = (
        derived.join(scales, left_on="out", right_on="point", maintain_order="left")
        .join(roles, on="out", how="left", maintain_order="left")
        .with_columns(part_s=_part_s(levels, derived["out"], made_of, period), a=_first_inputs(derived["out"], made_of))
        .join(levels.select("need", "of", a="point"), on="a", how="left", maintain_order="left")
        .join(depths, on="out", maintain_order="left")
    )
    made = []
    for n in sorted(set(depth.values())):
        mine = wide.filter(pl.col("depth") == n).drop("depth")
        of_mine = inputs.join(mine, on="out", how="semi", maintain_order="left")
        made.append(_depth(points, mine, of_mine))
    return made


def _depth(points: pl.DataFrame, derived: pl.DataFrame, inputs: pl.DataFrame) -> Depth:
    dates = points.join(derived, left_on="point", right_on="out", how="semi").select("valid_from", "valid_to")
    return Depth(
        derived,
        inputs,
        touches=inputs.select("out", "lag", "point").unique(),
        numbers=inputs["point"].unique(),
        is_input=points["point"].is_in(inputs["point"].implode()),
        roles=tuple(sorted(inputs["role"].unique())),
        is_lagged=bool((inputs["lag"] != 0).any()),
        has_dates=sum(dates.null_count().row(0)) < 2 * dates.height,
    )


def _first_inputs(outs: pl.Series, made_of: dict[int, list[int]]) -> pl.Series:
    return pl.Series([made_of[out][0] for out in outs], dtype=pl.UInt32)


def _part_s(levels: pl.DataFrame, outs: pl.Series, made_of: dict[int, list[int]], period: str) -> pl.Series:
    """Length of what an output's windows are counted in: that of its first input's parts."""
    of = dict(levels.select("point", "part_s").iter_rows())

    def part_s(point: int) -> int:
        return of[point] if point in of else part_s(made_of[point][0]) if point in made_of else OWN_S[period]

    return pl.Series([part_s(out) for out in outs], dtype=pl.Int64)
