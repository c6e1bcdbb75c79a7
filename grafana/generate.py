"""Writes dashboards/<language>/<board>.json: `python -m grafana.generate`; with --check it only says what differs."""

import json
import sys
from pathlib import Path

from .board import render
from .boards import BOARDS
from .look import LANGUAGES

DASHBOARDS = Path(__file__).resolve().parent / "dashboards"


def generated() -> dict[str, str]:
    """Path below DASHBOARDS -> text, of every board in every language."""
    made = {}
    for language in LANGUAGES:
        for board_in in BOARDS:
            board = board_in(language)
            text = json.dumps(render(board, language), ensure_ascii=False, indent=1) + "\n"
            made[f"{language}/{board.uid}.json"] = text
    return made


def differing() -> list[str]:
    """Paths whose file is absent, too many, or not what the source makes."""
    made = generated()
    there = {path.relative_to(DASHBOARDS).as_posix() for path in DASHBOARDS.glob("*/*.json")}
    changed = {name for name in made.keys() & there if (DASHBOARDS / name).read_text(encoding="utf-8") != made[name]}
    return sorted(changed | (made.keys() ^ there))


def main() -> int:
    if "--check" in sys.argv[1:]:
        for name in differing():
            print(f"{DASHBOARDS / name} is not what grafana/boards makes; run `make boards`", file=sys.stderr)
        return int(bool(differing()))
    for name in differing():
        path = DASHBOARDS / name
        if name in generated():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[name], encoding="utf-8")
        else:
            path.unlink()
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
