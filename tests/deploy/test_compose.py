"""docker-compose.yml: fits the Compose schema, opens nothing but two services, keeps secrets in files."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from app.deploying.check import compose_findings
from app.deploying.directory import environment_of

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
WHOLE = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES = WHOLE["services"]
SCHEMA = Path(__file__).with_name("compose-spec.json")
each_service = pytest.mark.parametrize("name", SERVICES)


def findings(layout, text: str | None = None) -> list[str]:
    """Of the compose file, or a changed one that lies beside the same folders."""
    if text is None:
        return list(compose_findings(COMPOSE, environment_of(layout.root)))
    beside = layout.root.parent / "docker-compose.yml"
    beside.write_text(text, encoding="utf-8")
    for folder in ("deploy", "grafana"):
        if not (beside.parent / folder).exists():
            (beside.parent / folder).symlink_to(ROOT / folder)
    return list(compose_findings(beside, environment_of(layout.root)))


def test_it_fits_the_compose_schema():
    jsonschema.validate(WHOLE, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_the_schema_is_the_one_its_source_names():
    said = Path(__file__).with_name("SOURCES.md").read_text(encoding="utf-8")
    assert hashlib.sha256(SCHEMA.read_bytes()).hexdigest() in said


def test_the_schema_would_have_found_a_mistake():
    wrong = json.loads(json.dumps(WHOLE))
    wrong["services"]["broker"]["capdrop"] = ["ALL"]
    with pytest.raises(jsonschema.ValidationError, match="capdrop"):
        jsonschema.validate(wrong, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_only_the_broker_and_the_reverse_proxy_are_published():
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert sorted(published) == ["broker", "proxy"]
    assert [port.rpartition(":")[2] for port in published["broker"]] == ["8883"]
    assert [port.rpartition(":")[2] for port in published["proxy"]] == ["8443", "8080"]


def test_what_need_not_reach_the_world_cannot():
    outward = {name for name, network in WHOLE["networks"].items() if not (network or {}).get("internal")}
    reaching = {name for name, service in SERVICES.items() if outward & set(service["networks"])}
    assert reaching == {"broker", "collector", "doctor", "senders", "proxy", "alertmanager"}


@each_service
def test_every_service_is_held_tight(name):
    service = SERVICES[name]
    assert service["user"].startswith("${GREENISLAND_UID:?")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert {"memory", "cpus", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert "healthcheck" in service


@each_service
def test_every_image_has_an_exact_version(name):
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-alpine)?", SERVICES[name]["image"])


@each_service
def test_no_secret_is_a_value(name):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|SECRET|_KEY", variable):
            assert variable.endswith("FILE")
            assert value.startswith("/run/secrets/")


@each_service
def test_a_part_is_given_no_secret_but_its_own(name):
    given = {one if isinstance(one, str) else one["source"] for one in SERVICES[name].get("secrets", ())}
    assert given == {
        "collector": {"collector_password"},
        "senders": {"portal_key", "senders_password"},
        "portal": {"portal_key"},
        "doctor": {"collector_password", "portal_key", "senders_password"},
        "influxdb": {"influx_admin_password", "influx_admin_token"},
        "influx-setup": {"influx_admin_token"},
        "grafana": {"grafana_admin_password", "grafana_key"},
    }.get(name, set())


def test_every_part_of_run_is_a_service():
    from app.service.processes import PARTS

    parts = [
        part
        for service in SERVICES.values()
        for flag, part in zip(service.get("command", ()), service.get("command", ())[1:], strict=False)
        if flag == "--part"
    ]
    assert sorted(parts) == sorted(PARTS)


def test_grafana_calls_nobody_and_has_no_default_password():
    environment = SERVICES["grafana"]["environment"]
    off = [name for name in environment if "ANALYTICS" in name or "UPDATE" in name or name.endswith("ALLOW_SIGN_UP")]
    assert {environment[name] for name in off} == {"false"}
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"].startswith("/run/secrets/")
    assert environment["GF_SECURITY_SECRET_KEY__FILE"].startswith("/run/secrets/")


def test_the_shipped_alertmanager_configuration_is_accepted(require_program):
    program = require_program("amtool", "prometheus-alertmanager")
    path = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    done = subprocess.run([program, "check-config", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fresh_directory_satisfies_it(deployment):
    shutil.copytree(ROOT / "deploy" / "sites" / "zunyi", deployment.root / "site")
    assert findings(deployment) == []


def test_what_is_missing_is_named(deployment):
    (deployment.secrets / "grafana.key").unlink()
    (deployment.root / "data" / "state").rmdir()
    found = findings(deployment)
    assert f"{COMPOSE}: secrets: grafana_key: {deployment.secrets / 'grafana.key'} is missing" in found
    assert f"{COMPOSE}: volumes: state: {deployment.root / 'data' / 'state'} is missing" in found
    assert f"{COMPOSE}: services: engine: {deployment.root / 'site'} is missing" in found


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("image: influxdb:2.9.1", "image: influxdb:latest", "image influxdb:latest names no exact version"),
        (
            "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE: /run/secrets/influx_admin_token",
            "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN: abc",
            "DOCKER_INFLUXDB_INIT_ADMIN_TOKEN is a secret in the environment; name a file",
        ),
        ("HOME: /tmp", 'HOME: "${NOT_SET}"', "NOT_SET is not set in .env"),
    ],
)
def test_a_careless_change_is_found(deployment, was, becomes, said):
    (deployment.root / "site").mkdir()
    text = COMPOSE.read_text(encoding="utf-8")
    assert was in text
    assert [one for one in findings(deployment, text.replace(was, becomes)) if said in one]
