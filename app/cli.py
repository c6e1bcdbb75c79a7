"""The `greenisland` command. Every sub-command lives in app/commands; this file only names them."""

import sys

import typer

from .commands import (
    backup,
    bench,
    decode,
    demo,
    fact,
    feed_from_csv,
    mark,
    rejudge,
    replay,
    rules,
    rules_diff,
    rules_explain,
    rules_limits,
    rules_list,
    rules_test,
    run,
    simulate,
    status,
    verify,
)
from .commands import feed as feeds
from .site.yaml_lines import SiteErrors

ABOUT = "GreenIsland: automatic environmental monitoring. Collects, judges, keeps the evidence, tells people."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=ABOUT)
feed = typer.Typer(no_args_is_help=True, help="Feeds: recorded or made messages, as Parquet.")
rule = typer.Typer(no_args_is_help=True, help="Rules: check, test, list and compare them; explain a verdict.")
app.add_typer(feed, name="feed")
app.add_typer(rule, name="rules")
marks = typer.Typer(no_args_is_help=True, help="Data marks (数据标记): make, withdraw, review, list them.")
facts = typer.Typer(no_args_is_help=True, help="Approved stops, checks of analysers, manual readings; all facts.")
app.add_typer(marks, name="mark")
app.add_typer(facts, name="fact")

app.command("demo")(demo.demo_command)
app.command("run")(run.run_command)
app.command("decode")(decode.decode_command)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay_command)
app.command("rejudge")(rejudge.rejudge_command)
app.command("status")(status.status_command)
app.command("verify")(verify.verify_command)
app.command("backup")(backup.backup_command)
app.command("restore")(backup.restore_command)
app.command("bench")(bench.bench_command)
feed.command("from-csv")(feed_from_csv.feed_from_csv)
feed.command("record")(feeds.record_command)
feed.command("play")(feeds.play_command)
rule.command("check")(rules.check_command)
rule.command("limits")(rules_limits.rules_limits_command)
rule.command("test")(rules_test.rules_test_command)
rule.command("list")(rules_list.rules_list_command)
rule.command("diff")(rules_diff.rules_diff_command)
rule.command("explain")(rules_explain.rules_explain_command)
app.command("review")(mark.review_command)
marks.command("add")(mark.add_command)
marks.command("list")(mark.list_command)
marks.command("withdraw")(mark.withdraw_command)
marks.command("review")(mark.review_mark_command)
marks.command("types")(mark.types_command)
facts.command("stop")(fact.stop_command)
facts.command("qc")(fact.qc_command)
facts.command("manual")(fact.manual_command)
facts.command("list")(fact.list_facts_command)
facts.command("withdraw")(fact.withdraw_fact_command)


def main() -> None:
    """Runs the command; what a user got wrong is told in words, without a stack."""
    try:
        app()
    except SiteErrors as errors:
        print(errors, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
