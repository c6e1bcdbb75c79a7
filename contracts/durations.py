"""Durations as people write them: `90s 15m 2h 1d`."""

import re
from datetime import timedelta

_PART = re.compile(r"(\d+)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> timedelta:
    """A timedelta from `90s`, `15m`, `2h`, `1d` or joined `1h30m`. Raises ValueError in the user's words."""
    if isinstance(text, timedelta):
        return text
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 15m, 2h, 1d or 1h30m")
    return timedelta(seconds=sum(int(n) * _UNIT_S[u] for n, u in parts))


def format_duration(duration: timedelta) -> str:
    rest, text = int(duration.total_seconds()), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        n, rest = divmod(rest, size)
        text += f"{n}{unit}" if n else ""
    return text or "0s"
