"""The sites a journal activates one after another: each decides from its `$site` row on.

Promises: which site decides a row depends on the journal alone, not on how it is cut, nor on live, recovery or replay.
A row that names a site that cannot go on with this state, or cannot be had, changes nothing and is said in the log.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
import polars as pl

from contracts import topics
from contracts.records import decode
from contracts.site import Site
from notify.cases.follow import Followed
from notify.telling.planned import Told

from .evidence.link import Broken
from .pipeline import Pipeline, PipelineState, Span
from .service.checkpoint import fingerprint
from .site.kept import KeptSite
from .site.record import ACTIVATE

log = logging.getLogger(__name__)

# of site.yaml, what only decisions depend on
ENGINE_KEYS = {"library", "hold_s", "lateness", "max_future_s", "max_age", "max_payload_bytes", "validity", "tick_s"}
REGISTRY = ("factors", "counties", "parks", "enterprises", "outlets", "stations", "points", "pairs", "facilities")
NAMED_MAX = 50  # of what was given up, in the log; all of it is in the records of what ended

Load = Callable[[str], KeptSite | None]


def made_for(kept: KeptSite) -> str:
    """Fingerprint of what decides: two sites of one fingerprint decide the same."""
    if kept.kept_marks is None:
        return fingerprint(kept.site, kept.rules)
    return fingerprint(kept.site, kept.rules, kept.kept_marks.rows())


def cannot_follow(now: Site, other: Site) -> str | None:
    """Why a state of the one cannot become one of the other; None: it can."""
    if now.file.collectors != other.file.collectors:
        return f"its collectors are {', '.join(other.file.collectors)}, not {', '.join(now.file.collectors)}"
    if now.time_zone != other.time_zone:
        return f"its time zone is {other.time_zone}, not {now.time_zone}: every day would begin at another time"
    return None


def needs_restart(now: Site, other: Site) -> list[str]:
    """What of another site the parts beside the engine have read when they were started; empty: nothing.

    Rules, limits, thresholds, contracts, routes, holds and completeness are the engine's alone.
    """
    file = [name for name in type(now.file).model_fields if name not in ENGINE_KEYS]
    found = [f"site.yaml: {name}" for name in file if getattr(now.file, name) != getattr(other.file, name)]
    return found + [f"registry: {name}" for name in REGISTRY if getattr(now, name) != getattr(other, name)]


class Sites:
    """Pipelines by the site a state is of. One at a time is held, with the state it belongs to."""

    def __init__(self, first: KeptSite, load: Load = lambda _: None):
        """first: decides until a row names another one. load: a site by the hash of its content; None: not to be had,
        its row is passed over; Broken: not yet, nothing after its row is decided."""
        self.first, self._load = first, load
        self._known = {first.name: first}
        self._made_for: dict[str, str] = {}
        self._held: tuple[str, int, Pipeline] | None = None  # site, turns before it
        self._said: set[tuple[str, str]] = set()

    def site(self, state: PipelineState) -> KeptSite:
        return self._known[state.site or self.first.name]

    def made_for(self, name: str | None) -> str | None:
        """Fingerprint of a site; None where it is not to be had."""
        name = name or self.first.name
        if name not in self._made_for:
            if (kept := self._find(name)) is None:
                return None
            self._made_for[name] = made_for(kept)
        return self._made_for[name]

    def pipeline(self, state: PipelineState) -> Pipeline:
        """Raises rules.carry.NotCarried where the state is not one of its site, as compiled by this program."""
        name, turns = state.site or self.first.name, 0 if state.carried is None else len(state.carried.turns)
        if self._held is None or self._held[:2] != (name, turns):
            self._held = (name, turns, self._known[name].pipeline(state.carried))
        return self._held[2]

    def sections(self, state: PipelineState, messages: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """MESSAGES in feed order, cut before each row from which another site decides. To be stepped one by one."""
        while messages.height:
            end = self._end(state, messages)
            yield messages[:end]
            messages = messages[end:]

    def step(self, state: PipelineState, section: pl.DataFrame) -> Span:
        """One section, decided by the site that holds from its beginning on."""
        state.site = state.site or self.first.name
        if section.height and (kept := self._activated(state, section)) is not None:
            self._follow(state, kept)
        return self.pipeline(state).step(state, section)

    def _end(self, state: PipelineState, messages: pl.DataFrame) -> int:
        """Up to where one site decides: the first of the instant of the next row that names another one."""
        holds = self._activated(state, messages) or self.site(state)
        received_at = messages["received_at"]
        for at, name in self._named(messages.filter(pl.col("received_at") > received_at[0])):
            try:
                is_next = self._follows(holds, name) is not None
            except Broken:
                is_next = True  # up to there everything can be decided
            if is_next:
                return int(received_at.search_sorted(at, side="left"))  # type: ignore[arg-type]
        return messages.height

    def _activated(self, state: PipelineState, messages: pl.DataFrame) -> KeptSite | None:
        """The site that the first instant of the messages makes hold; None: the one that did before."""
        found, first_at = None, messages["received_at"][0]
        for _, name in self._named(messages.filter(pl.col("received_at") == first_at)):
            if (kept := self._follows(found or self.site(state), name)) is not None:
                found = kept
        return found

    def _follows(self, holds: KeptSite, name: str) -> KeptSite | None:
        """The site of that name, if it takes over from the one that holds."""
        if name == holds.name:
            return None
        if (kept := self._find(name)) is None:
            return None
        if (why := cannot_follow(holds.site, kept.site)) is not None:
            self._say(
                name[:12], f"cannot take over, {holds.shown} goes on: {why}; it needs a state directory of its own"
            )
            return None
        return kept

    def _find(self, name: str) -> KeptSite | None:
        if name not in self._known:
            if (kept := self._load(name)) is None:
                return None
            self._known[name] = kept
        return self._known[name]

    def forget(self, names: Iterable[str]) -> None:
        """They are to be loaded when they are named again."""
        for name in names:
            self._known.pop(name, None)
            self._made_for.pop(name, None)

    def _follow(self, state: PipelineState, kept: KeptSite) -> None:
        before, was = self.pipeline(state), self.site(state)
        if self.made_for(kept.name) == self.made_for(was.name):
            state.site = kept.name  # other words, the same decisions
            before.words = kept.words(before.telling)
            self._held = (kept.name, self._held[1], before) if self._held else None
            return
        pipeline = kept.pipeline()
        over = pipeline.take_over(before, state)
        state.site = kept.name
        self._held = (kept.name, 0 if state.carried is None else len(state.carried.turns), pipeline)
        if over is None:
            return
        log.info("%s takes over from %s: %d rules go on, %d begin", kept.shown, was.shown, over.kept, over.new)
        for one in over.gone[:NAMED_MAX]:
            ended = "; its open alert ends without an all-clear" if one.episode else ""
            log.warning("%s begins anew: %s %s: %s%s", kept.shown, one.what, one.name, one.why, ended)
        if len(over.gone) > NAMED_MAX:
            log.warning(
                "%s: %d more points and rules begin anew or are no more", kept.shown, len(over.gone) - NAMED_MAX
            )

    def _named(self, messages: pl.DataFrame) -> list[tuple[datetime, str]]:
        """(received_at, name) of the rows that activate a site; one that cannot be read is left out."""
        found = []
        rows = messages.filter(pl.col("topic") == topics.JOURNAL_SITE)
        for at, payload in rows.select("received_at", "payload").iter_rows():
            try:
                record = decode(payload)
                if record.action == ACTIVATE:
                    found.append((at, record.body["sha256"]))
            except (msgspec.DecodeError, KeyError) as error:
                self._say(f"row of {at.isoformat()}", f"cannot be read and changes nothing: {error}")
        return found

    def _say(self, name: str, said: str) -> None:
        if (name, said) not in self._said:
            self._said.add((name, said))
            log.error("$site %s %s", name, said)


def together(spans: Sequence[Span]) -> Span:
    """What several sections made, as one: for comparing. Decisions are left out: their numbers are of several plans."""
    if len(spans) == 1:
        return spans[0]
    counts: dict[str, int] = {}
    for span in spans:
        for name, n in span.counts.items():
            counts[name] = counts.get(name, 0) + n
    tables = ("readings", "rejects", "events", "aggregates", "verdicts")
    return Span(
        **{name: pl.concat([getattr(span, name) for span in spans]) for name in tables},
        transitions=[row for span in spans for row in span.transitions],
        counts=counts,
        clock_from=spans[0].clock_from,
        clock_to=spans[-1].clock_to,
        notifications=[one for span in spans for one in span.notifications],
        told=Told(
            planned=[one for span in spans for one in span.told.planned],
            held=[one for span in spans for one in span.told.held],
            care=[one for span in spans for one in span.told.care],
            actions=[one for span in spans for one in span.told.actions],
        ),
        cases=Followed(
            rows=[one for span in spans for one in span.cases.rows],
            planned=[one for span in spans for one in span.cases.planned],
        ),
    )
