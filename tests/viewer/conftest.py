"""One filled centre and one browser a module; those who change the centre only add to it."""

import pytest

from .browser import chromium
from .centre import Centre, fill


@pytest.fixture(scope="session")
def centre(tmp_path_factory) -> Centre:
    return fill(tmp_path_factory, tmp_path_factory.mktemp("viewer"))


@pytest.fixture(scope="module")
def browser(require_program):
    with chromium(require_program) as one:
        yield one
