"""The portal as a part of `greenisland run`, or alone: uvicorn in a thread of its own until it is told to stop.

Promises: when this returns nothing listens any more; open streams are ended, other requests have a few seconds.
"""

import logging
import threading
from pathlib import Path

import uvicorn

from contracts.clock import Clock
from contracts.portal import Portal
from contracts.site import Site
from rules.spec import Rule

from .app import create_app
from .links import read_key

log = logging.getLogger(__name__)

GRACE_S = 3
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NotServed(RuntimeError):
    """Nothing can be served; the message says why."""


def run_portal(
    site: Site,
    rules: list[Rule],
    state_dir: Path,
    clock: Clock,
    stop: threading.Event,
    site_dir: Path | None,
    *,
    banner: str = "",
) -> None:
    """Serves until `stop`. Raises NotServed: the key cannot be read, or the port is taken.

    banner: a word of viewer.words above every page.
    """
    from .viewer.mount import mount  # the pages' toolkit only where they are served

    settings = site.file.portal or Portal()
    try:
        link_key = read_key(Path(settings.key_file)) if settings.key_file else None
    except (OSError, ValueError) as error:
        raise NotServed(f"portal.key_file: {error}") from error
    app = create_app(site, rules, state_dir, clock, site_dir=site_dir, settings=settings, link_key=link_key)
    centre, viewer = app.state.centre, mount(app, banner=banner)
    if settings.host not in LOOPBACK and not (settings.public_url or "").startswith("https://"):
        log.warning("the portal listens on %s without TLS: passwords can be read on the way", settings.host)
    if not centre.db.users():
        log.warning("nobody can sign in yet: `greenisland user add NAME --role administrator --state %s`", state_dir)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # addresses of links hold what must not stand in a log
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)

    def ended() -> None:
        stop.wait()
        centre.stop.set()
        server.should_exit = True

    watcher = threading.Thread(target=ended, name="portal-stop", daemon=True)
    watcher.start()
    try:
        server.run()
    except SystemExit as error:  # uvicorn's word for a port that is taken
        raise NotServed(f"the portal cannot listen on {settings.host}:{settings.port}: is the port taken?") from error
    finally:
        viewer.close()
        centre.close()
