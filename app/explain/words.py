"""Numbers, instants and lists of parts as an inspector reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from contracts.civil_time import local
from contracts.reasons import Invalid, NoJudgement

from .parts import COUNTED_OUT, SAID_INVALID, Change, Part, Parts, gaps, mark_words

WHY: dict[str, str] = {
    NoJudgement.NO_DATA: "nothing received",
    NoJudgement.TOO_FEW_VALID: "too few valid values",
    NoJudgement.ALL_MARKED: "values received, none of them valid by mark or range",
    NoJudgement.NO_LIMIT: "no limit is configured for this outlet, factor and period",
    NoJudgement.O2_MISSING: "no valid O2 for the same window, so it cannot be converted",
    NoJudgement.O2_NEAR_21: "O2 is so near 21 % that the conversion diverges",
    NoJudgement.SIGNAL_MISSING: "one of the signals it is made of is missing or not valid",
    NoJudgement.FLOW_MISSING: "no valid flow for the same window, so nothing can be weighted by it",
    NoJudgement.OVER_RANGE: "what is missing for a judgement is over the instrument's range",
    NoJudgement.CONDITION_UNKNOWN: "the limit holds under a condition that was not measured",
    NoJudgement.MEMBERS_MISSING: "some of what it is the sum of is missing or not valid",
    NoJudgement.WIND_UNKNOWN: "the wind's direction was not measured",
    NoJudgement.WIND_ELSEWHERE: "the wind does not blow from there",
    NoJudgement.NOT_COMPUTABLE: "what is computed is no finite number",
    NoJudgement.NOT_APPLICABLE: "a condition of the rule or limit is not met",
    NoJudgement.EXCUSED_BY_MARK: "beyond it, but marked with a reason that excuses it",
    NoJudgement.EXCUSED_BY_STOP: "beyond it, but during an approved stop",
    NoJudgement.NOT_STOPPED: "the rule looks at approved stops alone, and none covers the whole window",
    NoJudgement.NO_DISCHARGE: "nothing was discharged in the whole window",
    COUNTED_OUT: "counted out otherwise than by its own mark or range",
    SAID_INVALID: "said to be invalid by people (a mark they made, a failed check)",
}


@dataclass
class Step:
    """One step of the derivation: sentences for people, the same facts for scripts."""

    title: str
    lines: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


def number(scaled: object, decimals: object) -> str:
    """A scaled integer in full, without trailing zeros."""
    if scaled is None:
        return "-"
    text = f"{Decimal(int(str(scaled))).scaleb(-int(str(decimals))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_unit(text: str, unit: object) -> str:
    """The number with its unit; a plain number (pH, a count) has none."""
    return text if unit == "1" else f"{text} {unit}"


def quotient(numerator: int, denominator: int, decimals: int) -> str:
    """numerator / denominator in 10^-decimals: in full where it ends in twelve digits, else cut with an ellipsis."""
    exact = Fraction(numerator, denominator) / 10**decimals
    digits = exact * 10**12
    text = number(int(abs(digits)), 12)
    sign = "-" if exact < 0 else ""
    return f"{sign}{text}" if digits.denominator == 1 else f"{sign}{text}..."


def shortened(items: Sequence[str], first: int, last: int, what: str) -> list[str]:
    """The first and the last of a long list, and how many lie between."""
    if len(items) <= first + last + 1:
        return list(items)
    return [*items[:first], f"... {len(items) - first - last} more {what} ...", *items[-last:]]


class Times:
    """Civil times of the site, short within the window's day."""

    def __init__(self, zone: str, first_at: datetime):
        self._zone, self._day = zone, local(first_at, zone).date()

    def at(self, at: datetime) -> str:
        there = local(at, self._zone)
        clock = f"{there:%H:%M}" if not (there.second or there.microsecond) else f"{there:%H:%M:%S}"
        return clock if there.date() == self._day else f"{there:%m-%d} {clock}"

    def full(self, at: datetime) -> str:
        there = local(at, self._zone)
        return f"{there:%Y-%m-%d %H:%M:%S}" if there.second else f"{there:%Y-%m-%d %H:%M}"

    def iso(self, at: datetime) -> str:
        return local(at, self._zone).isoformat()

    def stretch(self, parts: Sequence[Part]) -> str:
        first, last = self.at(parts[0].at), self.at(parts[-1].at)
        return first if len(parts) == 1 else f"{first} to {last}"


def why_not(part: Part, about: dict[str, object]) -> str:
    """Why a part does not count, in words. about: the point's row of POINTS."""
    if part.why in (Invalid.MARKED, Invalid.MARK_UNKNOWN):
        return f"mark {mark_words(str(part.mark))}"
    if part.why == Invalid.OUT_OF_RANGE:
        bounds = [
            f"{word} {about[key]:g}"
            for word, key in (("from", "range_min"), ("to", "range_max"))
            if about[key] is not None
        ]
        return f"outside the instrument's range ({' '.join(bounds)})"
    return WHY[part.why] if part.why else "no value"


