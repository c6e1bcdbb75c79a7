"""A mistake in rules, or in the limits they compare with, stops `rules check`: file, line and what would be right.

Golden cases: a folder of tests/golden/rule_errors holds rule files and tables that are put into the base site of
tests/golden/site_errors, and the text expected.
"""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.site.yaml_lines import SiteErrors

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES = sorted(folder.name for folder in (GOLDEN / "rule_errors").iterdir())


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A copy of the base site, which is also the current folder."""
    shutil.copytree(GOLDEN / "site_errors" / "base", tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    return tmp_path / "site"


def check(site):
    """What somebody reads who types `greenisland rules check`, and whether it stopped."""
    result = CliRunner().invoke(app, ["rules", "check", "--site", str(site)])
    if isinstance(result.exception, SiteErrors):
        return str(result.exception), True
    assert result.exception is None, result.exception
    return result.output, False


def put(case, site):
    (site / "rules").mkdir(exist_ok=True)
    for path in (GOLDEN / "rule_errors" / case).iterdir():
        if path.suffix == ".yaml":
            shutil.copy(path, site / "rules")
        elif path.suffix == ".csv":
            shutil.copy(path, site / "registry")


@pytest.mark.parametrize("case", CASES)
def test_golden_mistakes_in_rules_stop_the_check_in_the_users_words(case, base):
    put(case, base)
    text, stopped = check(Path())
    assert stopped, text
    assert text == (GOLDEN / "rule_errors" / case / "expected.txt").read_text(encoding="utf-8").rstrip("\n")


def test_the_base_site_itself_passes_the_check(base):
    text, stopped = check(base)
    assert not stopped
    assert text.startswith("golden: 3 stations")


@pytest.mark.usefixtures("base")
def test_a_library_file_there_is_none_of_is_named_where_it_stands():
    with Path("site.yaml").open("a", encoding="utf-8") as about:
        about.write("library:\n  - flue_gas\n  - watr\n")
    line = len(Path("site.yaml").read_text(encoding="utf-8").splitlines())
    assert check(Path())[0] == (
        f"site.yaml:{line}: library[1]: 'watr' is not a rule file of the library; did you mean 'water'?"
    )
