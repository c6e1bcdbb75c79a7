"""Provisioning files fit the boards and the layout; the heartbeat's query says what it watches."""

from pathlib import Path

import pytest
import yaml

from contracts.series import BUCKETS
from contracts.site import Influx
from grafana.board import SOURCES
from grafana.query import Bindings, Column, Query, influxql
from store.influx import database_of, query

from .centre import FROM_AT, SHOWN_TO_AT, TO_AT

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "grafana" / "provisioning"
HEARTBEAT = Query("raw", "health", (Column("clock_age_s", "last"),))


def read(path: str) -> dict:
    return yaml.safe_load((FILES / path).read_text(encoding="utf-8"))


def test_there_is_a_data_source_for_every_bucket_and_it_may_only_read():
    sources = {one["uid"]: one for one in read("datasources/greenisland.yaml")["datasources"]}
    assert sources.keys() == {source["uid"] for source in SOURCES.values()}
    influx = Influx(url="http://127.0.0.1:8086")
    for bucket in BUCKETS:
        one = sources[f"gi-{bucket}"]
        assert one["jsonData"]["dbName"] == database_of(influx, bucket)
        assert one["jsonData"]["version"] == "InfluxQL"
        assert one["access"] == "proxy"
        assert one["secureJsonData"] == {
            "httpHeaderValue1": "Token $__file{/etc/greenisland/data/tokens/influx-read.token}"
        }
    assert [one["uid"] for one in sources.values() if one["isDefault"]] == ["gi-hour"]


def test_the_provider_reads_the_folder_with_a_folder_a_language():
    [provider] = read("dashboards/greenisland.yaml")["providers"]
    assert provider["options"]["foldersFromFilesStructure"]
    assert not provider["allowUiUpdates"]
    assert not {"folder", "folderUid"} & provider.keys()  # would be another folder
    assert {path.name for path in (ROOT / "grafana" / "dashboards").iterdir()} == {"zh", "en"}


def test_the_only_alert_is_a_dead_mans_switch_that_fires_when_nothing_is_there():
    [group] = read("alerting/heartbeat.yaml")["groups"]
    [rule] = group["rules"]
    assert (rule["noDataState"], rule["execErrState"]) == ("Alerting", "Alerting")
    parts = {one["refId"]: one for one in rule["data"]}
    assert rule["condition"] in parts
    assert parts["A"]["datasourceUid"] in {source["uid"] for source in SOURCES.values()}
    # a single dollar would be an environment variable of Grafana
    assert parts["A"]["model"]["query"] == influxql(HEARTBEAT).replace("$", "$$")
    assert parts["B"]["model"]["expression"] == "A"
    assert parts["C"]["model"]["expression"] == "B"


@pytest.mark.server
def test_the_pulse_tells_how_old_the_decisions_are_and_is_missing_where_nobody_wrote(centre):
    influx = centre.site.file.influxdb
    now = query(influx, influxql(HEARTBEAT, Bindings(TO_AT, SHOWN_TO_AT)))
    assert 0 <= now["clock_age_s"].item() < 300
    assert query(influx, influxql(HEARTBEAT, Bindings(FROM_AT, TO_AT))).is_empty()
