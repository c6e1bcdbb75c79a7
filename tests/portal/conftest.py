"""One decided centre for all tests of the portal that only read; those that move it on take a copy."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from app.portal import passwords

from .centre import Centre, SetClock, fill


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """The same hash at a cost a suite can pay; test_sign_in looks at the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="session")
def filled(tmp_path_factory, cheap_passwords) -> Centre:  # noqa: ARG001  # before any is made
    return fill(tmp_path_factory.mktemp("portal"))


@pytest.fixture(scope="session")
def centre(filled) -> Iterator[Centre]:
    """Read only."""
    app = filled.start_app()
    yield filled
    app.state.centre.close()


def copied(filled: Centre, folder: Path) -> Centre:
    """With an application of its own, which is to be closed."""
    shutil.copytree(filled.directory, folder / "site")
    shutil.copytree(filled.state_dir, folder / "state")
    copy = replace(
        filled,
        directory=folder / "site",
        state_dir=folder / "state",
        clock=SetClock(filled.clock.at),
        app=None,
        tokens=dict(filled.tokens),
    )
    copy.start_app()
    return copy


@pytest.fixture
def own(filled, tmp_path) -> Iterator[Centre]:
    """A copy that a test may change."""
    copy = copied(filled, tmp_path)
    yield copy
    copy.app.state.centre.close()
