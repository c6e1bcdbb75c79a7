"""The directory of a deployment: what `greenisland deploy init` makes in it, and one station's credential.

Promises: nothing that is there is overwritten; run again it makes what is missing. Secrets are files of their owner
alone. Broker settings are those of deploy/mosquitto, the ACL with a block for each collector of the site.
Does not promise: to start anything, or to tell a running broker; it says how.
"""

import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .broker_users import COLLECTOR_USER, SENDERS_USER, SHIPPED, acl, is_own, own_users
from .certificates import Pair, make_authority, make_server
from .secret_files import new_secret, password_line, password_of, replace_users, users_of, write_new

CONTAINER_UID = 10001  # whom root gives the files: nobody on a usual machine, and never root
IN_PLACE = "/etc/greenisland"  # where the directory is, on a host and in every container
OTHER_NAMES = ("broker", "localhost")  # of the broker in docker-compose.yml, and on its own machine
SECRETS = ("influx-admin.password", "influx-admin.token", "grafana-admin.password", "grafana.key", "portal.key")
DATA = ("state", "broker", "influxdb", "influxdb-config", "grafana", "alertmanager", "tokens")
PRIVATE_FOLDER = 0o700


class DeployError(Exception):
    """What was asked for cannot be done; the message says what would be right."""


@dataclass(frozen=True)
class Layout:
    """Names inside of one deployment's directory."""

    root: Path

    @property
    def environment(self) -> Path:
        return self.root / ".env"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def stations(self) -> Path:
        return self.root / "stations"

    @property
    def authority(self) -> Pair:
        return Pair(self.root / "ca" / "ca.crt", self.root / "ca" / "ca.key")

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def broker_certificates(self) -> Path:
        return self.broker / "certs"

    @property
    def server(self) -> Pair:
        return Pair(self.broker_certificates / "server.crt", self.broker_certificates / "server.key")

    @property
    def web(self) -> Pair:
        return Pair(self.root / "web" / "server.crt", self.root / "web" / "server.key")

    @property
    def passwd(self) -> Path:
        return self.broker / "passwd"

    @property
    def acl(self) -> Path:
        return self.broker / "acl"

    def own_password(self, user: str) -> Path:
        """Of a collector's user, or the senders'."""
        return self.secrets / f"{user}.password"

    def station_password(self, station: str) -> Path:
        return self.stations / f"{station}.password"


@dataclass(frozen=True)
class Made:
    """One thing of the directory, and whether it was made now or was there."""

    path: Path
    is_new: bool


def init(
    root: Path, host: str, site_name: str, collectors: Sequence[str], stations: Sequence[str], owner: tuple[int, int]
) -> list[Made]:
    """Makes what is missing. Raises DeployError, OpensslFailed, OSError."""
    layout = Layout(root)
    _check_names(stations)
    made: list[Made] = []

    def note(path: Path, is_new: bool) -> None:
        made.append(Made(path, is_new))

    for folder in _folders(layout):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)
    note(layout.environment, write_new(layout.environment, _environment(root, host, owner)))
    for name in SECRETS:
        note(layout.secrets / name, write_new(layout.secrets / name, new_secret()))
    note(layout.authority.certificate, make_authority(layout.authority, f"GreenIsland {site_name}"))
    note(layout.server.certificate, make_server(layout.server, layout.authority, host, OTHER_NAMES))
    note(layout.web.certificate, make_server(layout.web, layout.authority, host))
    copy = layout.broker_certificates / "ca.crt"
    note(copy, write_new(copy, layout.authority.certificate.read_text(encoding="ascii"), 0o644))
    shipped = SHIPPED / "mosquitto.conf"
    note(
        layout.broker / "mosquitto.conf", write_new(layout.broker / "mosquitto.conf", shipped.read_text("utf-8"), 0o644)
    )
    note(layout.acl, write_new(layout.acl, acl(collectors)))
    made += _credentials(layout, own_users(collectors), stations)
    sections = root / "site-sections.yaml"
    note(sections, write_new(sections, _site_sections(host, collectors[0]), 0o644))
    _give(root, owner)
    return made


def add_station(root: Path, station: str) -> Path:
    """A credential for one more station; the file with its password. Raises DeployError."""
    layout = _made_before(root)
    _check_names((station,))
    if station in users_of(layout.passwd):
        raise DeployError(
            f"station {station} has a credential, see {layout.station_password(station)}; to give it another one, "
            f"`greenisland deploy station revoke` it first"
        )
    _credentials(layout, (), (station,))
    _give(root, _owner_of(layout.environment))
    return layout.station_password(station)


def revoke_station(root: Path, station: str) -> None:
    """Its credential is no more, neither for the broker nor in the directory. Raises DeployError."""
    layout = _made_before(root)
    users = users_of(layout.passwd)
    if station not in users or is_own(station):
        raise DeployError(f"station {station} has no credential in {layout.passwd}")
    users.pop(station)
    replace_users(layout.passwd, users)
    layout.station_password(station).unlink(missing_ok=True)


