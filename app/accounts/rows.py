"""An account of mass as rows of plain data: what is printed, and what a script gets.

Promises: kilograms to the milligram; a mass that is not known is None, never 0; instants are the site's civil time; a
share is rounded down, so that none looks as if it had reached what it did not.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import polars as pl

from contracts.civil_time import local
from rules.accounts.masses import totals
from rules.accounts.substitution import PARTIAL, gaps, rests_on
from rules.tables.reference import validity_rules

from .mass import MassAccount

By = Literal["hour", "day", "month", "quarter"]
_OF = ("of_n", "of_wanted", "of_from", "of_to", "flow_of_n", "flow_of_wanted", "flow_of_from", "flow_of_to")
_MG_PER_KG = 6  # decimals


def account_rows(account: MassAccount, by: By) -> list[dict[str, Any]]:
    """By the hour: one row a window of the archive (a day where the analyser gives days) with where its mass is from.

    Else one row an outlet, station, factor and period: masses, hours, and the capture of the quarter it lies in.
    """
    about = _about(account)
    if by == "hour":
        rows = account.hours.with_columns(to_at=pl.col("window_at") + pl.duration(seconds="seconds"))
        kg = rows["rate"].cast(pl.Int128) * rows["seconds"].cast(pl.Int128)
        return [
            {
                **about[row["series"]],
                "from": _civil(account, row["window_at"]),
                "to": _civil(account, row["to_at"]),
                "state": row["state"],
                "kg": _kg(None if mg_s is None else round(Decimal(mg_s) / 3600)),
                "reason": row["reason"],
                **_why(account, row),
            }
            for row, mg_s in zip(rows.iter_rows(named=True), kg, strict=True)
        ]
    made = []
    for row in totals(account.hours, by, account.site.time_zone).iter_rows(named=True):
        measured, substituted = row["measured_mg"], row["substituted_mg"]
        is_known = row["measured_s"] + row["substituted_s"] > 0 or not row["unknown_s"]
        made.append(
            {
                **about[row["series"]],
                "from": _civil(account, max(row["from_at"], account.from_at)),
                "to": _civil(account, min(row["to_at"], account.to_at)),
                "kg": _kg(measured + substituted) if is_known else None,
                "is_lower_bound": row["unknown_s"] > 0,
                "measured_kg": _kg(measured) if row["measured_s"] + row["in_stops_s"] else None,
                "of_it_in_stops_kg": _kg(row["in_stops_mg"]),
                "substituted_kg": _kg(substituted),
                "hours_due": _hours(row["measured_s"] + row["substituted_s"] + row["unknown_s"]),
                "hours_valid": _hours(row["measured_s"]),
                "hours_substituted": _hours(row["substituted_s"]),
                "hours_unknown": _hours(row["unknown_s"]),
                "hours_stopped": _hours(row["stopped_s"]),
                "quarter": _quarter(account, row["quarter_at"]),
                "quarter_is": "final" if account.final[row["series"], row["quarter_at"]] else "provisional",
                "quarter_capture_pct": _capture(row["quarter_valid_s"], row["quarter_due_s"]),
                "quarter_usable": _usable(about[row["series"]]["medium"], row["quarter_valid_s"], row["quarter_due_s"]),
            }
        )
    return made


def gap_rows(account: MassAccount) -> list[dict[str, Any]]:
    """One row a stretch of missing windows that were substituted alike, or are unknown for one reason."""
    about = _about(account)
    return [
        {
            **about[row["series"]],
            "from": _civil(account, row["from_at"]),
            "to": _civil(account, row["to_at"]),
            "hours": _hours(row["seconds"]),
            "kg": _kg(row["mass_mg"]),
            "reason": row["reason"],
            **_why(account, row),
        }
        for row in gaps(account.hours).iter_rows(named=True)
    ]


def rules_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of validity_rules.csv that rows of gaps rest on, each with its status for what it is used for."""
    found = {}
    for row in rows:
        rule, status = rests_on(row["rule"], row["medium"], row["factor"])
        found[row["rule"], status] = {
            "rule": rule.id,
            "clause": rule.standard_clause,
            "says": rule.formula_or_parameters,
            "status": status,
        }
    return [found[key] for key in sorted(found)]


def _about(account: MassAccount) -> dict[int, dict[str, Any]]:
    named = account.series.select("series", "outlet", "station", "factor", "medium").iter_rows(named=True)
    return {row.pop("series"): {**row, "factor_en": account.site.factors[row["factor"]].name_en} for row in named}


def _why(account: MassAccount, row: dict[str, Any]) -> dict[str, Any]:
    """What was substituted by which rule, of which windows; or why nothing was."""
    told = {name: _civil(account, at) if isinstance(at := row[name], datetime) else at for name in _OF}
    return {"substituted": row["what"], "unknown": row["unknown"], "rule": row["rule"], **told}


def _usable(medium: str, valid_s: int, due_s: int) -> bool | None:
    """Whether the quarter's automatic data may be used for emission at all; None: no clause says."""
    if medium == "waste_water":
        return None  # HJ 1122-2020 speaks of SO2, NOx and PM, HJ 75-2017 of flue gas
    least = validity_rules()[PARTIAL].number("capture_from_pct")
    return due_s == 0 or valid_s * 100 >= due_s * least


def _capture(valid_s: int, due_s: int) -> float | None:
    return None if due_s == 0 else (valid_s * 10_000 // due_s) / 100


def _kg(mg: int | None) -> str | None:
    return None if mg is None else f"{Decimal(mg).scaleb(-_MG_PER_KG):f}"


def _hours(seconds: int) -> float:
    return seconds / 3600 if seconds % 3600 else seconds // 3600


def _quarter(account: MassAccount, at: datetime) -> str:
    there = local(at, account.site.time_zone)
    return f"{there.year} Q{(there.month + 2) // 3}"


def _civil(account: MassAccount, at: datetime) -> str:
    return local(at, account.site.time_zone).isoformat(timespec="minutes")
