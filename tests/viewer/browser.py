"""Headless Chromium from Debian's package; pages that remember what they asked for and what went wrong on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from .centre import PASSWORD

ARTEFACTS = Path(__file__).resolve().parents[2] / "ci-artefacts"
# every panel is drawn or says why not, and what is a chart has come onto the screen
SETTLED = """() => {
  const all = [...document.querySelectorAll("[data-state]")];
  const isThere = (one) => one.dataset.state !== "loading" &&
    (one.dataset.state !== "drawn" || one.dataset.painted || !one.querySelector(".gi-chart"));
  return all.length > 0 && all.every(isThere);
}"""
# what Playwright turns off (a later list replaces its own), and pages of its own that Chromium loads beside ours
WITHOUT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,"
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,OptimizationHints,NetworkTimeServiceQuerying,"
    "AimEnabled,PreconnectToSearch,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"
)
WIDE, NARROW = (1920, 1080), (390, 844)


@dataclass
class Visitor:
    """A person's browser. `leave` checks what no page may do."""

    url: str
    browser: Browser
    name: str
    size: tuple[int, int] = WIDE
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        width, height = self.size
        self.context = self.browser.new_context(
            viewport={"width": width, "height": height}, locale="en-GB", reduced_motion="reduce"
        )
        answer = self.context.request.post(f"{self.url}/api/v1/session", data={"name": self.name, "password": PASSWORD})
        assert answer.ok, answer.text()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", lambda said: said.type == "error" and self.wrong.append(f"{page.url}: {said.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        return page

    def open(self, path: str) -> Page:
        page = self.tab()
        page.goto(self.url + path)
        page.wait_for_function(SETTLED, timeout=30_000)
        return page

    def leave(self) -> None:
        for page in self.context.pages:
            page.close()
        asked, wrong = self.asked[:], self.wrong[:]
        self.asked.clear()
        self.wrong.clear()
        here = (self.url, self.url.replace("http", "ws", 1), "data:", "blob:")
        assert [one for one in asked if not one.startswith(here)] == []
        assert wrong == []


@contextmanager
def chromium(require_program: Any) -> Iterator[Browser]:
    """Runs an event loop in this thread until it is left: nothing else of asyncio works meanwhile."""
    path = require_program("chromium")
    with sync_playwright() as playwright:
        args = ["--no-sandbox", f"--disable-features={WITHOUT}"]
        browser = playwright.chromium.launch(executable_path=path, args=args)
        try:
            yield browser
        finally:
            browser.close()


def shoot(page: Page, name: str) -> None:
    """Keeps what a page looks like, for people."""
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"viewer-{name}.png")
