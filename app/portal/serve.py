"""The portal as a part of `greenisland run`, or alone: uvicorn in a thread of its own until it is told to stop.

Promises: when this returns nothing listens any more; open streams are ended, other requests have a few seconds. When
another site is activated it begins anew with that one: streams and pages come back by themselves, sessions go on.
"""

import logging
import socket
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from contracts.clock import Clock
from contracts.portal import Portal
from contracts.site import Site
from rules.spec import Rule

from ..site.in_force import LOOK_EVERY_S, InForce
from ..site.kept import KeptSite
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
    site_sha256: str | None = None,
    listening: socket.socket | None = None,
) -> None:
    """Serves until `stop`. Raises NotServed: the key cannot be read, or the port is taken.

    banner: a word of viewer.words above every page. site_sha256: the site's name, as `app.site.record.keep` has it.
    listening: the socket to answer on; None: where site.yaml says. What that says of the portal itself holds until
    the process is started again.
    """
    settings = site.file.portal or Portal()
    if settings.host not in LOOPBACK and not (settings.public_url or "").startswith("https://"):
        log.warning("the portal listens on %s without TLS: passwords can be read on the way", settings.host)
    in_force, kept = InForce(state_dir, site_sha256, "the portal"), KeptSite(site_sha256 or "", site, rules)
    while kept is not None:
        app = _app(kept, state_dir, clock, site_dir, settings)
        kept = _serve(app, settings, stop, in_force, banner, listening)


def _app(kept: KeptSite, state_dir: Path, clock: Clock, site_dir: Path | None, settings: Portal) -> FastAPI:
    try:
        link_key = read_key(Path(settings.key_file)) if settings.key_file else None
    except (OSError, ValueError) as error:
        raise NotServed(f"portal.key_file: {error}") from error
    app = create_app(kept.site, kept.rules, state_dir, clock, site_dir=site_dir, settings=settings, link_key=link_key)
    if not app.state.centre.db.users():
        log.warning(
            "nobody can sign in yet: `greenisland user add NAME --role administrator --site %s --state %s`",
            site_dir or "SITE",
            state_dir,
        )
    return app


def _serve(
    app: FastAPI,
    settings: Portal,
    stop: threading.Event,
    in_force: InForce,
    banner: str,
    listening: socket.socket | None,
) -> KeptSite | None:
    """The site to begin anew with; None: told to stop."""
    from .viewer.mount import mount  # the pages' toolkit only where they are served

    centre, viewer = app.state.centre, mount(app, banner=banner)
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
    following: list[KeptSite] = []

    def ended() -> None:
        while not stop.wait(LOOK_EVERY_S):
            if (kept := in_force.changed()) is not None:
                following.append(kept)
                break
        centre.stop.set()
        server.should_exit = True

    threading.Thread(target=ended, name="portal-stop", daemon=True).start()
    try:
        server.run(None if listening is None else [listening.dup()])  # it closes what it is given
    except SystemExit as error:  # uvicorn's word for a port that is taken
        raise NotServed(f"the portal cannot listen on {settings.host}:{settings.port}: is the port taken?") from error
    finally:
        viewer.close()
        centre.close()
    return following[0] if following else None