def owner_named(said: str | None) -> tuple[int, int]:
    """`said`: a user of this machine, or `uid:gid`; none: whoever runs this, and of root the containers' user."""
    if said is None:
        return (CONTAINER_UID, CONTAINER_UID) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    uid, _, gid = said.partition(":")
    if uid.isdigit():
        wanted = int(uid), int(gid) if gid.isdigit() else int(uid)
    else:
        try:
            known = pwd.getpwnam(said)
        except KeyError as error:
            raise DeployError(f"there is no user {said!r} on this machine; name one, or write uid:gid") from error
        wanted = known.pw_uid, known.pw_gid
    if wanted[0] == 0:
        raise DeployError("the files must not belong to root: the containers run as their owner")
    if os.geteuid() not in (0, wanted[0]):
        raise DeployError(f"only root can give files to {said}; run it as root, or without --owner")
    return wanted


def environment_of(root: Path) -> dict[str, str]:
    """NAME=value lines of .env."""
    lines = Layout(root).environment.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _made_before(root: Path) -> Layout:
    layout = Layout(root)
    if not layout.environment.exists():
        raise DeployError(f"{root} is no deployment's directory; make one with `greenisland deploy init`")
    return layout


def _check_names(stations: Sequence[str]) -> None:
    if wrong := [one for one in stations if is_own(one) or one == "clock"]:
        raise DeployError(
            f"{', '.join(wrong)}: on the broker a station's user is called as the station, and names that begin with "
            f"{COLLECTOR_USER.format(name='')!r}, {SENDERS_USER!r} and 'clock' are the centre's own; give the station "
            f"another identifier"
        )


def _folders(layout: Layout) -> Iterator[Path]:
    yield from (layout.root, layout.secrets, layout.stations, layout.broker, layout.broker_certificates)
    yield from (layout.authority.key.parent, layout.web.key.parent, layout.root / "channels", layout.root / "data")
    yield from (layout.root / "data" / name for name in DATA)


def _credentials(layout: Layout, own: Sequence[str], stations: Sequence[str]) -> list[Made]:
    """A password file for everybody, and their lines in the broker's. Who has a line keeps it."""
    files: dict[str, Path] = {user: layout.own_password(user) for user in own}
    files |= {station: layout.station_password(station) for station in stations}
    users, made = users_of(layout.passwd), []
    before = dict(users)
    for user, path in files.items():
        is_new = write_new(path, new_secret())
        made.append(Made(path, is_new))
        if is_new or user not in users:
            users[user] = password_line(user, password_of(path))
    made.append(Made(layout.passwd, not layout.passwd.exists()))
    if users != before or not layout.passwd.exists():
        replace_users(layout.passwd, users)
    return made


def _environment(root: Path, host: str, owner: tuple[int, int]) -> str:
    return (
        "# For `docker compose --env-file`. Places and numbers only: secrets are files in secrets/.\n"
        f"GREENISLAND_DIR={root.resolve()}\n"
        f"GREENISLAND_HOST={host}\n"
        f"GREENISLAND_UID={owner[0]}\n"
        f"GREENISLAND_GID={owner[1]}\n"
    )


def _site_sections(host: str, collector: str) -> str:
    user = COLLECTOR_USER.format(name=collector)
    return f"""# These sections belong into the site's site.yaml. Paths are those inside the containers, and on a
# host where this directory is {IN_PLACE}. Without Docker: influxdb url http://127.0.0.1:8086, portal host 127.0.0.1.
broker:
  host: {host}
  port: 8883
  username: {user}
  password_file: {IN_PLACE}/secrets/{user}.password
  ca_file: {IN_PLACE}/broker/certs/ca.crt
influxdb:
  url: http://influxdb:8086
  token_file: {IN_PLACE}/data/tokens/influx-write.token
portal:
  host: 0.0.0.0
  public_url: https://{host}
  key_file: {IN_PLACE}/secrets/portal.key
  trusted_proxies: [172.31.250.10]   # the reverse proxy of docker-compose.yml; 127.0.0.1 without Docker
# A channel over the same broker has a user of its own:
# channels:
#   - name: alerts
#     type: mqtt
#     broker:
#       host: {host}
#       port: 8883
#       username: {SENDERS_USER}
#       password_file: {IN_PLACE}/secrets/{SENDERS_USER}.password
#       ca_file: {IN_PLACE}/broker/certs/ca.crt
"""


def _owner_of(path: Path) -> tuple[int, int]:
    said = path.stat()
    return said.st_uid, said.st_gid


def _give(root: Path, owner: tuple[int, int]) -> None:
    """Root gives everything to the owner; nobody else can, nor has to."""
    if os.geteuid() != 0:
        return
    mine = (
        path for path in root.rglob("*") if not _is_below(path, root / "data") and not _is_below(path, root / "site")
    )
    for path in (root, *mine, root / "data", *(root / "data" / name for name in DATA)):
        os.chown(path, *owner, follow_symlinks=False)


def _is_below(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents
