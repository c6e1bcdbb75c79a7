"""`greenisland rejudge` tells what it was given wrong, before it looks at anything."""

import pytest
from typer.testing import CliRunner

from app.cli import app

WRONG = {
    "no offset": (["--from", "2026-03-01T08:00:00"], "2026-03-01T08:00:00+08:00"),
    "no instant": (["--to", "yesterday"], "'yesterday' is no instant"),
    "the wrong way round": (["--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"], "--to must be later"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_instant_that_is_none_is_told_in_words(tmp_path, what):
    options, said = WRONG[what]
    paths = [item for name in ("state", "site", "rules", "out") for item in (f"--{name}", str(tmp_path))]
    result = CliRunner().invoke(app, ["rejudge", *paths, *options])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_a_state_that_is_no_folder_is_told_in_words(tmp_path):
    paths = [item for name in ("site", "rules", "out") for item in (f"--{name}", str(tmp_path))]
    result = CliRunner().invoke(app, ["rejudge", "--state", str(tmp_path / "none"), *paths])
    assert result.exit_code == 2
    assert "is not a folder" in " ".join(result.output.replace("│", " ").split())
