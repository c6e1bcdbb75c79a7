"""What the viewer looks like: colours of both themes and of series, and how a row of a table is found in them."""

from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Colours:
    text: str
    faint: str
    line: str
    panel: str
    tip: str


THEMES: dict[Theme, Colours] = {
    "light": Colours("#1c2833", "#6b7885", "#e3e8ed", "#ffffff", "#ffffff"),
    "dark": Colours("#dfe5ea", "#8c98a4", "#2a323b", "#181d23", "#232a32"),
}
# of series, in the order they come; told apart on both themes, and none of them a level's colour
SERIES = (
    "#2f7fb8",
    "#2ca58d",
    "#8e6bbf",
    "#c2703d",
    "#5b8c2a",
    "#b5487f",
    "#3f6fd1",
    "#8a7a2f",
    "#1f9bb0",
    "#7d5a4f",
    "#5f6caf",
    "#3d8f5f",
)
WELL, UNKNOWN = "#3D71A5", "#8E8E8E"  # as on the boards
LIMIT = "#d64550"  # a limit that has no colour of its own
