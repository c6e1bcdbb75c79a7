"""A real Mosquitto with TLS on what `deploy init` made, and clients that trust its authority."""

import shutil
import socket
import ssl

from app.deploying.broker_users import SHIPPED

from ..integration.broker import Mosquitto, Peer


class TlsPeer(Peer):
    """A client that trusts one authority."""

    def __init__(self, broker, authority, user=None, password=None, **options):
        super().__init__(broker.port, user, password, **options)
        self._client.tls_set_context(ssl.create_default_context(cafile=str(authority)))


def broker_on(layout, folder, require_program) -> Mosquitto:
    """The directory's own ACL, users and certificates; its mosquitto.conf is the shipped one, byte for byte."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert (layout.broker / "mosquitto.conf").read_bytes() == (SHIPPED / "mosquitto.conf").read_bytes()
    made = Mosquitto(folder, port, require_program("mosquitto"), layout.broker_certificates)
    give(layout, made)
    return made


def give(layout, broker) -> None:
    for name in ("acl", "passwd"):
        shutil.copyfile(layout.broker / name, broker.folder / name)
