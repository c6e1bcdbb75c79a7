"""`greenisland deploy check`: what of a deployment's directory, and of a compose file over it, does not fit.

Promises: reads only; a finding names the file and says what would be right. Empty: nothing was found.
Does not promise that anything runs: `greenisland doctor` looks at what does.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from contracts.channels import MqttTopic
from contracts.site import Site

from ..site.files import load_site
from ..site.yaml_lines import SiteErrors
from .broker_users import SENDERS_USER, acl_blocks, is_own, may_publish, own_users
from .certificates import OpensslFailed, Pair, belong_together, expires_at, is_by, names_host
from .directory import DATA, SECRETS, Layout, environment_of
from .secret_files import users_of

EXPIRES_IN_MIN = timedelta(days=30)
NAMES = ("GREENISLAND_DIR", "GREENISLAND_HOST", "GREENISLAND_UID", "GREENISLAND_GID")
OPEN_TO_OTHERS = 0o077
VARIABLE = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")
EXACT_TAG = re.compile(r"^[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")
SECRET_NAME = re.compile(r"(PASSWORD|TOKEN|SECRET|KEY)$")  # ..._FILE says where it is, not what


def check(root: Path, compose: Path | None, now: datetime) -> list[str]:
    layout = Layout(root)
    if not layout.environment.exists():
        return [f"{root}: no deployment's directory; make one with `greenisland deploy init {root} --host NAME`"]
    environment = environment_of(root)
    found = [f"{layout.environment}: {name} is missing" for name in NAMES if name not in environment]
    if found:
        return found
    found += _files(layout, environment)
    found += _certificates(layout, environment["GREENISLAND_HOST"], now)
    found += _users(layout)
    found += _site(layout)
    if compose is not None:
        found += compose_findings(compose, environment)
    return found


def _files(layout: Layout, environment: dict[str, str]) -> Iterator[str]:
    again = "run `greenisland deploy init` again"
    for path in [layout.secrets / name for name in SECRETS]:
        if not path.is_file():
            yield f"{path}: is missing; {again}"
    for name in DATA:
        if not (layout.root / "data" / name).is_dir():
            yield f"{layout.root / 'data' / name}: is missing; {again}"
    for name in ("mosquitto.conf", "acl", "passwd"):
        if not (layout.broker / name).is_file():
            yield f"{layout.broker / name}: is missing; {again}"
    private = [*layout.secrets.glob("*"), *layout.stations.glob("*"), layout.passwd, layout.server.key, layout.web.key]
    for path in [*private, layout.authority.key]:
        if not path.is_file():
            continue
        about = path.stat()
        if about.st_mode & OPEN_TO_OTHERS:
            yield f"{path}: others may read it (mode {about.st_mode & 0o777:04o}); chmod 600 {path}"
        if path != layout.authority.key and str(about.st_uid) != environment["GREENISLAND_UID"]:
            yield (
                f"{path}: belongs to user {about.st_uid}, the containers run as {environment['GREENISLAND_UID']} and "
                f"cannot read it; chown {environment['GREENISLAND_UID']}:{environment['GREENISLAND_GID']} {path}"
            )
    for path in layout.secrets.glob("*"):
        if path.is_file() and not path.read_text(encoding="utf-8").strip():
            yield f"{path}: is empty"


def _certificates(layout: Layout, host: str, now: datetime) -> Iterator[str]:
    for pair, authority in ((layout.server, layout.broker_certificates / "ca.crt"), (layout.web, None)):
        try:
            yield from _certificate(pair, authority, host, now)
        except OpensslFailed as error:
            yield f"{pair.certificate}: {error}"


def _certificate(pair: Pair, authority: Path | None, host: str, now: datetime) -> Iterator[str]:
    if missing := [path for path in (pair.certificate, pair.key) if not path.is_file()]:
        yield from (f"{path}: is missing; run `greenisland deploy init` again" for path in missing)
        return
    if (ends := expires_at(pair.certificate)) - now < EXPIRES_IN_MIN:
        yield (
            f"{pair.certificate}: ends on {ends:%Y-%m-%d}; move it and its key away and run `greenisland deploy init` "
            "again"
        )
    if not names_host(pair.certificate, host):
        yield f"{pair.certificate}: is not for {host}"
    if not belong_together(pair):
        yield f"{pair.key}: is not the key of {pair.certificate.name}"
    if authority is not None and not is_by(pair.certificate, authority):
        yield f"{pair.certificate}: is not by {authority}, which stations and collectors trust"


def _users(layout: Layout) -> Iterator[str]:
    users = set(users_of(layout.passwd))
    files = {path.stem for folder in (layout.secrets, layout.stations) for path in folder.glob("*.password")}
    files -= {name.removesuffix(".password") for name in SECRETS}
    for name in sorted(files - users):
        yield f"{layout.passwd}: has no line for {name}; run `greenisland deploy init` again with --site"
    blocks = _blocks(layout)
    for user in sorted(user for user in users if is_own(user)):
        if user not in blocks:
            whose = "the shipped one" if user == SENDERS_USER else "the one of another collector"
            yield f"{layout.acl}: has no block for {user}; copy {whose}"


def _site(layout: Layout) -> Iterator[str]:
    if not (layout.root / "site").is_dir():
        yield f"{layout.root / 'site'}: is missing; put the site's directory there"
        return
    try:
        site = load_site(layout.root / "site")
    except SiteErrors as errors:
        yield from str(errors).splitlines()
        return
    users = set(users_of(layout.passwd))
    wanted = {*own_users(site.file.collectors), *(station.station for station in site.stations)}
    for name in sorted(wanted - users):
        yield f"{layout.passwd}: has no line for {name} of the site; run `greenisland deploy init` again with --site"
    for name in sorted(users - wanted - set(_blocks(layout))):  # who has a block there is meant
        yield f"{layout.passwd}: {name} is not in the site's registry; `greenisland deploy station revoke` it"
    yield from _channels(layout, site)


def _channels(layout: Layout, site: Site) -> Iterator[str]:
    """Those over the site's broker that it would refuse."""
    own, blocks = site.file.broker, _blocks(layout)
    for channel in site.file.channels:
        if not isinstance(channel, MqttTopic):
            continue
        broker = channel.broker or own
        if (broker.host, broker.port) == (own.host, own.port) and not may_publish(
            blocks, broker.username, channel.topic
        ):
            yield (
                f"{layout.acl}: {broker.username} may not publish to {channel.topic}, as channel {channel.name} would; "
                f"give the channel the broker of site-sections.yaml, with user {SENDERS_USER}, who needs a line "
                f"`topic write {channel.topic}` there"
            )


