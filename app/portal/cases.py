"""Cases (督办) as the portal shows them: a case's record with the names and words that belong to it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from contracts.catalogue import Language
from contracts.reasons import CaseState, Conclusion
from notify.cases.state import Happened
from store.alert_reads import Reading

from ..texts.cases import CaseTexts
from .auth import User
from .centre import Centre


class Case(BaseModel):
    id: str
    terms: str = Field(description="Name of its row of `cases` in routes.yaml")
    place: str = Field(description="What it is one of at a time: `outlet=XS-A-DA001`")
    station: str = Field(description="Of the alert that opened it: a station, `park:...` or `facility:...`")
    outlet: str | None
    enterprise: str | None
    park: str | None
    county: str | None
    place_zh: str
    place_en: str
    level: str = Field(description="The highest its alerts have had")
    state: CaseState
    is_overdue: bool = Field(description="A time of it has passed, by the site's clock")
    alerts: int = Field(description="How many belong to it")
    opened_at: datetime
    opened_by: str = Field(description="Empty: an alert did")
    reply_due_at: datetime | None
    close_due_at: datetime | None
    replied_at: datetime | None = Field(description="The latest reply, unless it was returned")
    closed_at: datetime | None
    conclusion: Conclusion | None


class CaseEvent(BaseModel):
    seq: int
    tick: datetime
    event: str
    actor: str = Field(description="Empty: an alert, or the clock")
    text: str = Field(description="A reply, a note, a reason; of `no_effect` the action")
    alert: str | None = Field(description="null: about none, or about one outside of your scope")
    state: CaseState = Field(description="Of the case after it")
    text_zh: str
    text_en: str


def shown(centre: Centre, record: dict[str, Any], now_us: int | None) -> Case:
    """record: a case's, as store.case_rows has it. now_us: the site's clock."""
    instants = ("opened_at", "reply_due_at", "close_due_at", "replied_at", "closed_at")
    its: dict[str, Any] = {name: centre.civil_or_none(record[name]) for name in instants}
    its |= {name: record[name] or None for name in ("outlet", "enterprise", "park", "county")}
    names = ("id", "terms", "place", "station", "level", "state", "alerts", "opened_by", "conclusion")
    return Case(
        **{name: record[name] for name in names},
        **its,
        place_zh=centre.texts.place(record["station"], "zh"),
        place_en=centre.texts.place(record["station"], "en"),
        is_overdue=is_overdue(record, centre.civil_or_none(now_us)),
    )


def is_seen(db: Reading, user: User, name: str) -> bool:
    """Whether the alert that opened it lies in the user's scope."""
    record = db.cases.case(name)
    return record is not None and user.sees(record["station"])


def is_overdue(record: dict[str, Any], now: datetime | None) -> bool:
    if now is None or record["state"] == CaseState.CLOSED:
        return False
    due = [record["close_due_at"]]
    due += [record["reply_due_at"]] if record["state"] == CaseState.AWAITING_REPLY else []
    return any(at is not None and datetime.fromisoformat(at) <= now for at in due)


def event(centre: Centre, db: Reading, user: User, row: dict[str, Any]) -> CaseEvent:
    alert = db.episode_at(row["episode"], row["tick"]) if row["episode"] else None
    if alert is not None and not (user.sees(alert["station"]) and alert["station"] in centre.places.of):
        alert = None
    happened = Happened(row["event"], row["actor"], row["text"], row["body"], alert)
    tick = centre.civil(row["tick"])

    def said(language: Language) -> str:
        return CaseTexts(centre.texts).line(happened, language, tick)

    return CaseEvent(
        **{name: row[name] for name in ("seq", "event", "actor", "text")},
        tick=tick,
        alert=None if alert is None else alert["id"],
        state=row["body"]["state"],
        text_zh=said("zh"),
        text_en=said("en"),
    )
