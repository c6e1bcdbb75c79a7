"""The `greenisland` command. Every sub-command lives in app/commands; this file only names them."""

import sys

import typer

from .commands import (
    alerts,
    alerts_route,
    backup,
    bench,
    decode,
    demo,
    deploy,
    doctor,
    explain,
    fact,
    feed_from_csv,
    grafana,
    influx,
    mark,
    outbox,
    portal,
    rejudge,
    reload,
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
    user,
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
alert = typer.Typer(no_args_is_help=True, help="Alerts: look at them, acknowledge, assign, silence; try routes out.")
app.add_typer(alert, name="alerts")
users = typer.Typer(no_args_is_help=True, help="Accounts of the portal: who may come in, as whom, for what.")
app.add_typer(users, name="user")
outgoing = typer.Typer(no_args_is_help=True, help="Notifications: what waits, was refused or given up; try a channel.")
app.add_typer(outgoing, name="outbox")

boards = typer.Typer(no_args_is_help=True, help="Boards in a centre's own Grafana: push them, or say what differs.")
app.add_typer(boards, name="grafana")
deploying = typer.Typer(no_args_is_help=True, help="A deployment: secrets, certificates, credentials, buckets.")
stations = typer.Typer(no_args_is_help=True, help="One station's credential for the broker.")
app.add_typer(deploying, name="deploy")
deploying.add_typer(stations, name="station")

app.command("demo")(demo.demo_command)
app.command("run")(run.run_command)
app.command("reload")(reload.reload_command)
app.command("decode")(decode.decode_command)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay_command)
app.command("rejudge")(rejudge.rejudge_command)
app.command("portal")(portal.portal_command)
app.command("status")(status.status_command)
app.command("doctor")(doctor.doctor_command)
app.command("explain")(explain.explain_command)
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
alert.command("list")(alerts.list_command)
alert.command("show")(alerts.show_command)
alert.command("acknowledge")(alerts.acknowledge_command)
alert.command("assign")(alerts.assign_command)
alert.command("comment")(alerts.comment_command)
alert.command("silence")(alerts.silence_command)
alert.command("unsilence")(alerts.unsilence_command)
alert.command("silences")(alerts.silences_command)
alert.command("route")(alerts_route.route_command)
facts.command("stop")(fact.stop_command)
facts.command("qc")(fact.qc_command)
facts.command("manual")(fact.manual_command)
facts.command("list")(fact.list_facts_command)
facts.command("withdraw")(fact.withdraw_fact_command)
users.command("add")(user.add_command)
users.command("list")(user.list_command)
users.command("passwd")(user.passwd_command)
users.command("disable")(user.disable_command)
users.command("enable")(user.enable_command)
users.command("token")(user.token_command)
users.command("revoke")(user.revoke_command)
outgoing.command("list")(outbox.list_command)
outgoing.command("retry")(outbox.retry_command)
outgoing.command("test")(outbox.try_command)

boards.command("push")(grafana.push_command)
boards.command("diff")(grafana.diff_command)
deploying.command("init")(deploy.init_command)
deploying.command("check")(deploy.check_command)
deploying.command("influx")(influx.influx_command)
stations.command("add")(deploy.add_command)
stations.command("revoke")(deploy.revoke_command)


def main() -> None:
    """Runs the command; what a user got wrong is told in words, without a stack."""
    try:
        app()
    except SiteErrors as errors:
        print(errors, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
