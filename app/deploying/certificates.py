"""A certificate authority of the centre's own and server certificates by it, through the `openssl` program.

Promises: keys are made where they are used, 0600, and are never overwritten; a certificate names its host.
Does not promise: to renew by itself; `greenisland doctor` and `deploy check` say when one runs out.
"""

import ipaddress
import os
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .secret_files import PRIVATE

AUTHORITY_DAYS, SERVER_DAYS = 3650, 825
TIMEOUT_S = 60
PUBLIC = 0o644


class OpensslFailed(Exception):
    """The program is not there, or refused; the message says what to do."""


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path

    def exists(self) -> bool:
        return self.certificate.exists() or self.key.exists()


def make_authority(pair: Pair, name: str) -> bool:
    """False where it is there already. Raises OpensslFailed."""
    if pair.exists():
        return False
    _key(pair.key)
    subject = ["-subj", f"/CN={name}"]
    extensions = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request"
        _openssl("req", "-new", "-key", pair.key, *subject, "-out", request)
        _sign(request, pair.certificate, extensions, AUTHORITY_DAYS, ["-signkey", str(pair.key)])
    return True


def make_server(pair: Pair, authority: Pair, host: str, others: tuple[str, ...] = ()) -> bool:
    """A server's certificate for a host name or address, and for other names of it. False where it is there already."""
    if pair.exists():
        return False
    if not authority.key.exists():
        raise OpensslFailed(
            f"{authority.key} is not there: the authority's key is needed to make a certificate. Bring it back, or put "
            f"a certificate of another authority at {pair.certificate} and its key at {pair.key}"
        )
    _key(pair.key)
    names = ",".join(_name(one) for one in dict.fromkeys((host, *others)))
    extensions = (
        f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
    )
    with tempfile.TemporaryDirectory() as scratch:
        request = Path(scratch) / "request"
        _openssl("req", "-new", "-key", pair.key, "-subj", f"/CN={host}", "-out", request)
        by = ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
        _sign(request, pair.certificate, extensions, SERVER_DAYS, by)
    return True


def expires_at(certificate: Path) -> datetime:
    """Raises OpensslFailed where it is no certificate."""
    said = _openssl("x509", "-in", certificate, "-noout", "-enddate").strip()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(said.partition("=")[2]), UTC)


def names_host(certificate: Path, host: str) -> bool:
    option = "-checkip" if _is_address(host) else "-checkhost"
    return "does match" in _openssl("x509", "-in", certificate, "-noout", option, host)


def is_by(certificate: Path, authority: Path) -> bool:
    try:
        _openssl("verify", "-CAfile", authority, certificate)
    except OpensslFailed:
        return False
    return True


def belong_together(pair: Pair) -> bool:
    """Whether the key is the certificate's."""
    of_certificate = _openssl("x509", "-in", pair.certificate, "-noout", "-pubkey")
    return of_certificate.strip() == _openssl("pkey", "-in", pair.key, "-pubout").strip()


def _key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))  # private before there is anything in it
    try:
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        path.chmod(PRIVATE)
    except OpensslFailed:
        path.unlink()
        raise


def _sign(request: Path, certificate: Path, extensions: str, days: int, by: list[str]) -> None:
    config = request.with_name("extensions")
    config.write_text(extensions, encoding="ascii")
    serial = ["-set_serial", f"0x{os.urandom(16).hex()}"]
    options = ["-sha256", "-days", str(days), "-extfile", config, *serial, *by]
    _openssl("x509", "-req", "-in", request, "-out", certificate, *options)
    certificate.chmod(PUBLIC)


def _name(host: str) -> str:
    return f"IP:{host}" if _is_address(host) else f"DNS:{host}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _openssl(*arguments: object) -> str:
    command = ["openssl", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise OpensslFailed("the program `openssl` is not installed; apt-get install openssl") from error
    except subprocess.TimeoutExpired as error:
        raise OpensslFailed(f"openssl {arguments[0]} did not end within {TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise OpensslFailed(f"openssl {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
