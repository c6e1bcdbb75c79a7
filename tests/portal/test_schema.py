"""The OpenAPI document against the application: whatever fits it, or does not, is answered as it says."""

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import checks
from schemathesis.transport import asgi  # noqa: F401  # loaded first deep inside a probe, Python 3.11 fails to parse it

from app.portal.app import PUBLIC, declared
from app.portal.roles import MAY

from .centre import OF_ROLE
from .conftest import copied

# the stream never ends; what works for minutes on what it is asked for has its own tests
LEFT_OUT = ("/api/v1/events", "/api/v1/explain/verdicts", "/api/v1/explain/alerts/{name}")
CHECKED = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
EXAMPLES = 4
ROUTES = sorted(route for route in declared() if route[1] not in LEFT_OUT)


@pytest.fixture(scope="module")
def fuzzed(filled, tmp_path_factory):
    """A copy: what happens to be right is done. Log-ins are not slowed down."""
    copy = copied(filled, tmp_path_factory.mktemp("schema"))
    yield copy
    copy.app.state.centre.close()


@pytest.fixture(scope="module")
def schema(fuzzed):
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", fuzzed.app)


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part.replace("/api/v1", ""))
def test_answers_are_those_the_document_promises(fuzzed, schema, method, path):
    permission = declared()[method, path]
    people = [name for role, name in OF_ROLE.items() if permission is not None and role in MAY[permission]][:1]
    token = {"Authorization": f"Bearer {fuzzed.tokens[people[0]]}"} if people else {}

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=schema[path][method].as_strategy())
    def probe(case):
        answer = case.call(headers=token)
        case.validate_response(answer, checks=CHECKED)

    probe()


def test_the_document_has_every_route_and_needs_no_other_page(centre):
    told = centre.client().get("/api/v1/openapi.json").json()
    routes = {(method.upper(), path) for path, its in told["paths"].items() for method in its}
    assert routes == set(declared())
    assert routes >= PUBLIC
    for (method, path), permission in declared().items():
        operation = told["paths"][path][method.lower()]
        assert operation.get("x-permission") == permission
        assert ("security" in operation) == (permission is not None)
    assert set(told["components"]["securitySchemes"]) == {"token", "session"}
    for path in ("/docs", "/redoc"):
        assert centre.client().get(path).status_code == 404
