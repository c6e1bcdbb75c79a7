"""`greenisland grafana push` and `diff`: the boards in a Grafana that is not ours to provision."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from grafana.board import SOURCES
from grafana.generate import DASHBOARDS

URL = Annotated[str, typer.Option(help="Grafana's address, for example https://grafana.example.")]
TOKEN = Annotated[Path, typer.Option(help="File with a service account's token; to push it must be an editor's.")]
LANGUAGE = Annotated[str, typer.Option(help="zh, en, or both.")]
FOLDER = {"zh": ("gi-zh", "GreenIsland 看板"), "en": ("gi-en", "GreenIsland boards")}
IGNORED = ("id", "version")  # Grafana's own
INSTALL = (
    "grafana-client is not installed. It brings another urllib3 for the whole environment, so give it one of its own:"
    " python -m venv boards && boards/bin/pip install 'greenisland[grafana]'"
)


def push_command(url: URL, token_file: TOKEN, language: LANGUAGE = "both") -> None:
    """Put the boards into a Grafana, over those of the same uid. Its data sources are yours: missing ones are named."""
    client = _client(url, token_file)
    with _told(url):
        missing = [
            source["uid"]
            for source in SOURCES.values()
            if not _there(client.datasource.get_datasource_by_uid, source["uid"])
        ]
        for one in _languages(language):
            uid, title = FOLDER[one]
            if not _there(client.folder.get_folder, uid):
                client.folder.create_folder(title, uid)
            for board in _boards(one):
                client.dashboard.update_dashboard(
                    {"dashboard": board, "folderUid": uid, "overwrite": True, "message": "greenisland grafana push"}
                )
                typer.echo(f"pushed {board['uid']} {board['title']}")
    if missing:
        typer.echo(
            f"no data source has the uid {', '.join(missing)}: boards stay empty until one has; see"
            " grafana/provisioning/datasources/greenisland.yaml",
            err=True,
        )
        raise typer.Exit(1)


def diff_command(url: URL, token_file: TOKEN, language: LANGUAGE = "both") -> None:
    """Say which boards of a Grafana are not what this release has. Exit code 0: none; 1: some."""
    client = _client(url, token_file)
    differs = False
    with _told(url):
        for one in _languages(language):
            for board in _boards(one):
                found = _there(client.dashboard.get_dashboard, board["uid"])
                lines = ["is not there"] if found is None else list(differences(board, found["dashboard"]))
                differs |= bool(lines)
                typer.echo("\n".join(f"{board['uid']}: {line}" for line in lines or ["the same"]))
    raise typer.Exit(int(differs))


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """One line a panel or part that differs."""
    for key in sorted((ours.keys() | theirs.keys()) - {*IGNORED, "panels"}):
        if ours.get(key) != theirs.get(key):
            yield f"{key} differs"
    panels, others = ({panel["id"]: panel for panel in board.get("panels", ())} for board in (ours, theirs))
    for id_ in sorted(panels.keys() | others.keys()):
        if id_ not in others:
            yield f"panel {id_} {panels[id_]['title']} is not there"
        elif id_ not in panels:
            yield f"panel {id_} {others[id_].get('title', '')} is not ours"
        elif panels[id_] != others[id_]:
            keys = sorted(
                key for key in panels[id_].keys() | others[id_].keys() if panels[id_].get(key) != others[id_].get(key)
            )
            yield f"panel {id_} {panels[id_]['title']} differs in {', '.join(keys)}"


def _boards(language: str) -> Iterator[dict[str, Any]]:
    for path in sorted((DASHBOARDS / language).glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _languages(language: str) -> tuple[str, ...]:
    if language not in (*FOLDER, "both"):
        raise typer.BadParameter(f"{language!r}; zh, en or both", param_hint="--language")
    return tuple(FOLDER) if language == "both" else (language,)


def _client(url: str, token_file: Path) -> Any:
    try:
        from grafana_client import GrafanaApi, TokenAuth
    except ImportError as error:
        typer.echo(INSTALL, err=True)
        raise typer.Exit(1) from error
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--token-file") from error
    return GrafanaApi.from_url(url, credential=TokenAuth(token))


def _there(ask: Any, uid: str) -> Any:
    """What Grafana has under the uid; None where it has nothing."""
    from grafana_client.client import GrafanaClientError

    try:
        return ask(uid)
    except GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise


@contextmanager
def _told(url: str) -> Iterator[None]:
    """What Grafana or the network says, in words and with exit code 1."""
    from grafana_client.client import GrafanaException
    from niquests.exceptions import RequestException

    try:
        yield
    except GrafanaException as error:
        typer.echo(f"{url} answers {error.status_code}: {error.message}", err=True)
        raise typer.Exit(1) from error
    except RequestException as error:
        typer.echo(f"{url} does not answer: {error}", err=True)
        raise typer.Exit(1) from error
