"""What a running system decided, as the files a replay would have left."""

from pathlib import Path

from contracts.ports import Notification
from store.spans import SpanFiles
from store.state_db import StateDb

from ..outputs import Outputs, notification_line


def export(state_dir: Path) -> Outputs:
    """Everything committed so far. Reads span files, so it needs those that were not pruned."""
    outputs = Outputs()
    with StateDb(state_dir / "state.db") as db:
        files = SpanFiles(state_dir / "spans", db)
        counts = {row.seq: dict(row.counts) for row in db.spans_after(0, limit=1_000_000_000)}
        for seq, frames in files.spans_after(0):
            kept = {name: n for name, n in counts[seq].items() if not name.startswith("reject:")}
            outputs.add(frames["aggregates"], frames["verdicts"], frames["rejects"], [], kept)
        for row in db.transitions():
            outputs.episodes.apply([{"transition": row["transition"], "episode": row["body"]}])
        for told in db.telling.notifications():
            outputs.notifications.append(notification_line(Notification(**told)))
        outputs.cases = {str(one["id"]): one for one in db.cases.records()}
    return outputs
