"""What a demo run came to, as JSON-able figures and as text for people."""

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.catalogue import Language
from contracts.catalogue.screen import INCIDENT, WORDS
from contracts.civil_time import local

from .board import Board, Tally


def summary_of(
    board: Board, seed: int, speed: float, history_s: float | None, live_s: float | None, published: int
) -> dict[str, object]:
    """Instants are simulated, ISO 8601; `history.seconds` and `live.seconds` are real, null where not reached."""
    live = {
        "from": board.live_from.isoformat(),
        "decided_to": board.clock.isoformat() if live_s is not None and board.clock else None,
        "seconds": None if live_s is None else round(live_s, 2),
        "published": published,
        **_figures(board.live),
    }
    if live_s:
        live["messages_per_s"] = round(board.live.counts["messages"] / live_s, 2)
        live["readings_per_s"] = round(board.live.counts["readings"] / live_s, 2)
    return {
        "site": board.site.file.site,
        "seed": seed,
        "speed": speed,
        "history": {"seconds": None if history_s is None else round(history_s, 2), **_figures(board.history)},
        "live": live,
        "kinds_raised": board.live.incidents("raised"),
        "kinds_resolved": board.live.incidents("resolved"),
    }


def _figures(tally: Tally) -> dict[str, object]:
    counts = ("messages", "readings", "duplicates", "late")
    outcomes = ("raised", "resolved", "withdrawn")
    return {
        **{name: tally.counts[name] for name in counts},
        "rejects": dict(sorted(tally.rejects.items())),
        "alerts": {kind: {name: n[name] for name in outcomes} for kind, n in sorted(tally.alerts.items())},
    }


def print_summary(summary: dict, time_zone: str, language: Language, console: Console) -> None:
    def say(key: str, **values: object) -> None:
        console.print(Text(WORDS[key][language].format(**values)), highlight=False)

    def there(instant: str) -> str:
        return local(datetime.fromisoformat(instant), time_zone).strftime("%m-%d %H:%M:%S")

    history, live = summary["history"], summary["live"]
    if history["seconds"] is None:
        say("stopped_early")
        return
    say("summary_history", **history)
    if live["seconds"] is None or live["decided_to"] is None:
        return
    say("summary_live", seconds=live["seconds"], from_at=there(live["from"]), to_at=there(live["decided_to"]))
    say(
        "summary_counts",
        published=live["published"],
        messages=live["messages"],
        readings=live["readings"],
        messages_s=live["messages_per_s"],
        readings_s=live["readings_per_s"],
    )
    reasons = ", ".join(f"{reason} {n}" for reason, n in live["rejects"].items())
    say("summary_rejects", reasons=reasons or WORDS["none"][language])
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(WORDS["summary_alerts"][language])
    for outcome in ("raised", "resolved", "withdrawn"):
        table.add_column(WORDS[outcome][language], justify="right")
    for kind, outcomes in live["alerts"].items():
        name = INCIDENT[kind][language] if kind in INCIDENT else kind
        table.add_row(Text(name), *(str(outcomes[key]) for key in ("raised", "resolved", "withdrawn")))
    console.print(table)
