"""What is refused, in words: RFC 9457 problem details in the reader's language.

Promises: every error the portal answers has a type, a title and a detail a person can act on; none holds a stack, a
query or a secret.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

MEDIA_TYPE = "application/problem+json"

# type -> status, (zh, en) title, (zh, en) detail
_TEXTS: dict[str, tuple[int, tuple[str, str], tuple[str, str]]] = {
    "not-signed-in": (
        401,
        ("未登录", "Not signed in"),
        (
            "请登录,或在 Authorization 中使用有效的令牌",
            "Sign in, or send a token that is valid: Authorization: Bearer ...",
        ),
    ),
    "wrong-password": (
        401,
        ("登录失败", "Not signed in"),
        ("用户名或密码不正确,或账户已停用", "The name or the password is wrong, or the account is disabled"),
    ),
    "locked": (
        429,
        ("暂时锁定", "Locked for a while"),
        ("连续输错密码,请在 {seconds} 秒后再试", "Too many wrong passwords in a row; try again in {seconds} s"),
    ),
    "too-often": (
        429,
        ("请求过于频繁", "Too often"),
        ("请在 {seconds} 秒后再试", "Too many attempts from this address; try again in {seconds} s"),
    ),
    "csrf": (
        403,
        ("请求未经本页面确认", "Not confirmed by this page"),
        (
            "使用会话 Cookie 的写操作须带 X-CSRF-Token(见 GET /api/v1/session)",
            "A change made with the session cookie needs X-CSRF-Token, which GET /api/v1/session gives",
        ),
    ),
    "not-permitted": (
        403,
        ("没有权限", "Not permitted"),
        ("{role_zh}不能{action_zh}", "The role '{role_en}' may not {action_en}"),
    ),
    "beyond-scope": (
        403,
        ("超出管理范围", "Beyond your scope"),
        ("{what_zh}", "{what_en}"),
    ),
    "not-found": (
        404,
        ("未找到", "Not found"),
        ("没有此{what_zh},或不在您的管理范围内", "There is no such {what_en}, or it is not in your scope"),
    ),
    "no-such-page": (404, ("未找到", "Not found"), ("没有此地址", "There is nothing at this address")),
    "method-not-allowed": (
        405,
        ("方法不适用", "Method not allowed"),
        ("此地址不接受 {method}", "This address does not take {method}"),
    ),
    "too-large": (
        413,
        ("内容过大", "Too large"),
        ("最多 {bytes} 字节", "The body has more than {bytes} bytes"),
    ),
    "wrong-input": (422, ("内容有误", "Wrong input"), ("{what}", "{what}")),
    "key-used": (
        422,
        ("Idempotency-Key 已用于其他请求", "Idempotency-Key of another request"),
        ("请换一个新的 Idempotency-Key", "This key was sent with another request within the last day; use a new one"),
    ),
    "conflict": (409, ("与现状冲突", "Conflict"), ("{what_zh}", "{what_en}")),
    "own-proposal": (
        403,
        ("须由另一人审批", "A second person decides"),
        ("申请人不能审批自己的变更", "Whoever proposed a change cannot decide on it"),
    ),
    "busy": (
        503,
        ("繁忙", "Busy"),
        (
            "正在处理同类请求,请在 {seconds} 秒后再试",
            "Others of this kind are being worked on; try again in {seconds} s",
        ),
    ),
    "not-ready": (503, ("暂不可用", "Not available now"), ("{what}", "{what}")),
    "failed": (
        500,
        ("内部错误", "Something went wrong here"),
        ("已记入日志,请告知管理员", "It is in the portal's log; tell whoever runs it"),
    ),
}


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[str] = []


class Problem(Exception):
    """An answer that is no success. `errors`: single findings, a line each."""

    def __init__(
        self,
        kind: str,
        *,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        **words: Any,
    ):
        self.kind, self.errors, self.words = kind, list(errors), words
        self.status = _TEXTS[kind][0]
        self.headers = dict(headers or {})
        if "seconds" in words:
            self.headers["Retry-After"] = str(words["seconds"])
        if self.status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"
        super().__init__(self.told("en"))

    def told(self, language: str) -> str:
        zh, en = _TEXTS[self.kind][2]
        return (zh if language == "zh" else en).format(**self.words)

    def response(self, language: str) -> JSONResponse:
        status, titles, _ = _TEXTS[self.kind]
        body = ProblemDetails(
            type=f"urn:greenisland:problem:{self.kind}",
            title=titles[0 if language == "zh" else 1],
            status=status,
            detail=self.told(language),
            errors=self.errors,
        )
        headers = self.headers | {"Content-Language": language}
        return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)


def language_of(request: Request) -> str:
    """zh where the reader's first language is Chinese, else en."""
    first = request.headers.get("accept-language", "").split(",")[0].strip().lower()
    return "zh" if first.startswith("zh") else "en"


_CONTENT = {"content": {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    401: {"description": "Not signed in", **_CONTENT},
    403: {"description": "Not permitted", **_CONTENT},
    404: {"description": "There is none, or it is not in the scope", **_CONTENT},
    409: {"description": "Conflict", **_CONTENT},
    413: {"description": "The body is too large", **_CONTENT},
    422: {"description": "Wrong input", **_CONTENT},
    429: {"description": "Too often", **_CONTENT},
    503: {"description": "Not available now", **_CONTENT},
}
