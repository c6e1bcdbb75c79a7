"""How often one address may try: so many in any stretch of time. In memory, bounded, forgotten at a restart."""

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from contracts.clock import Clock

ADDRESSES_MAX = 10_000


class Rate:
    def __init__(self, attempts: int, seconds: float, clock: Clock):
        self._attempts, self._stretch, self._clock = attempts, timedelta(seconds=seconds), clock
        self._tried: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> int:
        """Counts an attempt. Seconds to wait; 0: it may go on."""
        now = self._clock.now()
        with self._lock:
            tried = self._tried.setdefault(address, deque(maxlen=self._attempts))
            self._tried.move_to_end(address)
            if len(self._tried) > ADDRESSES_MAX:
                self._tried.popitem(last=False)
            if len(tried) == self._attempts and (left := tried[0] + self._stretch - now) > timedelta(0):
                return max(1, -(-left // timedelta(seconds=1)))
            tried.append(now)
            return 0
