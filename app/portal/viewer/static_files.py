"""The viewer's own style and script, named by what they hold so that a browser keeps them and never an old one."""

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "static"
AT = "/viewer"


@cache
def address(name: str) -> str:
    return f"{AT}/{name}?v={hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


def head(language: str, theme: str) -> str:
    return (
        f'<link rel="stylesheet" href="{address("viewer.css")}"><script src="{address("viewer.js")}"></script>'
        f'<script>document.documentElement.lang="{language}";document.documentElement.dataset.theme="{theme}"</script>'
    )
