"""The boards, each as a function of the language."""

from collections.abc import Callable

from ..board import Board
from ..look import Language
from . import energy, exceedances, limits, overview, park, pipeline, station, validity

BOARDS: tuple[Callable[[Language], Board], ...] = (
    overview.overview,
    exceedances.exceedances,
    limits.limits,
    validity.validity,
    park.park,
    energy.energy,
    station.station,
    pipeline.pipeline,
)
