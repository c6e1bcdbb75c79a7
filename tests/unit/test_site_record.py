"""Which site a system ran, and since when, is in its journal; the site's files are kept by their hash."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from app.site.files import load_site
from app.site.kept import from_kept
from app.site.record import activation, keep, site_content
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
    changed = content | {"registry/limits.csv": content["registry/limits.csv"].replace(",50,mg/m3", ",51,mg/m3", 1)}
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


def test_a_kept_site_is_read_with_the_limits_and_the_words_kept_beside_it(tmp_path):
    content = site_content(ZUNYI, load_site(ZUNYI).file.library)
    was = "L0008,limit,standard,general,GB 13223-2011,Table 1 note,"
    line = next(line for line in content["library/limits.csv"].splitlines() if line.startswith(was))
    content["library/limits.csv"] = content["library/limits.csv"].replace(line, line.replace(",<=,200,", ",<=,150,"))
    rows = content["library/judgement.csv"].splitlines()
    content["library/judgement.csv"] = "\n".join([rows[0], rows[-1]]) + "\n"
    kept = from_kept(tmp_path, keep(content, tmp_path))
    limits = {limit.limit_id: limit.limit for limit in kept.site.limits}
    assert limits["XS-A-DA001.a21026.standard.hour"] == 150
    assert [row.says for row in kept.kept_judgements] == ["notice"]
    told = [note.split(" ")[0] for note in kept.notes if note.endswith("the kept one is used")]
    assert told == ["judgement.csv", "limits.csv"]
