"""Replay of a feed, everything included, over decoding the same feed and nothing else."""

from ingest.decode import Decoder, batch_of

from ..replay import STEP_ROWS, cut, replay
from .harness import Figure, Size, alternate, figure, rates, ratios
from .workload import FACTORS, HOUR_RULE, START, messages_of, site_of

STATIONS, MINUTES = 100, 900  # long enough that compiling the rules and closing the feed are no large part of it
RATIO_MIN = 0.7


def measure(size: Size) -> list[Figure]:
    """100 stations of 14 readings a minute, hour means judged against 1,400 limits."""
    stations = size.of(STATIONS, least=2)
    site = site_of(outlets=stations, stations=1)
    minutes = max(size.of(MINUTES), 70)  # an hour closes
    feed = messages_of(site, minutes)
    readings = stations * minutes * FACTORS
    decoder = Decoder(site)

    def decode_alone() -> None:
        for messages in cut(feed, STEP_ROWS):
            decoder.decode(batch_of(messages, START))

    decoding, whole = alternate(size.rounds, decode_alone, lambda: replay(feed, site, HOUR_RULE))
    return [
        figure("decoding alone", "readings/s", rates(readings, decoding.wall)),
        figure("replay", "readings/s", rates(readings, whole.wall)),
        figure("replay over decoding, readings/s", "ratio", ratios(decoding.wall, whole.wall), (">=", RATIO_MIN)),
        figure("replay over decoding, readings/CPU s", "ratio", ratios(decoding.cpu, whole.cpu)),
    ]
