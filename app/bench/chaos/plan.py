"""Who dies when: a schedule of deaths, drawn from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .kill_points import KILL_POINTS, KillPoint

AFTER_S_MAX = 2.5  # a death at a random time comes so many seconds after the start of its process at the latest
SHARE_TIMED = 0.4  # of the kills beyond one a point
ALL_AT_ONCE_EVERY = 10  # so many kills, once all processes die in the same moment


@dataclass(frozen=True)
class Death:
    """Of one process: at the n-th arrival at a kill point, or so many seconds after its start."""

    role: str
    point: KillPoint | None
    nth: int = 1
    after_s: float = 0.0

    @property
    def said(self) -> str:
        return f"{self.role}, {self.point.name} ({self.nth})" if self.point else f"{self.role}, {self.after_s:.2f} s"


def deaths(kills: int, seed: int, roles: Sequence[str]) -> dict[str, list[Death]]:
    """Every kill point once if there are so many kills, then points and random times; per role in their order."""
    rng = Random(seed)
    points = [point for point in KILL_POINTS if point.role in roles]
    rng.shuffle(points)
    made = [_at(point, rng) for point in points[:kills]]
    while len(made) < kills:
        if rng.random() < SHARE_TIMED:
            made.append(Death(rng.choice(list(roles)), None, after_s=rng.uniform(0, AFTER_S_MAX)))
        else:
            made.append(_at(rng.choice(points), rng))
    rng.shuffle(made)
    return {role: [death for death in made if death.role == role] for role in roles}


def _at(point: KillPoint, rng: Random) -> Death:
    return Death(point.role, point, rng.randint(1, point.within))