def _blocks(layout: Layout) -> dict[str, list[tuple[str, str]]]:
    return acl_blocks(layout.acl.read_text(encoding="utf-8")) if layout.acl.is_file() else {}


# -- compose


def compose_findings(compose: Path, environment: dict[str, str]) -> Iterator[str]:
    """Variables, secret files, folders and images a compose file asks for."""
    try:
        whole = yaml.safe_load(compose.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        yield f"{compose}: cannot be read ({error})"
        return
    unset = sorted({name for name, kind, _ in VARIABLE.findall(str(whole)) if name not in environment and kind != "-"})
    yield from (f"{compose}: {name} is not set in .env" for name in unset)
    for name, secret in whole.get("secrets", {}).items():
        if not (path := _path(secret["file"], compose, environment)).is_file():
            yield f"{compose}: secrets: {name}: {path} is missing"
    for name, volume in whole.get("volumes", {}).items():
        device = ((volume or {}).get("driver_opts") or {}).get("device")
        if device is not None and not (path := _path(device, compose, environment)).is_dir():
            yield f"{compose}: volumes: {name}: {path} is missing"
    for name, service in whole["services"].items():
        yield from (f"{compose}: services: {name}: {said}" for said in _service(service, compose, environment))


def _service(service: dict[str, Any], compose: Path, environment: dict[str, str]) -> Iterator[str]:
    if not EXACT_TAG.match(_said(service["image"], environment)):
        yield f"image {service['image']} names no exact version"
    for volume in service.get("volumes", ()):
        source = _said(str(volume), environment).split(":")[0]
        if source.startswith((".", "/")) and not (path := compose.parent / source).exists():
            yield f"{path} is missing"
    for name, value in (service.get("environment") or {}).items():
        if SECRET_NAME.search(name) and not str(value).startswith("/"):
            yield f"{name} is a secret in the environment; name a file"


def _said(text: str, environment: dict[str, str]) -> str:
    return VARIABLE.sub(lambda one: environment.get(one[1], one[3] if one[2] == "-" else one[0]), text)


def _path(text: str, compose: Path, environment: dict[str, str]) -> Path:
    return compose.parent / _said(text, environment)
