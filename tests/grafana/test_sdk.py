"""The boards in Grafana's own model of a classic board (foundation SDK): every name of an option is one it knows.

The SDK has no InfluxDB query, and what it does not know it drops: so what comes back is compared with what went in.
"""

import json
import warnings

import pytest

from grafana.generate import DASHBOARDS

FILES = sorted(DASHBOARDS.glob("*/*.json"))


class Target:
    """A query as it is."""

    def __init__(self, data):
        self._data = data

    def to_json(self):
        return self._data


@pytest.fixture(scope="module")
def there_and_back():
    """A function that gives a board as the SDK writes it after having read it."""
    with warnings.catch_warnings():
        # it would rather have the newer model, which Grafana's own file provisioning refuses
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog import encoder, plugins, runtime
        from grafana_foundation_sdk.models.dashboard import Dashboard

        plugins.register_default_plugins()
    runtime.register_dataquery_variant(runtime.DataqueryConfig(identifier="influxdb", from_json_hook=Target))
    return lambda board: json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(board)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_of_a_board_is_lost_on_its_way_through_the_sdk(there_and_back, path):
    board = json.loads(path.read_text(encoding="utf-8"))
    back = there_and_back(board)
    for variable in board["templating"]["list"]:
        del variable["greenisland"]  # ours, for the viewer; Grafana ignores it
    assert list(lost(board, back)) == []


def lost(ours, theirs, at=""):
    """Where something of ours is not in theirs; what the SDK adds are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs[key], f"{at}/{key}") if key in theirs else [f"{at}/{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{at}/{n}")
    elif ours != theirs:
        yield at


def test_a_name_grafana_does_not_know_is_found(there_and_back):
    board = json.loads(FILES[0].read_text(encoding="utf-8"))
    board["panels"][0]["options"]["tooltips"] = board["panels"][0]["options"].pop("tooltip")
    assert list(lost(board["panels"], there_and_back(board)["panels"])) == ["/0/options/tooltips"]
