"""How a process logs: a line for people, or a JSON object a line for programs. Secrets are blotted out of both.

Promises: one record is one line of JSON, whatever is in it; what follows `token=`, `access_token=`, `sign=`,
`Authorization:` and the like, and passwords in addresses, never stand in it.
Does not promise to know every secret: nothing in this program may log one in the first place.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
# httpx logs whole addresses, and those of robots hold their token; its failures are told by whoever asked
QUIET = ("httpx", "httpcore", "urllib3", "asyncio")

_SECRETS = (
    re.compile(
        r"(?i)(\b(?:access_token|token|key|sign|secret|password|passwd|pwd|authorization|cookie)\b\"?\s*[=:]\s*\"?"
        r"(?:bearer |token |basic )?)[^\s\"'&,;}]+"
    ),
    re.compile(r"(?i)(\bbearer )\S+"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
    re.compile(r"(\bgi_)[A-Za-z0-9_-]{16,}"),
)
_BLOT = r"\1***"


def blotted(text: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(_BLOT, text)
    return text


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return blotted(super().format(record))


class JsonLines(logging.Formatter):
    """`at`, `level`, `logger`, `thread`, `message`, and `error` with its stack where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": blotted(record.getMessage()),
        }
        if record.exc_info:
            said["error"] = blotted(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False, default=str)


def configure(form: Form, level: int = logging.INFO) -> None:
    """Logs to stderr from now on, in this form; replaces whatever was configured."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def configured_form() -> Form:
    """How this process logs, for one it starts."""
    return "json" if any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers) else "text"
