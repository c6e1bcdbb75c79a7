"""Parts of windows as they stood at a tick: what was known by then, without the readings people say are invalid."""

import polars as pl

from .store import WindowStore


def uncounted(rows: pl.LazyFrame, tick: str, effects: pl.DataFrame) -> pl.LazyFrame:
    """store.ROWS with a column `tick` they are asked for at: readings invalid by then count for nothing."""
    invalid = effects if effects.is_empty() else effects.filter(pl.col("effect") == "invalid")
    if invalid.is_empty():
        return rows
    key = ["point", "at", tick]
    hit = (
        rows.filter(pl.col("revision").is_null())
        .select(key)
        .join(holding(invalid).lazy(), on="point")
        .filter((pl.col("from_at") <= pl.col("at")) & (pl.col("to_at").is_null() | (pl.col("at") < pl.col("to_at"))))
        .filter(holds_at(tick))
        .select(*key, is_invalid=pl.lit(True))
        .unique()
    )
    is_invalid = pl.col("is_invalid").fill_null(False)
    return (
        rows.join(hit, on=key, how="left")
        .with_columns(pl.when(is_invalid).then(0).otherwise(name).alias(name) for name in ("sum", "n", "over"))
        .with_columns(pl.col("sum").cast(pl.Int128), pl.col("n", "over").cast(pl.UInt32))
        .drop("is_invalid")
    )


def known_parts(store: WindowStore, period: str, wanted: pl.DataFrame, effects: pl.DataFrame) -> pl.DataFrame:
    """The parts of windows as they stood at a tick, beside the row of `wanted` that asks for them.

    wanted: point, window_at, tick, and whatever else. The parts' own ticks are `known_at`.
    """
    rows = store.of_windows(period, wanted["window_at"], wanted["point"])
    known = (
        rows.filter(pl.col("point").is_in(wanted["point"].unique().implode()))
        .rename({"tick": "known_at"})
        .lazy()
        .join(wanted.lazy(), on=["point", "window_at"])
        .filter(pl.col("known_at") <= pl.col("tick"))
        .filter(pl.col("until").is_null() | (pl.col("until") > pl.col("tick")))
    )
    return uncounted(known, "tick", effects).collect()


def holding(effects: pl.DataFrame) -> pl.DataFrame:
    return effects.select("point", "from_at", "to_at", "kind", holds_from="tick", holds_until="until")


def holds_at(tick: str) -> pl.Expr:
    until = pl.col("holds_until")
    return (pl.col("holds_from") <= pl.col(tick)) & (until.is_null() | (pl.col(tick) < until))
