"""`portal:` of site.yaml: where people and programs ask, and for how long they stay signed in."""

from typing import Annotated

from pydantic import Field, field_validator

from .strict import Strict


class Portal(Strict):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8212
    public_url: str | None = None  # as people reach it, without a path; goes into links and makes cookies secure
    key_file: str | None = None  # signs links in notifications; a file, never a value
    session_hours: Annotated[int, Field(ge=1, le=168)] = 12
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For and X-Forwarded-Proto are believed

    @field_validator("public_url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        scheme, _, rest = url.partition("://")
        if scheme not in ("http", "https") or not rest or "/" in rest.rstrip("/") or "?" in rest or "#" in rest:
            raise ValueError(f"{url!r} is not the portal's address; write one like https://greenisland.example.cn")
        return url.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in names:
            raise ValueError("'*' would believe anybody; name the proxies' addresses")
        return names
