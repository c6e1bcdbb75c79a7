"""A notification as plain text for people: repeat mark, title, text, links. And templates, filled from its body. Pure.

Promises: what is cut says so; a template that cannot be filled is an error by name, never a gap in the text.
"""

import json

from contracts.channels import Placeholders
from contracts.ports import Notification

REPEAT = {"zh": "可能重复", "en": "possible repeat"}  # the receiver cannot drop a second one by its key
SEE = {"zh": "查看", "en": "see"}
ACKNOWLEDGE = {"zh": "确认", "en": "acknowledge"}
CLAUSE = {"zh": "依据", "en": "basis"}
CUT = "…"
TEMPLATE_ERROR = "template error"  # begins what a receipt says of one; `status` looks for it


class TemplateError(ValueError):
    """A placeholder that this notification cannot fill."""


def language_of(body: dict[str, object], otherwise: str) -> str:
    told = body.get("language")
    return told if told in REPEAT else otherwise


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def title_of(body: dict[str, object]) -> str:
    """Its title, else its text, on one line."""
    return one_line(body.get("title") or body.get("text") or "")


def marked(text: str, attempt: int, language: str) -> str:
    """An attempt after the first may be the second that arrives, and says so."""
    return f"[{REPEAT[language]}] {text}" if attempt > 1 else text


def plain(body: dict[str, object], attempt: int, language: str, bytes_max: int | None = None) -> str:
    """Lines: title where it is not the text's beginning, text, clause, links. What is too long keeps its links."""
    text, title = str(body.get("text") or ""), str(body.get("title") or "")
    lines = [title] if title and not text.startswith(title) else []
    lines.append(text)
    if body.get("clause"):
        lines.append(f"{CLAUSE[language]}: {body['clause']}")
    said = marked("\n".join(line for line in lines if line), attempt, language)
    links = "".join(
        f"\n{words[language]}: {body[key]}"
        for key, words in (("link", SEE), ("acknowledge_link", ACKNOWLEDGE))
        if body.get(key)
    )
    if bytes_max is None:
        return said + links
    return cut_bytes(said, bytes_max - len(links.encode())) + links


def people_of(body: dict[str, object]) -> list[dict[str, object]]:
    people = body.get("people")
    return [one for one in people if isinstance(one, dict)] if isinstance(people, list) else []


def contacts(body: dict[str, object], key: str) -> list[str]:
    """What the people of a notification have under `key` (mail, phone, dingtalk, ...), each once, in order."""
    found = [str(one[key]).strip() for one in people_of(body) if one.get(key)]
    return list(dict.fromkeys(found))


def cut_bytes(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8, in whole characters; what is cut ends with a mark."""
    if len(text.encode()) <= bytes_max:
        return text
    room = bytes_max - len(CUT.encode())
    return text.encode()[:room].decode(errors="ignore") + CUT


def sms_length(text: str) -> int:
    """Characters as carriers count them: UCS-2, so what lies beyond the basic plane counts twice."""
    return len(text.encode("utf-16-le")) // 2


def cut_sms(text: str, characters_max: int) -> str:
    """One line of at most so many characters; what is cut ends with a mark."""
    text = one_line(text)
    if sms_length(text) <= characters_max:
        return text
    kept = text.encode("utf-16-le")[: 2 * (characters_max - 1)].decode("utf-16-le", errors="ignore")
    return kept.rstrip() + CUT


def fill(template: object, values: dict[str, object]) -> object:
    """The template with every text in it filled. Raises TemplateError.

    A text that is one placeholder and nothing else becomes what it names, a number or an object too.
    """
    if isinstance(template, dict):
        return {key: fill(inner, values) for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [fill(inner, values) for inner in template]
    if not isinstance(template, str):
        return template
    names = Placeholders(template).get_identifiers()
    found = {name: _look_up(values, name) for name in names}
    if len(names) == 1 and template in (f"${names[0]}", f"${{{names[0]}}}"):
        return found[names[0]]
    return Placeholders(template).substitute({name: _as_text(value) for name, value in found.items()})


def _look_up(values: dict[str, object], name: str) -> object:
    at: object = values
    for part in name.split("."):
        if isinstance(at, dict) and part in at:
            at = at[part]
        elif isinstance(at, list) and part.isdecimal() and int(part) < len(at):
            at = at[int(part)]
        else:
            raise TemplateError(f"{TEMPLATE_ERROR}: ${{{name}}} is not in this notification")
    if at is None:
        raise TemplateError(f"{TEMPLATE_ERROR}: ${{{name}}} is empty in this notification")
    return at


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def template_values(notification: Notification, attempt: int) -> dict[str, object]:
    """Its body; `short` is its text where it has none."""
    body = notification.body
    return {"short": body.get("text"), **body, "key": notification.key, "attempt": attempt}