def listed(
    parts: Parts, times: Times, decimals: int, unit: str, window: tuple[datetime, int], about: dict[str, object]
) -> Iterator[str]:
    """Condensed: stretches of neighbours that count, or do not for the same reason, and what is not there."""
    rows: list[tuple[datetime, str]] = []

    def alike(part: Part) -> tuple[object, ...]:
        return part.counts, part.why, part.mark, part.is_present

    end_at: datetime | None = None
    stretches: list[list[Part]] = []
    for part in parts.parts:
        joined = stretches and end_at == part.at and alike(stretches[-1][-1]) == alike(part)
        if joined:
            stretches[-1].append(part)
        else:
            stretches.append([part])
        end_at = part.at + timedelta(seconds=parts.every_s)
    for stretch in stretches:
        rows.append((stretch[0].at, f"{times.stretch(stretch)}: {_said(stretch, parts, decimals, unit, about)}"))
    for from_at, to_at in gaps(parts, *window):
        rows.append((from_at, f"{times.at(from_at)} up to {times.at(to_at)}: nothing received"))
    for _, text in sorted(rows):
        yield text


def _said(stretch: list[Part], parts: Parts, decimals: int, unit: str, about: dict[str, object]) -> str:
    what = "value" if parts.of is None else parts.of.replace("five_minute", "5-minute") + " window"
    n = f"{len(stretch)} {what}{'' if len(stretch) == 1 else 's'}"
    numbers = sorted(part.scaled for part in stretch if part.scaled is not None)
    span = ""
    if numbers:
        low, high = number(numbers[0], decimals), number(numbers[-1], decimals)
        span = f", {in_unit(low if low == high else f'{low} to {high}', unit)}"
    if stretch[0].counts:
        return f"{n}{span}: count"
    return f"{n}{span}: do not count, {why_not(stretch[0], about)}"


def every(
    parts: Parts, times: Times, decimals: int, unit: str, window: tuple[datetime, int], about: dict[str, object]
) -> Iterator[str]:
    """One line a part."""
    rows = [(part.at, _one(part, times, decimals, unit, about)) for part in parts.parts]
    for from_at, to_at in gaps(parts, *window):
        rows.append((from_at, f"{times.at(from_at)} up to {times.at(to_at)}: nothing received"))
    for part in parts.replaced:
        rows.append((part.at, _one(part, times, decimals, unit, about) + "; replaced by a later one"))
    for _, text in sorted(rows, key=lambda row: row[0]):
        yield text


def _one(part: Part, times: Times, decimals: int, unit: str, about: dict[str, object]) -> str:
    value = "no value" if part.scaled is None else in_unit(number(part.scaled, decimals), unit)
    if part.valid is not None:
        value += f" ({part.valid[0]} of {part.valid[1]} valid, revision {part.revision})"
    counts = "counts" if part.counts else f"does not count, {why_not(part, about)}"
    evidence = ""
    if part.received_at is not None and part.message is not None:
        evidence = f"; received {times.at(part.received_at)}, message {part.message.hex()}"
    return f"{times.at(part.at)}: {value}, {counts}{evidence}"


def changed_lines(changes: Sequence[Change], of: str | None, times: Times, decimals: int) -> Iterator[str]:
    """What became of inputs between two decisions: what came, what was rewritten, what was marked."""
    what = "value" if of is None else f"{of} window"
    came = [change.now for change in changes if change.before is None and change.now is not None]
    came += [change.now for change in changes if change.before and change.now and not change.before.is_present]
    if came:
        stretch = times.stretch(sorted(came, key=lambda part: part.at))
        receipts = [part.received_at for part in came if part.received_at is not None]
        ends = list(dict.fromkeys([times.at(min(receipts)), times.at(max(receipts))])) if receipts else []
        received = f", received {' to '.join(ends)}" if ends else ""
        yield f"{len(came)} {what}{'' if len(came) == 1 else 's'} came late ({stretch}{received})"
    marked, rewritten = [], []
    for change in changes:
        was, now = change.before, change.now
        if was is None or now is None or not was.is_present:
            continue
        if was.scaled == now.scaled and was.mark != now.mark:
            marked.append(f"{times.at(now.at)} mark {was.mark or 'none'} -> {now.mark or 'none'}")
            continue
        said = f"{times.at(now.at)} {number(was.scaled, decimals)} -> {number(now.scaled, decimals)}"
        if now.valid and was.valid and now.valid != was.valid:
            said += f" ({was.valid[0]} -> {now.valid[0]} of {now.valid[1]} valid)"
        rewritten.append(said)
    for word, its in (("rewritten", rewritten), ("marked otherwise", marked)):
        if its:
            more = f" and {len(its) - 5} more" if len(its) > 5 else ""
            yield f"{len(its)} {what}{'' if len(its) == 1 else 's'} {word}: {'; '.join(its[:5])}{more}"


def as_facts(part: Part, times: Times, decimals: int) -> dict[str, object]:
    return {
        "at": times.iso(part.at),
        "value": None if part.scaled is None else number(part.scaled, decimals),
        "counts": part.counts,
        "why": part.why,
        "mark": part.mark,
        "revision": part.revision,
        "valid_n": part.valid[0] if part.valid else None,
        "expected_n": part.valid[1] if part.valid else None,
        "received_at": times.iso(part.received_at) if part.received_at else None,
        "message": part.message.hex() if part.message else None,
    }
