"""A broken link of the evidence chain, in the words of whoever has to defend or to mend it."""

from datetime import UTC, datetime


class Broken(Exception):
    """The first place where the evidence is not what it must be.

    link: which of the chain's links; place: file, and batch, span or row in it; what: what is there and was expected.
    """

    def __init__(self, link: str, place: str, what: str):
        super().__init__(f"{link}: {place}: {what}")
        self.link, self.place, self.what = link, place, what


def instant(us: int | None) -> str:
    """us since 1970 as people read it; also one that is out of any calendar's range."""
    if us is None:
        return "none"
    try:
        return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{us} us"


def short(value: object, length: int = 120) -> str:
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."
