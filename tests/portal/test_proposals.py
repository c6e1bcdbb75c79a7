"""A change of limits, ranges, permits or rules needs a second person, a site that is whole with it, and a record."""

import pytest

from app.operators import spool
from app.portal import proposals
from app.site.files import load_site
from contracts.records import decode

PROPOSALS = "/api/v1/proposals"
PATH = "registry/limits.csv"


def limits(own):
    return (own.directory / PATH).read_text(encoding="utf-8")


def changed(own):
    """One limit fewer."""
    return "\n".join(limits(own).splitlines()[:-1]) + "\n"


def propose(own, person="engineer", path=PATH, content=None):
    body = {"path": path, "content": changed(own) if content is None else content, "reason": "许可证变更"}
    return own.client(person).post(PROPOSALS, json=body)


def decide(own, person, number, what="approve"):
    return own.client(person).post(f"{PROPOSALS}/{number}/{what}", json={"reason": "核对许可证 checked"})


def records(own):
    return [decode(path.read_bytes()) for path in spool.waiting(own.state_dir)]


def test_nothing_changes_before_a_second_person_approves_and_then_the_file_and_a_record(own):
    before, after = limits(own), changed(own)
    made = propose(own)
    assert made.status_code == 201, made.text
    number, diff = made.json()["id"], made.json()["diff"]
    assert diff.startswith(f"--- a/{PATH}")
    assert diff.count("\n-") == 1
    assert limits(own) == before
    own_decision = decide(own, "engineer", number)
    assert (own_decision.status_code, own_decision.json()["title"]) == (403, "A second person decides")
    assert limits(own) == before
    done = decide(own, "engineer-2", number)
    assert done.status_code == 200, done.text
    assert "in force once the site is reloaded" in done.json()["lines"][0]
    assert limits(own) == after
    load_site(own.directory)
    (record,) = records(own)
    assert (record.actor, record.action) == ("engineer-2", "command")
    assert record.body["author"] == "engineer"
    assert record.body["sha256"] == proposals.digest(after)
    again = decide(own, "administrator", number)
    assert (again.status_code, limits(own)) == (409, after)
    told = own.client("administrator").get("/api/v1/changes").json()["items"]
    assert [one["what"] for one in told[:2]] == ["proposal approved", "proposal made"]


def test_a_file_with_which_the_site_is_not_whole_is_refused_with_file_line_and_key(own):
    wrong = limits(own).replace("mg/m3", "mg/l3", 1)
    refused = propose(own, content=wrong)
    assert refused.status_code == 422
    assert refused.json()["errors"][0].startswith("registry/limits.csv:")
    assert "mg/l3" in refused.json()["errors"][0]
    assert own.client("engineer").get(PROPOSALS).json()["items"] == []


def test_a_rule_that_is_wrong_is_refused_and_a_new_one_is_written(own):
    text = "version: 1\nrules:\n  - {id: so2_extra, kind: limit, period: minute, levels: {red: 1.5}}\n"
    refused = propose(own, path="rules/extra.yaml", content=text.replace("kind: limit", "kind: limits"))
    assert refused.status_code == 422
    assert "rules/extra.yaml:3" in refused.json()["errors"][0]
    made = propose(own, path="rules/extra.yaml", content=text)
    assert made.status_code == 201, made.text
    assert decide(own, "administrator", made.json()["id"]).status_code == 200
    assert (own.directory / "rules" / "extra.yaml").read_text() == text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: &a [x]\n" + "".join(f"b{n}: &b [{', '.join(['*a'] * 9)}]\n" for n in range(9)), "takes no aliases"),
        ("version: 1\nrules: " + "[" * 60_000 + "]" * 60_000, "nested more than 50 deep"),
    ],
    ids=["aliases", "depth"],
)
def test_a_rule_file_that_would_take_all_memory_is_refused_before_it_is_read(own, content, told):
    refused = propose(own, path="rules/bomb.yaml", content=content)
    assert refused.status_code == 422
    assert refused.json()["errors"][0].startswith("rules/bomb.yaml:")
    assert told in refused.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "site.yaml",
        "../site.yaml",
        "rules/../../x.yaml",
        "/etc/passwd",
        "registry/limits.txt",
        "rules/a/b.yaml",
        "rules/..yaml",
        "",
    ],
)
def test_only_registry_and_rules_can_be_proposed(own, path):
    refused = propose(own, path=path, content="x")
    assert refused.status_code == 422
    assert "registry/NAME.csv or rules/NAME.yaml" in refused.json()["detail"]


def test_a_link_to_a_file_of_elsewhere_is_neither_shown_nor_replaced(own, tmp_path):
    (tmp_path / "elsewhere.yaml").write_text("the secret\n")
    link = own.directory / "rules" / "link.yaml"
    link.parent.mkdir(exist_ok=True)  # the example site has none
    link.symlink_to(tmp_path / "elsewhere.yaml")
    refused = propose(own, path="rules/link.yaml", content="version: 1\nrules: []\n")
    assert refused.status_code == 422
    assert "is a link" in refused.json()["detail"]
    assert "secret" not in refused.text
    assert link.is_symlink()


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(own):
    number = propose(own).json()["id"]
    mended = limits(own) + "\n"
    (own.directory / PATH).write_text(mended, encoding="utf-8")
    refused = decide(own, "administrator", number)
    assert (refused.status_code, limits(own)) == (409, mended)
    assert "was changed meanwhile" in refused.json()["detail"]
    assert records(own) == []


def test_what_has_become_wrong_meanwhile_is_not_written(own):
    number = propose(own).json()["id"]
    outlets = own.directory / "registry" / "outlets.csv"
    outlets.write_text(outlets.read_text(encoding="utf-8").replace("XS-B-DA001", "XS-B-DA009", 1), encoding="utf-8")
    before = limits(own)
    assert decide(own, "administrator", number).status_code == 422
    assert limits(own) == before


def test_an_approval_that_did_not_come_to_its_end_can_be_given_again(own):
    """As after a crash between the file and the database."""
    made = propose(own).json()
    (own.directory / PATH).write_text(made["content"], encoding="utf-8")
    assert decide(own, "administrator", made["id"]).status_code == 200
    assert limits(own) == made["content"]


def test_a_proposal_can_be_rejected_or_taken_back_once(own):
    first, second = propose(own).json()["id"], propose(own).json()["id"]
    assert decide(own, "administrator", first, "reject").json()["state"] == "rejected"
    assert decide(own, "engineer", second, "reject").json()["decided_by"] == "engineer"
    assert decide(own, "administrator", first).status_code == 409
    listed = own.client("administrator").get(PROPOSALS, params={"state": "rejected"}).json()["items"]
    assert [one["id"] for one in listed] == [second, first]


def test_a_file_that_is_as_it_is_already_is_no_change(own):
    assert propose(own, content=limits(own)).status_code == 409
