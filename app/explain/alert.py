"""What a window did to its alert: event time gathered, and what was told at the ticks that decided it.

Promises: transitions and their texts are the pipeline's; event time gathered is `episodes.fold` over the verdicts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from contracts.durations import format_duration
from rules.alerts.episodes import Machine, Window, fold
from rules.alerts.verdict_past import NEAR
from rules.bindings import BINDINGS

from ..texts.texts import Texts
from .run import Row, Run
from .words import Step, Times, shortened


def alert_step(run: Run, times: Times, binding: Row, verdict: Row, revisions: Sequence[Row], *, show_all: bool) -> Step:
    """verdict: the latest of the window; revisions: all of them."""
    limit_id = verdict["limit_id"]
    windows = _windows(run, binding, limit_id, verdict["window_at"])  # type: ignore[arg-type]
    pending_s, recovery_s = int(str(binding["pending_s"])), int(str(binding["recovery_s"]))
    before, _ = fold(Machine(), windows[:-1], pending_s, recovery_s)
    after, ended = fold(before, windows[-1:], pending_s, recovery_s)
    its = [row for row in run.transitions if row["episode"]["limit_id"] == limit_id]  # type: ignore[index]
    ticks = {row["decided_at"] for row in revisions}
    at_ticks = [row for row in its if row["tick"] in ticks]

    step = Step("Alert")
    step.facts = {"pending_s": pending_s, "recovery_s": recovery_s, "gathered_bad_s": after.bad_s}
    step.facts |= {"gathered_good_s": after.good_s, "open_since": None}
    pending, recovery = _said(pending_s), _said(recovery_s)
    if verdict["level"] is not None and after.open is None:
        step.lines.append(f"beyond a level for {_said(after.bad_s)} of the {pending} it takes: no alert yet")
    elif verdict["level"] is not None:
        fires = f"after {pending} of it" if pending_s else "at once"
        step.lines.append(f"beyond a level: an alert fires {fires} and stands while it lasts")
    elif verdict["state"] == "no_judgement":
        open_ = "; the alert stays open, without data" if after.open else ""
        step.lines.append(f"not judged: neither raises nor clears an alert, nor counts towards either{open_}")
    elif ended:
        step.lines.append(f"good for {recovery}: the alert ends" if recovery_s else "good: the alert ends at once")
    elif after.open is not None and windows[-1].near:
        step.lines.append("within, but nearer to the level than the rule's hysteresis: the alert stays open")
    elif after.open is not None:
        step.lines.append(f"good for {_said(after.good_s)} of the {recovery} it takes: the alert stays open")
    else:
        step.lines.append("no level reached, no alert open")
    episode = ended[-1] if ended else after.open
    if episode is not None:
        step.facts["open_since"] = times.iso(episode.opened_at)
        peak = f"highest level {episode.peak.level} in the window of {times.at(episode.peak.at)}"
        step.lines.append(f"alert since {times.at(episode.opened_at)}, {peak}")
    texts = Texts(run.site)
    told, blocks = [], []
    for row in at_ticks:
        word, about = str(row["transition"]), row["episode"]
        assert isinstance(about, dict)
        zh, en = (texts.alert(word, about, language, row["tick"]) for language in ("zh", "en"))
        blocks.append(f"at {times.at(row['tick'])} {word.replace('_', ' ')}:\n  {en}\n  {zh}")  # type: ignore[arg-type]
        told.append({"tick": times.iso(row["tick"]), "transition": word, "id": about["id"], "en": en, "zh": zh})  # type: ignore[arg-type]
    shown = blocks if show_all else shortened(blocks, 1, 1, "changes")
    step.lines += [line for block in shown for line in block.split("\n")]
    if not at_ticks:
        step.lines.append("nothing was told of an alert when this window was decided")
    step.facts["told"] = told
    step.lines += _later(its, at_ticks, max(ticks), times, episode.opened_at if episode else None)  # type: ignore[type-var]
    return step


def _later(
    its: Sequence[Row], told: Sequence[Row], last: object, times: Times, opened_at: datetime | None
) -> list[str]:
    """What became of the alert after the window's last decision."""
    ids = {row["episode"]["id"] for row in told}  # type: ignore[index]
    if opened_at is not None:
        ids |= {row["episode"]["id"] for row in its if _opened(row) == opened_at}  # type: ignore[index]
    after = [row for row in its if row["episode"]["id"] in ids and row["tick"] > last]  # type: ignore[index, operator]
    words = [f"{str(row['transition']).replace('_', ' ')} {times.at(row['tick'])}" for row in after]  # type: ignore[arg-type]
    if len(words) > 6:
        words = [*words[:3], f"{len(words) - 5} more", *words[-2:]]
    return [f"later: {', '.join(words)}"] if words else []


def _opened(row: Row) -> datetime:
    return datetime.fromisoformat(str(row["episode"]["opened_at"]))  # type: ignore[index]


def _windows(run: Run, binding: Row, limit_id: object, upto: datetime) -> list[Window]:
    """The latest verdict of every window of the limit, to the one in question and with it."""
    rows = run.verdicts.filter(
        pl.col("limit_id").eq_missing(pl.lit(limit_id, pl.String)) & (pl.col("window_at") <= upto)
    )
    rows = rows.sort("window_at", "revision").unique("window_at", keep="last").sort("window_at")
    bounds = {name: pl.lit(binding[name], BINDINGS[name]) for name in ("above", "inclusive", "clear")}
    rows = rows.with_columns(**bounds).with_columns(near=NEAR)
    return [
        Window(
            at=row["window_at"],
            seconds=row["window_s"],
            level=row["level"],
            judged=row["state"] != "no_judgement",
            value_scaled=row["value_scaled"],
            exceeds=row["state"] == "exceedance",
            near=row["near"],
        )
        for row in rows.iter_rows(named=True)
    ]


def _said(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))
