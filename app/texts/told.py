"""Puts a planned notification into words: the outbox's bodies, for every sender the same keys.

Promises: the same plan gives the same body, byte for byte; however many alerts it tells of, the text stays short and
says how many there are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from contracts.catalogue import LEVEL, Language
from contracts.catalogue.telling import AND_N_LINES, AND_N_MORE, COUNT, DURATION, HEAD, SAID, SHORT_HEAD, TITLE
from contracts.channels import Alertmanager
from contracts.ports import Notification
from contracts.reasons import Telling, Transition
from contracts.routing import Flapping
from contracts.site import Site
from notify.cases.follow import CasePlanned
from notify.telling.plan import TellPlan
from notify.telling.planned import Item, Planned
from rules.tables.judgement import Judgements

from .cases import CaseTexts
from .texts import Texts

LINES_MAX = 10  # alerts that are named in a text
RECORDS_MAX = 1_000  # ... and that stand in a body with all there is on them
SEVERAL = "several"  # transition of a notification whose alerts changed in different ways
_JOIN: dict[Language, str] = {"zh": "、", "en": ", "}


class ToldTexts:
    """judged: the table of words; the shipped one, if none is given."""

    def __init__(self, site: Site, plan: TellPlan, judged: Judgements | None = None):
        self._texts, self._plan = Texts(site, judged), plan
        self._cases = CaseTexts(self._texts)
        self._keep_each = {one.name for one in site.file.channels if isinstance(one, Alertmanager)}
        self._public_url = None if site.file.portal is None else site.file.portal.public_url

    def notification(self, planned: Planned) -> Notification:
        language: Language = "en" if planned.language == "en" else "zh"
        items, one = planned.items, planned.items[0] if len(planned.items) == 1 else None
        said = {item.transition for item in items}
        body = {
            "title": self._title(planned, language),
            "text": self._text(planned, language),
            "short": self._short(planned, language),
            "language": language,
            "level": planned.level,
            "kind": str(planned.kind),
            "transition": said.pop() if len(said) == 1 else SEVERAL,
            "tick": planned.tick.isoformat(),
            "final_from": None if one is None else self._texts.final_from(one.record).isoformat(),
            "clause": None if one is None else self._texts.clause(one.record),
            "alert": None if one is None else one.record,
            "alerts": [item.record for item in items[: self._records_max(planned)]] if one is None else [],
            "count": len(items),
            "episodes": {str(item.record["id"]): item.transition for item in items},
            "people": [self._person(name, language) for name in planned.people],
            "route": planned.route,
            "step": planned.step,
            "link": self._page("alerts", [item.record for item in items]),
            "acknowledge_link": None,
        }
        return Notification(planned.key, planned.channel, body)

    def of_cases(self, planned: CasePlanned) -> Notification:
        language: Language = "en" if planned.language == "en" else "zh"
        records = [one.record for one in planned.items]
        body = {
            "title": self._cases.title(planned, language),
            "text": self._cases.text(planned, language),
            "short": self._cases.short(planned, language),
            "language": language,
            "level": planned.level,
            "kind": str(Telling.CASE),
            "transition": planned.event,
            "tick": planned.tick.isoformat(),
            "final_from": None,
            "clause": None,
            "alert": None,
            "alerts": [],
            "case": records[0] if len(records) == 1 else None,
            "cases": {str(record["id"]): planned.event for record in records},
            "count": len(records),
            "episodes": {str(record["episode"]): planned.event for record in records if record["episode"]},
            "people": [self._person(name, language) for name in planned.people],
            "route": planned.terms,
            "step": 0,
            "link": self._page("cases", records),
            "acknowledge_link": None,
        }
        return Notification(planned.key, planned.channel, body)

    def _records_max(self, planned: Planned) -> int | None:
        """Alertmanager keeps alerts one by one, so it gets them all; a reminder only says that they still stand."""
        is_reminder = planned.kind in (Telling.REPEAT, Telling.ESCALATION)
        return None if planned.channel in self._keep_each and not is_reminder else RECORDS_MAX

    def _page(self, what: str, records: Sequence[Mapping[str, Any]]) -> str | None:
        """The page of the one, or the list of several; None where the site has no public address."""
        if self._public_url is None:
            return None
        return f"{self._public_url.rstrip('/')}/{what}" + (f"/{records[0]['id']}" if len(records) == 1 else "")

    def _title(self, planned: Planned, language: Language) -> str:
        first = planned.items[0]
        return TITLE[planned.kind][language].format(
            level=LEVEL[planned.level][language],
            place=self._texts.place(str(first.record["station"]), language),
            said=SAID[first.transition][language],
            what=f" {what}" if (what := self._texts.what(first.record, language)) else "",
            n=len(planned.items),
        )

    def _text(self, planned: Planned, language: Language) -> str:
        items, first = planned.items, planned.items[0]
        if planned.kind == Telling.CHANGE:
            return self._line(planned, first, language)
        words: dict[str, Any] = {
            "n": len(items),
            "counts": self._counts(items, language),
            "rule": first.record["rule"],
            "step": planned.step,
        }
        if planned.kind == Telling.FLAPPING:
            about = self._plan.routing.flapping or Flapping()
            words |= {"text": self._line(planned, first, language), "changes": about.changes}
            return HEAD["flapping"][language].format(**words, within=_duration(about.within, language))
        if planned.kind == Telling.STORM:
            stations = list(dict.fromkeys(str(item.record["station"]) for item in items))
            words |= {"stations": len(stations), "places": self._places(stations, language)}
            code = f"storm.{first.record['kind']}"
            return HEAD[code if code in HEAD else "storm"][language].format(**words)
        if planned.kind == Telling.ESCALATION:
            words["after"] = _duration(self._plan.routes[planned.route].escalate[planned.step - 1].after, language)
        lines = [HEAD[planned.kind][language].format(**words)]
        lines += [self._line(planned, item, language) for item in items[:LINES_MAX]]
        if len(items) > LINES_MAX:
            lines.append(AND_N_LINES[language].format(n=len(items) - LINES_MAX))
        return "\n".join(lines)

    def _short(self, planned: Planned, language: Language) -> str:
        """Of several alerts: why people are told, and the most serious one."""
        first = planned.items[0]
        one = self._texts.short(first.transition, first.record, language, planned.tick)
        if planned.kind in (Telling.CHANGE, Telling.FLAPPING):
            return one
        head = self._text(planned, language).partition("\n")[0]
        text = head if planned.kind == Telling.STORM else f"{head} {one}"
        return SHORT_HEAD[language].format(level=LEVEL[planned.level][language], text=text)

    def _line(self, planned: Planned, item: Item, language: Language) -> str:
        said = item.transition
        if said == Telling.FLAPPING:
            said = Transition.FIRED if item.record["open"] else Transition.RESOLVED
        return self._texts.alert(said, item.record, language, planned.tick)

    def _counts(self, items: tuple[Item, ...], language: Language) -> str:
        counted = Counter(item.transition for item in items)
        told = [COUNT[language].format(said=SAID[said][language], n=counted[said]) for said in SAID if said in counted]
        return _JOIN[language].join(told)

    def _places(self, stations: list[str], language: Language) -> str:
        told = _JOIN[language].join(self._texts.place(station, language) for station in stations[:LINES_MAX])
        more = len(stations) - LINES_MAX
        return told + (AND_N_MORE[language].format(n=more) if more > 0 else "")

    def _person(self, name: str, language: Language) -> dict[str, str]:
        """Who, and every address there is of them."""
        person = self._plan.people[name]
        told = {"person": name, "name": person.name_zh if language == "zh" else person.name_en}
        addresses = {key: getattr(person, key) for key in ("mail", "phone", "dingtalk", "wecom", "feishu")}
        return told | {key: address for key, address in addresses.items() if address is not None}


def _duration(duration: timedelta, language: Language) -> str:
    """`1小时30分钟`, `1 h 30 min`."""
    rest, parts = round(duration.total_seconds()), []
    for size, unit in zip((86_400, 3_600, 60, 1), DURATION[language], strict=True):
        n, rest = divmod(rest, size)
        parts += [f"{n}{unit}"] if n else []
    return ("" if language == "zh" else " ").join(parts)
