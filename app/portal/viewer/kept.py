"""What was worked out once and is asked again: the last of it, and one thread works it out for all that wait.

Promises: who asks for what somebody is working out waits for that; what failed is not kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    def __init__(self, most: int, weigh: Callable[[Result], int] = lambda _: 1):
        """most: of the weights of what is kept; what was not asked for longest goes first."""
        self._most, self._weigh = most, weigh
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Future[Result]] = OrderedDict()
        self._weights: dict[Hashable, int] = {}

    def once(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Raises what `make` raises, to everybody who waits for it."""
        with self._lock:
            future, is_mine = self._found.get(key), False
            if future is None:
                future, is_mine = Future(), True
                self._found[key] = future
            self._found.move_to_end(key)
        if not is_mine:
            return future.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._found[key]
            future.set_exception(error)
            raise
        future.set_result(made)
        with self._lock:
            self._weights[key] = self._weigh(made)
            while sum(self._weights.values()) > self._most:
                oldest = next(one for one in self._found if one in self._weights)
                del self._found[oldest], self._weights[oldest]
        return made
