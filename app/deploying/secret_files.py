"""Secrets and credentials as files: made at random, readable by their owner alone, never overwritten.

Promises: a file that is there is left as it is; a new one is whole or absent, and is 0600 before anything is in it.
Does not promise: to keep them anywhere else. Whoever loses one makes a new one.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

PRIVATE = 0o600
SECRET_BYTES = 32
_ITERATIONS = 101  # Mosquitto's own; a password of 256 random bits needs no slow hash
_SALT_BYTES = 12


def new_secret() -> str:
    """256 random bits, safe in URLs, headers and files."""
    return secrets.token_urlsafe(SECRET_BYTES)


def write_new(path: Path, text: str, mode: int = PRIVATE) -> bool:
    """Writes the file, with its folder; False where it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.flush()
        os.fsync(file.fileno())
    return True


def password_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


# -- Mosquitto's password file: user:$7$iterations$salt$hash, PBKDF2-HMAC-SHA512, as mosquitto_passwd of 2.0 writes it


def password_line(user: str, password: str, salt: bytes | None = None) -> str:
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{user}:$7${_ITERATIONS}${_base64(salt)}${_base64(made)}"


def users_of(passwd: Path) -> dict[str, str]:
    """user -> its line. Empty where there is no file."""
    if not passwd.exists():
        return {}
    lines = passwd.read_text(encoding="utf-8").splitlines()
    return {line.partition(":")[0]: line for line in lines if line.strip()}


def replace_users(passwd: Path, users: dict[str, str]) -> None:
    """Replaces the file as a whole, keeping its owner: a broker that reads it meanwhile sees the old or the new one."""
    passwd.parent.mkdir(parents=True, exist_ok=True)
    new = passwd.with_name(passwd.name + ".new")
    new.unlink(missing_ok=True)
    write_new(new, "".join(f"{line}\n" for line in users.values()))
    if passwd.exists():
        was = passwd.stat()
        new.chmod(was.st_mode & 0o777)
        if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, was.st_uid, was.st_gid)
    new.replace(passwd)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
