"""Puts what happens to cases (督办) into words."""

from datetime import datetime
from typing import Any

from contracts.catalogue import LEVEL, Language
from contracts.catalogue.cases import (
    AND_N_CASES,
    CASE_LINE,
    CASE_SAID,
    CASE_SHORT,
    CASE_TITLE,
    CASES_TITLE,
    CLOSE_DUE,
    CONCLUSION,
    REPLY_DUE,
)
from contracts.catalogue.telling import AND_N_LINES
from contracts.reasons import CaseEvent, Transition
from notify.cases.follow import CasePlanned
from notify.cases.state import Happened

from .texts import Texts

SHOWN_NAME = 8  # characters of a case's name
LINES_MAX = 10  # cases that are named in a text


class CaseTexts:
    def __init__(self, texts: Texts):
        self._texts = texts

    def title(self, planned: CasePlanned, language: Language) -> str:
        record, n = planned.items[0].record, len(planned.items)
        words = {
            "level": LEVEL[planned.level][language],
            "said": CASE_SAID[planned.event][language],
            "place": self._texts.place(str(record["station"]), language),
            "n": n,
        }
        return (CASE_TITLE if n == 1 else CASES_TITLE)[language].format(**words)

    def text(self, planned: CasePlanned, language: Language) -> str:
        lines = [self.line(one, language, planned.tick) for one in planned.items[:LINES_MAX]]
        if len(planned.items) > LINES_MAX:
            lines.append(AND_N_LINES[language].format(n=len(planned.items) - LINES_MAX))
        return "\n".join(lines)

    def short(self, planned: CasePlanned, language: Language) -> str:
        """Of several: the most serious one, and how many there are."""
        record, n = planned.items[0].record, len(planned.items)
        is_due = planned.event not in (CaseEvent.CLOSED, CaseEvent.REPLIED)
        words = {
            "said": CASE_SAID[planned.event][language],
            "level": LEVEL[planned.level][language],
            "place": self._texts.place(str(record["station"]), language, with_number=False),
            "more": AND_N_CASES[language].format(n=n) if n > 1 else "",
            "reply_due": self._due(REPLY_DUE, record["reply_due_at"], language) if is_due else "",
            "close_due": self._due(CLOSE_DUE, record["close_due_at"], language) if is_due else "",
        }
        return CASE_SHORT[language].format(**words)

    def line(self, one: Happened, language: Language, tick: datetime) -> str:
        """tick: of the decision that is told."""
        record = one.record
        words: dict[str, Any] = {
            "id": record["id"][:SHOWN_NAME],
            "place": self._texts.place(str(record["station"]), language),
            "level": LEVEL[str(record["level"])][language],
            "text": one.text,
            "about": self._about(one, language, tick),
            "reply_due": self._due(REPLY_DUE, record["reply_due_at"], language),
            "close_due": self._due(CLOSE_DUE, record["close_due_at"], language),
            "conclusion": CONCLUSION[record["conclusion"]][language] if record["conclusion"] else "",
        }
        return CASE_LINE[one.event][language].format(**words)

    def _about(self, one: Happened, language: Language, tick: datetime) -> str:
        """The alert in its own words; of one that a person opened the case about, place and reason."""
        if one.alert is None:
            return f"{self._texts.place(str(one.record['station']), language)} {one.text}".rstrip()
        said = Transition.FIRED if one.alert["open"] else Transition.FIRED_IN_RETROSPECT
        return self._texts.alert(said, one.alert, language, tick)

    def _due(self, words: dict[Language, str], at: object, language: Language) -> str:
        return words[language].format(at=self._texts.at(at)) if at else ""
