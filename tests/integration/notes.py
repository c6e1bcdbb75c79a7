"""A notification as the routing stage makes it, and a clock that stands: for tests of senders."""

from datetime import UTC, datetime

from contracts.ports import Notification

AT = datetime(2026, 3, 1, 6, tzinfo=UTC)
TOKEN, SECRET = "t0ken-in-the-url", "SEC-of-the-robot"
TEXT = "习水电厂 二氧化硫小时均值58.2 mg/m³,高于许可限值50,超标0.16倍"
PEOPLE = [
    {"name": "王", "mail": "wang@example.org", "phone": "13800000000", "dingtalk": "wang", "feishu": "ou_w"},
    {"name": "李<b>", "mail": "li@example.org", "phone": "13900000000", "wecom": "li", "feishu": "ou_l"},
]
ALERT = {
    "id": "e1",
    "rule": "so2",
    "station": "S1",
    "factor": "a21026",
    "period": "hour",
    "limit_id": "L0",
    "level": "red",
    "opened_at": "2026-03-01T04:00:00+00:00",
    "resolved_at": None,
}
BODY = {
    "title": "二氧化硫超标",
    "text": TEXT,
    "language": "zh",
    "level": "red",
    "transition": "fired",
    "tick": "2026-03-01T06:00:00+00:00",
    "alert": ALERT,
    "people": PEOPLE,
    "link": "https://centre.example/alerts/e1",
}
NOTE = Notification("e1:fired:1", "c", BODY)


class Fixed:
    """A clock that stands."""

    def __init__(self, at=AT):
        self.at = at

    def now(self):
        return self.at

    def real_s(self, simulated_s):
        return simulated_s
