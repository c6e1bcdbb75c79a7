"""How a verdict of a rule test came about: the test's own feed, run once more for the explanation."""

from rules.ticks import collectors_of

from ..explain.explanation import Explanation, explain
from ..explain.run import run_again, subject_of
from ..pipeline import Pipeline
from .cases import Case
from .run import Found, feed_of


def explained(case: Case, verdict: Found) -> Explanation:
    """The window of a verdict that the test's run made."""
    pipeline = Pipeline(case.site, [one.rule for one in case.rules])
    feed = feed_of(case, pipeline)
    rule = next(one.rule for one in case.rules if one.rule.id == verdict["rule"])
    subject = subject_of(pipeline.plan, rule.id, f"{verdict['station']}/{verdict['factor']}")
    run = run_again(pipeline, rule, subject, feed, collectors_of(feed), close=False)
    return explain(run, verdict["window"])
