"""The sites a journal names, as their files were kept: loaded as they were, on whatever machine.

Promises: rules and tables come from the kept content; where the tables of this program differ, a note says so.
Does not promise: that the program's code decides as that of the release that ran then.
"""

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import polars as pl
from pydantic import ValidationError

from contracts.factors import Factor, standard_factors
from contracts.site import Site, ValidityOverride
from notify.telling.plan import TellPlan
from rules.base import RuleProblem
from rules.carried import Carried
from rules.plan import compile_plan
from rules.spec import Rule
from rules.tables.judgement import JUDGEMENT_FILE, Judgements, parse_judgements
from rules.tables.limit_library import LIBRARY_FILE
from rules.tables.validity import completeness, marks

from ..evidence.link import Broken
from ..pipeline import Pipeline
from ..texts.told import ToldTexts
from .files import SiteErrors, load_site
from .record import LIBRARY, tables
from .rule_files import compile_rules, load_rules

LINK = "site"


@dataclass(frozen=True)
class KeptSite:
    """A site and its rules, ready to decide."""

    name: str  # SHA-256 of its content, or the directory it was read from
    site: Site
    rules: list[Rule]
    kept_marks: pl.DataFrame | None = None  # null: this program's
    kept_judgements: Judgements | None = None  # null: this program's
    notes: Sequence[str] = field(default=())

    def pipeline(self, carried: Carried | None = None) -> Pipeline:
        """carried: of the state it is to go on with. Raises rules.carry.NotCarried."""
        made = Pipeline(self.site, self.rules, carried)
        if self.kept_marks is not None:
            made.plan = replace(made.plan, marks=self.kept_marks)
        if self.kept_judgements is not None:
            made.words = self.words(made.telling)
        return made

    def words(self, telling: TellPlan) -> ToldTexts:
        """What its notifications say."""
        return ToldTexts(self.site, telling, self.kept_judgements)

    @property
    def shown(self) -> str:
        return f"site {self.name[:12]}" if len(self.name) == 64 else f"the site in {self.name}"


def check_files(state_dir: Path) -> list[str]:
    """The hashes of all kept contents. Raises Broken for a file that is not what its name says."""
    found = []
    for path in sorted((state_dir / "sites").glob("*.json")):
        _content(path)
        found.append(path.stem)
    return found


def from_directory(directory: Path) -> KeptSite:
    """Raises SiteErrors."""
    site = load_site(directory)
    placed = load_rules(directory, site)
    compile_rules(site, placed)
    return KeptSite(str(directory), site, [one.rule for one in placed])


def from_kept(state_dir: Path, sha256: str) -> KeptSite:
    """The site as it was when it was activated. Raises Broken."""
    path = state_dir / "sites" / f"{sha256}.json"
    content = _content(path)
    shown = f"sites/{path.name}"
    with tempfile.TemporaryDirectory(prefix="greenisland-site-") as made:
        directory = Path(made)
        for name, text in content.items():
            at = PurePosixPath(name)
            if at.is_absolute() or ".." in at.parts:
                raise Broken(LINK, shown, f"holds a file named {name!r}, which is outside a site's directory")
            (directory / at).parent.mkdir(parents=True, exist_ok=True)
            (directory / at).write_text(text, encoding="utf-8")
        try:
            site = load_site(directory, directory / LIBRARY)
            placed = load_rules(directory, site, directory / LIBRARY)
            site, kept_marks, notes = _with_tables(site, content, sha256)
            words = content.get(LIBRARY + JUDGEMENT_FILE)
            kept_judgements = None if words is None else parse_judgements(words)
            # not checked as a site that is about to run is: what was activated once is loaded as it was
            compile_plan(site, [one.rule for one in placed])
        except (SiteErrors, RuleProblem, ValidationError) as errors:
            told = str(errors).replace(f"{made}/", "")
            raise Broken(LINK, shown, f"this program cannot load it: {told}") from errors
    return KeptSite(sha256, site, [one.rule for one in placed], kept_marks, kept_judgements, notes)


def _content(path: Path) -> dict[str, str]:
    shown = f"sites/{path.name}"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise Broken(LINK, shown, "is missing; the journal names it as a site that was activated") from None
    if (digest := hashlib.sha256(text).hexdigest()) != path.stem:
        raise Broken(LINK, shown, f"its content hashes to {digest}; a site's file must hash to its name")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Broken(LINK, shown, f"is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(one, str) for one in content.values()):
        raise Broken(LINK, shown, "is not an object of file names and texts")
    return content


def _with_tables(site: Site, content: dict[str, str], sha256: str) -> tuple[Site, pl.DataFrame | None, list[str]]:
    """The site deciding by the tables that were kept with it, and what there is to say about them."""
    notes, kept_marks = [], None
    for name, shipped in tables().items():
        kept, table = content.get(name), name.removeprefix(LIBRARY)
        if kept is None:
            notes.append(f"site {sha256[:12]} was kept without {table}: this program's table is used")
        elif kept != shipped:
            notes.append(f"{table} kept with site {sha256[:12]} differs from this program's: the kept one is used")
            rows = list(csv.DictReader(io.StringIO(kept, newline="")))
            if table == "validity.csv":
                site = _with_validity(site, rows)
            elif table == "factors.csv":
                site = _with_factors(site, rows)
            elif table == "marks.csv":
                kept_marks = _marks(rows)
            elif table in (LIBRARY_FILE, JUDGEMENT_FILE):
                pass  # read from the kept content where they are needed
            else:
                notes[-1] = f"{table} kept with site {sha256[:12]} differs from this program's, which is used"
    return site, kept_marks, notes


def _with_validity(site: Site, rows: list[dict[str, str]]) -> Site:
    """Kept rows stand before the site's own, which replace them as they replace the library's."""

    def override(medium: str, period: str, need: int, of: int, clause: str) -> ValidityOverride:
        return ValidityOverride.model_validate(
            {"medium": medium, "period": period, "need": need, "of": of, "clause": clause}
        )

    kept = [override(row["medium"], row["period"], int(row["need"]), int(row["of"]), row["clause"]) for row in rows]
    known = {(row.medium, row.period) for row in (*kept, *site.file.validity)}
    # where there is no row, one valid part is enough
    gained = [override(*key, 1, 1, "not in the kept table") for key in completeness(site) if key not in known]
    file = site.file.model_copy(update={"validity": (*gained, *kept, *site.file.validity)})
    return site.model_copy(update={"file": file})


def _marks(rows: list[dict[str, str]]) -> pl.DataFrame:
    """As rules.tables.validity.marks reads its own table."""
    frame = pl.DataFrame(
        {"mark": [row["mark"] for row in rows], "mark_valid": [row["valid"] == "yes" for row in rows]},
        schema=marks().schema,
    )
    return frame.unique("mark", keep="first", maintain_order=True)


def _with_factors(site: Site, rows: list[dict[str, str]]) -> Site:
    """Kept rows in place of the program's, except where the site has its own."""
    shipped = standard_factors()
    own = {code: factor for code, factor in site.factors.items() if shipped.get(code) != factor}
    kept = {
        row["code"]: Factor(row["code"], row["name_zh"], row["name_en"], row["unit"], int(row["decimals"]))
        for row in rows
    }
    pipelines = {code: factor for code, factor in shipped.items() if code.startswith("$")}
    return site.model_copy(update={"factors": pipelines | kept | own})
