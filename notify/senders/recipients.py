"""Who of a notification's recipients has taken it already: another attempt goes to the others only.

Promises: nobody is told twice by one process. Does not promise it across a restart: then all are, marked as a repeat.
"""

from collections import OrderedDict

KEYS_MAX = 1_000  # notifications remembered


class Taken:
    """By notification; bounded, the oldest is forgotten first."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, set[str]] = OrderedDict()

    def left(self, key: str, recipients: list[str]) -> list[str]:
        took = self._by_key.get(key, set())
        return [one for one in recipients if one not in took]

    def note(self, key: str, recipient: str) -> None:
        self._by_key.setdefault(key, set()).add(recipient)
        self._by_key.move_to_end(key)
        while len(self._by_key) > KEYS_MAX:
            self._by_key.popitem(last=False)

    def forget(self, key: str) -> None:
        self._by_key.pop(key, None)
