"""What a run of the chaos found: checks with figures, and the first difference of each that failed."""

import textwrap
from dataclasses import dataclass, field

from ..harness import WIDTH

NAME_WIDTH = 44


@dataclass(frozen=True)
class Check:
    name: str
    figure: str  # what was counted
    difference: str | None = None  # the first one; None: it holds

    @property
    def holds(self) -> bool:
        return self.difference is None


@dataclass
class Report:
    seed: int
    kills: int = 0  # processes that SIGKILL ended
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]

    def as_json(self) -> dict[str, object]:
        checks = [{"check": one.name, "figure": one.figure, "difference": one.difference} for one in self.checks]
        return {
            "seed": self.seed,
            "kills": self.kills,
            "seconds": round(self.seconds, 1),
            "holds": self.holds,
            "checks": checks,
            "notes": self.notes,
        }

    def table(self) -> str:
        """At most WIDTH columns."""
        lines = [f"chaos: {self.kills} kills in {self.seconds:.0f} s, seed {self.seed}"]
        for check in self.checks:
            head = f"  {check.name:<{NAME_WIDTH}}"
            figure = textwrap.wrap(check.figure, WIDTH - len(head) - 6) or [""]
            lines.append(f"{head}{figure[0]:<{WIDTH - len(head) - 6}}{'ok' if check.holds else 'FAILED':>6}")
            lines += [" " * len(head) + more for more in figure[1:]]
            if check.difference is not None:
                lines += textwrap.wrap(check.difference, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")
        for note in self.notes:
            lines += textwrap.wrap(note, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
        lines.append("everything reconciles" if self.holds else f"it does not reconcile; again with --seed {self.seed}")
        return "\n".join(lines)
