"""Rule tests' own feeds explained: what the tests of the explanation share."""

from app.commands.rules_explain import as_text
from app.explain.explanation import explain
from app.explain.run import run_again, subject_of
from app.explain.source import Explained
from app.pipeline import Pipeline
from app.rule_tests.cases import own_ground, read_cases
from app.rule_tests.run import feed_of
from rules.ticks import collectors_of

RULES = """
version: 1
rules:
  - id: hour
    kind: limit
    select: {medium: [flue_gas], factor: [a21026, zs_a21026]}
    period: hour
    levels: {yellow: 0.9, orange: 1.0}
    recovery: 2h
    clause: "HJ 75-2017"
"""
TEST = """
version: 1
tests:
  - name: one
    medium: flue_gas
    start: 2026-03-01T08:00:00+08:00
    points: [{factor: a21026, range_max: 300}]
    limits: [{factor: a21026, period: hour, limit: 50, unit: mg/m3, basis: permit, status: verified, clause: Table 1}]
    expect: {alerts: []}
"""


def run_of(case, rule, point):
    pipeline = Pipeline(case.site, [one.rule for one in case.rules])
    feed = feed_of(case, pipeline)
    bound = next(one.rule for one in case.rules if one.rule.id == rule)
    subject = subject_of(pipeline.plan, rule, point)
    return run_again(pipeline, bound, subject, feed, collectors_of(feed), close=False)


def explained_in(folder, series, at="08:00", *, rule="hour", point="S1/a21026", test=TEST, rules=RULES, show_all=False):
    """(explanation, text) of a window of a test's own feed; the rule and test files are written into the folder."""
    (folder / "it.yaml").write_text(rules, encoding="utf-8")
    text = test + "    series:\n" + "".join(f"      - {row}\n" for row in series)
    (folder / "it.test.yaml").write_text(text, encoding="utf-8")
    case = read_cases(folder / "it.test.yaml", own_ground()).cases[0]
    run = run_of(case, rule, point)
    found = explain(run, case.instant(at), show_all=show_all)
    return found, "\n".join(as_text(found, Explained(run, "a test"), 0.0))


def lines_of(explanation, title):
    return next(step.lines for step in explanation.steps if step.title.startswith(title))
