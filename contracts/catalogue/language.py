"""The languages everything people read is written in."""

from typing import Literal

Language = Literal["zh", "en"]
