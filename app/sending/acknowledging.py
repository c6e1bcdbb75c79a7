"""Links by which one person acknowledges one alert from a mail, signed when the mail is sent.

Promises: no link stands in the outbox, so that the outbox can be derived again without the key; a link lasts for hours.
Does not promise one: without the portal's public_url and key_file, and for what is no single open alert, there is none.
"""

from datetime import timedelta
from functools import partial
from pathlib import Path

from contracts.clock import Clock
from contracts.site import Site
from notify.senders.mail import Acknowledges, no_link

from ..portal.links import acknowledge_link, read_key

LASTS = timedelta(hours=12)


def acknowledge_links(site: Site, clock: Clock) -> Acknowledges:
    """Raises OSError for a key file that cannot be read, ValueError for a key that is too short."""
    portal = site.file.portal
    if portal is None or portal.public_url is None or portal.key_file is None:
        return no_link
    return partial(_link, portal.public_url, read_key(Path(portal.key_file)), clock)


def _link(public_url: str, key: bytes, clock: Clock, body: dict[str, object], person: str) -> str | None:
    alert = body.get("alert")
    if not isinstance(alert, dict) or alert.get("resolved_at") or body.get("transition") == "withdrawn":
        return None
    return acknowledge_link(public_url, key, str(alert["id"]), person, clock.now() + LASTS)
