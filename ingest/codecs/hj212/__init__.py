"""HJ 212: the text protocol between data loggers at a source and a monitoring centre (2005, 2017, 2025 editions)."""

from .decode import POLICIES, Hj212Codec
from .framing import split_stream

__all__ = ["POLICIES", "Hj212Codec", "split_stream"]
