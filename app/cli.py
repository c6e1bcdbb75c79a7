"""The `greenisland` command. Every sub-command lives in app/commands; this file only names them."""

import sys

import typer

from .commands import (
    backup,
    bench,
    decode,
    demo,
    feed_from_csv,
    replay,
    rules,
    rules_test,
    run,
    simulate,
    status,
    verify,
)
from .commands import feed as feeds
from .yaml_lines import SiteErrors

ABOUT = "GreenIsland: automatic environmental monitoring. Collects, judges, keeps the evidence, tells people."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=ABOUT)
feed = typer.Typer(no_args_is_help=True, help="Feeds: recorded or made messages, as Parquet.")
rule = typer.Typer(no_args_is_help=True, help="Rules: check them, test them.")
app.add_typer(feed, name="feed")
app.add_typer(rule, name="rules")

app.command("demo")(demo.demo_command)
app.command("run")(run.run_command)
app.command("decode")(decode.decode_command)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay_command)
app.command("status")(status.status_command)
app.command("verify")(verify.verify_command)
app.command("backup")(backup.backup_command)
app.command("restore")(backup.restore_command)
app.command("bench")(bench.bench_command)
feed.command("from-csv")(feed_from_csv.feed_from_csv)
feed.command("record")(feeds.record_command)
feed.command("play")(feeds.play_command)
rule.command("check")(rules.check_command)
rule.command("test")(rules_test.rules_test_command)


def main() -> None:
    """Runs the command; what a user got wrong is told in words, without a stack."""
    try:
        app()
    except SiteErrors as errors:
        print(errors, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
