"""Around every answer: headers that browsers obey, and a bound on what may be sent.

Promises: a body beyond the bound is refused before anything reads it whole, whatever its Content-Length says.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 4 * 1024 * 1024  # a proposed registry file is the largest
API = "/api/"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_API = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Refused(HTTPException):
    """The body is too large. One of the framework's, which it lets through where it reads bodies."""

    def __init__(self) -> None:
        super().__init__(413)


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_secure, path = scope.get("scheme") == "https", scope["path"]
        taken, is_large = 0, _is_large(Headers(scope=scope).get("content-length"))

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if is_large or taken > BODY_BYTES_MAX:
                    raise Refused
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (_ALWAYS | (_API if path.startswith(API) else {})).items():
                    headers.setdefault(name, value)
                if is_secure:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self._app(scope, bounded, with_headers)


def _is_large(length: str | None) -> bool:
    return length is not None and length.isdecimal() and int(length) > BODY_BYTES_MAX
