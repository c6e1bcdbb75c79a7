"""Links by which one person acknowledges one alert from a mail, signed when the mail is sent.

Promises: no link stands in the outbox, so that the outbox can be derived again without the key; a link lasts for hours,
and goes to those alone whose account may acknowledge the alert.
Does not promise one: without the portal's public_url and key_file, and for what is no single open alert, there is none.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from contracts.clock import Clock
from contracts.site import Site
from notify.senders.mail import Acknowledges, no_link
from store.portal_db import PORTAL_DB, PortalDb

from ..portal.links import acknowledge_link, may_acknowledge, read_key
from ..portal.places import Places

LASTS = timedelta(hours=12)


def acknowledge_links(site: Site, clock: Clock, state_dir: Path | None) -> Acknowledges:
    """state_dir: whose portal.db has the accounts; None: the key is looked at, and there are no links.

    Raises OSError for a key file that cannot be read, ValueError for a key that is too short.
    """
    portal = site.file.portal
    if portal is None or portal.public_url is None or portal.key_file is None:
        return no_link
    key = read_key(Path(portal.key_file))
    return no_link if state_dir is None else _Links(portal.public_url, key, clock, state_dir / PORTAL_DB, Places(site))


@dataclass(frozen=True)
class _Links:
    public_url: str
    key: bytes
    clock: Clock
    accounts: Path
    places: Places

    def __call__(self, body: dict[str, object], person: str) -> str | None:
        alert = body.get("alert")
        if not isinstance(alert, dict) or alert.get("resolved_at") or body.get("transition") == "withdrawn":
            return None
        if not self.accounts.exists():
            return None
        with PortalDb(self.accounts) as db:
            account = db.user(person)
        if not may_acknowledge(account, self.places, str(alert["station"])):
            return None
        return acknowledge_link(self.public_url, self.key, str(alert["id"]), person, self.clock.now() + LASTS)
