"""Decoding: the JSON codec alone, and with the registry join, on one thread of Python and Polars' pool."""

from contracts.topics import STATION_TOPIC
from ingest.codecs.json_v1 import JsonCodec
from ingest.decode import Decoder, batch_of

from .harness import Figure, Size, alternate, figure, rates, ratios
from .workload import FACTORS, START, messages_of, site_of

MESSAGES = 20_000
STATIONS = 1_000


def measure(size: Size) -> list[Figure]:
    """Messages of 14 readings."""
    stations = size.of(STATIONS, least=4)
    site = site_of(outlets=stations, stations=1)
    messages = messages_of(site, max(1, size.of(MESSAGES) // stations))
    batch = batch_of(messages.filter(messages["topic"].str.contains(STATION_TOPIC.pattern)), START)
    codec, decoder = JsonCodec(), Decoder(site)
    readings = batch.height * FACTORS
    alone, joined = alternate(size.rounds, lambda: codec(batch, site.time_zone), lambda: decoder.decode(batch))
    return [
        figure("JSON codec", "readings/s", rates(readings, alone.wall)),
        figure("JSON codec and registry join", "readings/s", rates(readings, joined.wall)),
        figure("codec and join over codec, CPU", "ratio", ratios(joined.cpu, alone.cpu)),
    ]
