"""The `greenisland` command: what there is to type, and where in app/commands it is.

Promises: a command's module is imported when it is typed, not before: nobody waits for the other sixty.
"""

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

# words -> module of app/commands and function
COMMANDS = {
    "demo": "demo.demo_command",
    "run": "run.run_command",
    "reload": "reload.reload_command",
    "decode": "decode.decode_command",
    "simulate": "simulate.simulate",
    "replay": "replay.replay_command",
    "rejudge": "rejudge.rejudge_command",
    "mass": "mass.mass_command",
    "portal": "portal.portal_command",
    "status": "status.status_command",
    "doctor": "doctor.doctor_command",
    "explain": "explain.explain_command",
    "verify": "verify.verify_command",
    "backup": "backup.backup_command",
    "restore": "backup.restore_command",
    "bench": "bench.bench_command",
    "feed from-csv": "feed_from_csv.feed_from_csv",
    "feed record": "feed.record_command",
    "feed play": "feed.play_command",
    "rules check": "rules.check_command",
    "rules limits": "rules_limits.rules_limits_command",
    "rules test": "rules_test.rules_test_command",
    "rules list": "rules_list.rules_list_command",
    "rules diff": "rules_diff.rules_diff_command",
    "rules explain": "rules_explain.rules_explain_command",
    "review": "mark.review_command",
    "mark add": "mark.add_command",
    "mark list": "mark.list_command",
    "mark withdraw": "mark.withdraw_command",
    "mark review": "mark.review_mark_command",
    "mark types": "mark.types_command",
    "alerts list": "alerts.list_command",
    "alerts show": "alerts.show_command",
    "alerts acknowledge": "alerts.acknowledge_command",
    "alerts assign": "alerts.assign_command",
    "alerts comment": "alerts.comment_command",
    "alerts silence": "alerts.silence_command",
    "alerts unsilence": "alerts.unsilence_command",
    "alerts silences": "alerts.silences_command",
    "alerts route": "alerts_route.route_command",
    "fact stop": "fact.stop_command",
    "fact qc": "fact.qc_command",
    "fact manual": "fact.manual_command",
    "fact list": "fact.list_facts_command",
    "fact withdraw": "fact.withdraw_fact_command",
    "case list": "case.list_command",
    "case show": "case.show_command",
    "case open": "case.open_command",
    "case note": "case.note_command",
    "case reply": "case.reply_command",
    "case return": "case.return_command",
    "case close": "case.close_command",
    "case reopen": "case.reopen_command",
    "user add": "user.add_command",
    "user list": "user.list_command",
    "user passwd": "user.passwd_command",
    "user disable": "user.disable_command",
    "user enable": "user.enable_command",
    "user token": "user.token_command",
    "user revoke": "user.revoke_command",
    "outbox list": "outbox.list_command",
    "outbox retry": "outbox.retry_command",
    "outbox test": "outbox.try_command",
    "grafana push": "grafana.push_command",
    "grafana diff": "grafana.diff_command",
    "deploy init": "deploy.init_command",
    "deploy check": "deploy.check_command",
    "deploy influx": "influx.influx_command",
    "deploy station add": "deploy.add_command",
    "deploy station revoke": "deploy.revoke_command",
}

# words -> what the commands below them are about
GROUPS = {
    "": "GreenIsland: automatic environmental monitoring. Collects, judges, keeps the evidence, tells people.",
    "feed": "Feeds: recorded or made messages, as Parquet.",
    "rules": "Rules: check, test, list and compare them; explain a verdict.",
    "mark": "Data marks (数据标记): make, withdraw, review, list them.",
    "fact": "Approved stops, checks of analysers, manual readings; all facts.",
    "alerts": "Alerts: look at them, acknowledge, assign, silence; try routes out.",
    "case": "Cases (督办): what an exceedance asks of people, until one of them closes it.",
    "user": "Accounts of the portal: who may come in, as whom, for what.",
    "outbox": "Notifications: what waits, was refused or given up; try a channel.",
    "grafana": "Boards in a centre's own Grafana: push them, or say what differs.",
    "deploy": "A deployment: secrets, certificates, credentials, buckets.",
    "deploy station": "One station's credential for the broker.",
}


class Commands(TyperGroup):
    """The commands below some words. Each is only a name until it is typed, or help is asked for."""

    def __init__(self, *, words: str = "", **about: Any):
        super().__init__(**about)
        self._words = words
        for name, path in self._below():
            if path in GROUPS:
                self.commands[name] = Commands(words=path, name=name, help=GROUPS[path], no_args_is_help=True)
            else:
                self.commands[name] = TyperCommand(name)

    def _below(self) -> Iterator[tuple[str, str]]:
        """(name, all words) of commands and groups, in order."""
        prefix = f"{self._words} ".lstrip()
        names = [path.removeprefix(prefix).split()[0] for path in COMMANDS if path.startswith(prefix)]
        return ((name, prefix + name) for name in dict.fromkeys(names))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        path = f"{self._words} {name}".strip()
        return name, command_of(path) if path in COMMANDS else command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for name, path in self._below():
            if path in COMMANDS:
                self.commands[name].help = _said(path)
        super().format_help(ctx, formatter)


def command_of(path: str) -> Any:
    """The command of these words."""
    module, _, function = COMMANDS[path].partition(".")
    one = typer.Typer(add_completion=False)
    one.command(path.rpartition(" ")[2])(getattr(import_module(f".commands.{module}", __package__), function))
    return typer.main.get_command(one)


def _said(path: str) -> str:
    """What the command says about itself, taken from its source: importing all of them takes seconds."""
    module, _, function = COMMANDS[path].partition(".")
    tree = ast.parse((Path(__file__).parent / "commands" / f"{module}.py").read_text(encoding="utf-8"))
    (found,) = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == function)
    return cleandoc(ast.get_docstring(found) or "")


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=GROUPS[""]
)
app.callback()(lambda: None)  # a group, though it has no command of its own


def main() -> None:
    """Runs the command; what a user got wrong is told in words, without a stack."""
    try:
        app()
    except ValueError as error:
        from .site.yaml_lines import SiteErrors  # it takes longer to load than `--help` to print

        if not isinstance(error, SiteErrors):
            raise
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
