"""/link/acknowledge: the page a signed link in a notification opens.

Promises: opening it changes nothing (scanners of mail follow links); the button acknowledges, once. A link that was
forged, has expired or was used is refused in words.
"""

from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse

from store.journal import epoch_us

from .. import passwords
from ..alerts import words
from ..auth import centre_of
from ..centre import Centre
from ..links import ACKNOWLEDGE, PATH, Link, may_acknowledge
from ..submit import put

_REFUSED = {"description": "Refused, in words", "content": {"text/html": {"schema": {"type": "string"}}}}
router = APIRouter(tags=["links"], responses={403: _REFUSED, 404: _REFUSED, 410: _REFUSED})

ORIGIN = "link"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
}
_STYLE = (
    "body{font:16px/1.6 system-ui,'Noto Sans CJK SC',sans-serif;margin:2em auto;max-width:36em;padding:0 1em}"
    "button{font:inherit;padding:.6em 1.6em;background:#1f6f43;color:#fff;border:0;border-radius:4px}"
    "textarea{font:inherit;width:100%;box-sizing:border-box}.en{color:#666}"
)
# what -> status, Chinese, English
_SAID = {
    "forged": (403, "链接无效:内容与签名不符", "This link is not valid: it does not match its signature"),
    "expired": (410, "链接已过期,请登录后确认", "This link has expired; sign in to acknowledge the alert"),
    "used": (410, "此链接已用于确认,不能再次使用", "This link was used already: the alert was acknowledged with it"),
    "gone": (404, "没有此告警", "There is no such alert"),
    "not_permitted": (
        403,
        "没有此账户,或此账户已停用或不能确认该告警;请与系统管理员联系",
        "There is no such account, or it is disabled, or may not acknowledge this alert; ask the administrator",
    ),
    "unknown": (404, "本站未启用签名链接", "This portal has no signed links"),
    "done": (202, "已记录:{person} 确认了该告警", "Recorded: {person} has acknowledged the alert"),
}
REASON = "确认(通知链接) acknowledged by the link in a notification"


class Refused(Exception):
    pass


@router.get(PATH, response_class=HTMLResponse, summary="What a link would do, and a button that does it")
def confirm_link(
    request: Request,
    alert: Annotated[str, Query(max_length=100)] = "",
    person: Annotated[str, Query(max_length=500)] = "",
    until: Annotated[str, Query(max_length=100)] = "",
    sig: Annotated[str, Query(max_length=100)] = "",
) -> HTMLResponse:
    centre = centre_of(request)
    try:
        link, row = _checked(centre, alert, person, until, sig)
    except Refused as refused:
        return _page(str(refused))
    fields = {"alert": link.episode, "person": link.person, "until": str(link.expires_s), "sig": link.signature}
    hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())
    form = (
        f'<form method="post" action="{PATH}">{hidden}'
        '<p><label>说明 Reason<br><textarea name="reason" rows="2" maxlength="400"></textarea></label></p>'
        f"<p><button>确认告警 Acknowledge</button></p></form><p>{escape(link.person)}</p>"
    )
    return HTMLResponse(_html(_told(centre, row) + form), headers=_HEADERS)


@router.post(PATH, response_class=HTMLResponse, status_code=202, summary="Acknowledge, once")
def acknowledge_by_link(
    request: Request,
    alert: Annotated[str, Form(max_length=100)] = "",
    person: Annotated[str, Form(max_length=500)] = "",
    until: Annotated[str, Form(max_length=100)] = "",
    sig: Annotated[str, Form(max_length=100)] = "",
    reason: Annotated[str, Form(max_length=400)] = "",
) -> HTMLResponse:
    centre = centre_of(request)
    try:
        link, _ = _checked(centre, alert, person, until, sig)
        used = passwords.digest(link.signature)
        now_us = epoch_us(centre.clock.now())
        with centre.db.using_link(used, now_us, epoch_us(link.expires_at)) as is_first:
            if not is_first:
                raise Refused("used")
            said = " ".join(part for part in (reason.strip(), f"({REASON})" if reason.strip() else REASON) if part)
            put(centre, link.person, ACKNOWLEDGE, {"episode": link.episode, "reason": said[:500]}, origin=ORIGIN)
    except Refused as refused:
        return _page(str(refused))
    return _page("done", person=link.person)


def _checked(centre: Centre, alert: str, person: str, until: str, sig: str) -> tuple[Link, dict[str, Any] | None]:
    """The link and the alert's last transition. Raises Refused."""
    if centre.link_key is None:
        raise Refused("unknown")
    if not (until.isascii() and until.isdecimal() and len(until) <= 11):
        raise Refused("forged")
    link = Link(alert, ACKNOWLEDGE, person, int(until), sig)
    if not link.is_genuine(centre.link_key):
        raise Refused("forged")
    if centre.clock.now() >= link.expires_at:
        raise Refused("expired")
    if centre.db.link_used_at(passwords.digest(link.signature)) is not None:
        raise Refused("used")
    with centre.state() as db:
        body, row = db.episode(alert), db.last_transition_of(alert)
    if body is None:
        raise Refused("gone")
    if not may_acknowledge(centre.db.user(person), centre.places, body["station"]):
        raise Refused("not_permitted")
    return link, row


def _told(centre: Centre, row: dict[str, Any] | None) -> str:
    zh, en = words(centre, row)
    return f'<p>{escape(zh or "")}</p><p class="en">{escape(en or "")}</p>'


def _page(what: str, **named: str) -> HTMLResponse:
    status, zh, en = _SAID[what]
    body = f'<p>{escape(zh.format(**named))}</p><p class="en">{escape(en.format(**named))}</p>'
    return HTMLResponse(_html(body), status, headers=_HEADERS)


def _html(body: str) -> str:
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width"><title>绿岛 GreenIsland</title>'
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
