"""The viewer over a real InfluxDB: a person's boards have the same numbers from there as from archive and state."""

from datetime import timedelta

import pytest

from app.portal.app import create_app
from app.portal.viewer.answers import Answers
from app.portal.viewer.boards import boards
from contracts.clock import ScaledClock
from grafana.query import Bindings

from .answers import assert_same
from .centre import FROM_AT, TO_AT

pytestmark = pytest.mark.server

OURS = frozenset({"XS-COAL-1", "XS-CEMENT-1", "BZ-STEEL-E", "park:zhengan", "facility:za-island"})


@pytest.fixture(scope="module")
def answers(centre):
    app = create_app(centre.site, [], centre.state_dir, ScaledClock(TO_AT, 1))
    made = Answers(app.state.centre)
    yield made
    made.close()
    app.state.centre.close()


@pytest.mark.parametrize("board", boards("en"), ids=lambda board: board.name)
def test_both_sources_answer_a_person_with_the_same_numbers(answers, board):
    bound = Bindings(FROM_AT, TO_AT, {}, timedelta(minutes=5))
    asked = [target.query for panel in board.panels for target in panel.targets]
    asked += [one.query for one in board.annotations]
    n = 0
    for query in asked:
        if query.measurement == "health":  # the writer's in one, of this moment in the other
            continue
        served, read = (answers.answer(query, bound, OURS, source) for source in ("influxdb", "archive"))
        assert not served.is_live_instead
        if served.frame is None or read.frame is None:
            assert served.why == read.why
            assert read.why.key == "beyond_scope"
            continue
        assert served.frame.columns == read.frame.columns
        assert_same(query, served.frame, read.frame)
        n += read.frame.height
    assert n or board.name == "pipeline", "the whole pipeline's panels are beyond a scope"
