"""Which site a system ran, and since when, is in its journal; the site's files are kept by their hash."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from app.site_record import activation, keep, site_content
from contracts.records import Record, decode, encode
from tests.conftest import ROOT

ZUNYI = ROOT / "deploy" / "sites" / "zunyi"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_content_holds_the_sites_own_files_and_the_library_rules_it_names(tmp_path):
    content = site_content(ZUNYI, ["flue_gas"])
    assert {"site.yaml", "registry/points.csv", "library/flue_gas.yaml", "library/validity.csv"} <= set(content)
    assert "library/water.yaml" not in content
    digest = keep(content, tmp_path)
    assert json.loads((tmp_path / "sites" / f"{digest}.json").read_text(encoding="utf-8")) == content


def test_one_changed_limit_is_another_site(tmp_path):
    content = site_content(ZUNYI, [])
    changed = content | {"registry/limits.csv": content["registry/limits.csv"].replace(",35,", ",36,", 1)}
    assert keep(content, tmp_path) == keep(dict(reversed(content.items())), tmp_path)
    assert keep(content, tmp_path) != keep(changed, tmp_path)


def test_an_activation_is_journalled_once_with_actor_and_origin():
    (row,) = activation("aa", None, "chen", "cli", AT)
    record = decode(row.payload)
    assert (row.topic, record.actor, record.origin, record.body) == ("$site", "chen", "cli", {"sha256": "aa"})
    assert activation("aa", row.payload, "li", "cli", AT) == []
    assert len(activation("bb", row.payload, "li", "cli", AT)) == 1


def test_a_record_of_another_version_is_refused():
    record = Record(v=2, actor="a", origin="cli", at=AT, action="x", body={})
    with pytest.raises(msgspec.ValidationError, match="version 2"):
        decode(encode(record))
