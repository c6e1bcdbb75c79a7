"""Alerts as the portal shows them: an episode's record with the names, words and people that belong to it."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from store.alert_reads import Reading

from .centre import Centre


class Attention(BaseModel):
    """In whose hands it is. An acknowledgement ends when the level rises or the alert reopens."""

    acknowledged_by: str | None
    acknowledged_at: datetime | None
    acknowledge_reason: str | None
    assigned_to: str | None
    assigned_by: str | None
    assigned_at: datetime | None


class Alert(BaseModel):
    id: str
    rule: str
    kind: str
    station: str = Field(description="A station, `park:...` or `facility:...`")
    outlet: str | None
    enterprise: str | None
    park: str | None
    county: str | None
    place_zh: str | None = Field(description="null: it is no longer in the registry")
    place_en: str | None
    factor: str
    factor_zh: str
    factor_en: str
    period: str
    state: str = Field(
        description="firing, no_data, resolved; superseded: nothing judges it any more; withdrawn by late data"
    )
    is_open: bool
    level: str
    peak_level: str
    peak: str | None = Field(description="The value of the worst window, as text: no digit is lost")
    limit: str | None
    limit_id: str | None
    unit: str
    clause: str | None
    valid_n: int
    expected_n: int
    opened_at: datetime
    fired_at: datetime
    peak_at: datetime
    resolved_at: datetime | None
    final_from: datetime | None = Field(description="Until then the verdict is provisional (初判)")
    text_zh: str | None = Field(description="The last thing that was said of it; null: no longer in the registry")
    text_en: str | None
    attention: Attention | None = Field(description="null: nobody has taken it up")


class Transition(BaseModel):
    seq: int
    tick: datetime
    transition: str
    alert: str
    rule: str
    station: str
    factor: str
    level: str
    state: str
    text_zh: str | None
    text_en: str | None


def shown(centre: Centre, db: Reading, body: dict[str, Any]) -> Alert:
    """body: an episode's record."""
    last, care = db.last_transition_of(body["id"]), db.attention_of(body["id"])
    place = centre.places.of.get(body["station"])
    zh, en = words(centre, last)
    withdrawn = bool(body.get("is_withdrawn"))
    decimals = body["decimals"]
    return Alert(
        id=body["id"],
        rule=body["rule"],
        kind=body["kind"],
        station=body["station"],
        outlet=place and place.outlet,
        enterprise=place and place.enterprise,
        park=place and place.park,
        county=place and place.county,
        place_zh=_place(centre, body["station"], "zh"),
        place_en=_place(centre, body["station"], "en"),
        factor=body["factor"],
        factor_zh=centre.texts.factor(body["factor"], "zh"),
        factor_en=centre.texts.factor(body["factor"], "en"),
        period=body["period"],
        state="withdrawn" if withdrawn else body["state"],
        is_open=bool(body["open"]) and not withdrawn,
        level=body["level"],
        peak_level=body["peak_level"],
        peak=number(body["peak_scaled"], decimals),
        limit=number(body["limit_scaled"], decimals),
        limit_id=body["limit_id"],
        unit=body["unit"],
        clause=_clause(centre, body),
        valid_n=body["peak_valid_n"],
        expected_n=body["peak_expected_n"],
        opened_at=centre.civil_or_none(body["opened_at"]),
        fired_at=centre.civil_or_none(body["fired_at"]),
        peak_at=centre.civil_or_none(body["peak_at"]),
        resolved_at=centre.civil_or_none(body["resolved_at"]),
        final_from=_final_from(centre, body),
        text_zh=zh,
        text_en=en,
        attention=None if care is None else Attention(**_civil(centre, care)),
    )


def _civil(centre: Centre, care: dict[str, Any]) -> dict[str, Any]:
    about = {name: care[name] for name in Attention.model_fields}
    return about | {name: centre.civil_or_none(about[name]) for name in ("acknowledged_at", "assigned_at")}


def transition(centre: Centre, row: dict[str, Any]) -> Transition:
    body = row["body"]
    zh, en = words(centre, row)
    return Transition(
        seq=row["seq"],
        tick=centre.civil(row["tick"]),
        transition=row["transition"],
        alert=row["episode"],
        rule=body["rule"],
        station=body["station"],
        factor=body["factor"],
        level=body["level"],
        state=body["state"],
        text_zh=zh,
        text_en=en,
    )


def words(centre: Centre, row: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """A transition in Chinese and English; nothing where its station is no longer in the registry."""
    if row is None or row["body"]["station"] not in centre.places.of:
        return None, None
    tick = centre.civil(row["tick"])
    zh, en = (centre.texts.alert(row["transition"], row["body"], one, tick) for one in ("zh", "en"))  # type: ignore[arg-type]
    return zh, en


def number(scaled: int | None, decimals: int) -> str | None:
    """A scaled integer in full, without the zeros at its end."""
    if scaled is None:
        return None
    text = f"{Decimal(scaled).scaleb(-decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _place(centre: Centre, subject: str, language: str) -> str | None:
    return centre.texts.place(subject, language) if subject in centre.places.of else None  # type: ignore[arg-type]


def _clause(centre: Centre, body: dict[str, Any]) -> str | None:
    return centre.texts.clause(body) or None if body["station"] in centre.places.of else None


def _final_from(centre: Centre, body: dict[str, Any]) -> datetime | None:
    if body["station"] not in centre.places.of or not body["limit_id"]:
        return None
    return centre.civil(centre.texts.final_from(body))
