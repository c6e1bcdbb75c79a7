"""Notifications as alerts of Prometheus Alertmanager, API v2: it groups, silences and tells by its own configuration.

Promises: an alert stands there until GreenIsland ends it (or STANDS_FOR without a word), not for its resolve_timeout;
another level replaces the one before; many are sent by several POSTs. What is older than what this process sent of an
alert is not sent.
Does not promise: that an alert ends there whose end was given up or refused here.
"""

import json
from datetime import datetime, timedelta

import httpx

from contracts.channels import Alertmanager
from contracts.clock import Clock
from contracts.ports import Notification, Sent
from contracts.reasons import LEVELS, Receipt, Transition

from .http_post import TIMEOUT_S, Answer, address, ask, redacted
from .wording import language_of, plain, title_of

PATH = "/api/v2/alerts"
STANDS_FOR = timedelta(days=30)
OVER = {Transition.RESOLVED, Transition.WITHDRAWN, Transition.FIRED_IN_RETROSPECT}
ALERTS_MAX = 50_000  # whose latest tick is remembered
AT_ONCE = 500  # alerts of a POST, each with its three levels; some 2 MB
LABELS = ("rule", "station", "factor", "period")


class AlertmanagerSender:
    """contracts.ports.Sender. Raises ValueError for an address nothing could be sent to."""

    def __init__(
        self,
        channel: Alertmanager,
        password: str | None,
        client: httpx.Client,
        clock: Clock,
        *,
        site: str,
        timeout_s: float = TIMEOUT_S,
    ):
        self._channel, self._client, self._clock, self._site = channel, client, clock, site
        self._auth = None if channel.username is None else (channel.username, password or "")
        self._url = address(channel.url.rstrip("/") + PATH, "url")
        self._password, self._timeout_s = password or "", timeout_s
        self._latest: dict[str, str] = {}  # episode -> tick of what was taken last

    def __repr__(self) -> str:
        return f"AlertmanagerSender({self._channel.name!r})"

    def send(self, notification: Notification, attempt: int) -> Sent:  # noqa: ARG002  # a repeat changes nothing there
        body = notification.body
        several = body.get("alerts")
        episodes = [one for one in ((several if isinstance(several, list) else None) or [body.get("alert")]) if one]
        tick = str(body.get("tick") or "")
        fresh = [one for one in episodes if self._latest.get(str(one["id"]), "") <= tick]
        if episodes and not fresh:
            return Sent(Receipt.DELIVERED, "not sent: a later word on it was taken already")
        if not fresh:
            return self._post([self._plain(notification)])
        sent = Sent(Receipt.DELIVERED, "")
        for at in range(0, len(fresh), AT_ONCE):
            some = fresh[at : at + AT_ONCE]
            sent = self._post([alert for one in some for alert in self._alerts(one, body)])
            if sent.receipt != Receipt.DELIVERED:  # another attempt sends all: the same alert again changes nothing
                return sent._replace(detail=f"taken: {at:,} of {len(fresh):,} alerts; {sent.detail}") if at else sent
            self._remember(some, tick)
        return sent

    def _post(self, alerts: list[dict[str, object]]) -> Sent:
        answer = ask(
            self._client,
            "POST",
            self._url,
            content=json.dumps(alerts, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
            auth=self._auth,
            timeout_s=self._timeout_s,
        )
        return answer if isinstance(answer, Sent) else _with_words(answer, self._password)

    def _alerts(self, episode: dict[str, object], body: dict[str, object]) -> list[dict[str, object]]:
        """The alert of its level; and of the other levels, as ended, for a level is a label that routes look at."""
        level, now = str(episode.get("level")), self._clock.now()
        ends_at = now + STANDS_FOR
        each = body.get("episodes")  # what each of several did
        said = each.get(str(episode["id"])) if isinstance(each, dict) else body.get("transition")
        if said in OVER or episode.get("resolved_at"):
            ends_at = min(_instant(episode.get("resolved_at")) or now, now)
        starts_at = min(_instant(episode.get("opened_at")) or now, ends_at)
        return [
            {
                "labels": {
                    "alertname": str(episode.get("rule") or "greenisland"),
                    "site": self._site,
                    "alert": str(episode["id"]),
                    "level": one,
                    **{name: str(episode[name]) for name in LABELS if episode.get(name)},
                },
                "annotations": self._annotations(body),
                "startsAt": starts_at.isoformat(),
                "endsAt": (ends_at if one == level else min(now, ends_at)).isoformat(),
                **({"generatorURL": str(body["link"])} if body.get("link") else {}),
            }
            for one in ((level, *(other for other in LEVELS if other != level)))
        ]

    def _annotations(self, body: dict[str, object]) -> dict[str, str]:
        said = {
            key: str(body[key]) for key in ("transition", "clause", "final_from", "acknowledge_link") if body.get(key)
        }
        text = plain({"text": body.get("text")}, 1, language_of(body, self._channel.language))
        return {"summary": title_of(body), "description": text, **said}

    def _plain(self, notification: Notification) -> dict[str, object]:
        """What is about no single alert."""
        now = self._clock.now()
        labels = {"alertname": "greenisland", "site": self._site, "key": notification.key}
        ends_at = (now + timedelta(hours=1)).isoformat()
        return {
            "labels": labels,
            "annotations": self._annotations(notification.body),
            "startsAt": now.isoformat(),
            "endsAt": ends_at,
        }

    def _remember(self, episodes: list[dict[str, object]], tick: str) -> None:
        for one in episodes:
            self._latest.pop(str(one["id"]), None)
            self._latest[str(one["id"])] = tick
        while len(self._latest) > ALERTS_MAX:
            del self._latest[next(iter(self._latest))]


def _with_words(answer: Answer, password: str) -> Sent:
    """A refusal with what Alertmanager says of it."""
    if answer.status != 400 or not answer.content:
        return answer.sent
    return Sent(Receipt.REFUSED, f"HTTP 400: {redacted(answer.content.decode(errors='replace'), password)}")


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
