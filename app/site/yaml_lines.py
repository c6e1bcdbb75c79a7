"""YAML with line numbers, and validation errors in the words of whoever wrote the file.

Promises: every error names file, line, key and what would be right; all errors of a file come at once.
YAML is read as 1.2 reads it: `on`, `12:30` and `2026-01-31` stay text; a key written twice is an error.
"""

import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from contracts.nearest import suggestion

Loc = tuple[str | int, ...]
Model = typing.TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class SiteError:
    """One thing wrong in one place."""

    path: Path
    line: int | None
    key: str | None
    message: str

    def __str__(self) -> str:
        place = self.path.as_posix() if self.line is None else f"{self.path.as_posix()}:{self.line}"
        return ": ".join([place, *([self.key] if self.key else []), self.message])


class Lines:
    """Where the keys and items of a file stand: `lines(loc)` is the line of a pydantic location."""

    def __init__(self, lines: dict[Loc, int]):
        self._lines = lines

    def __call__(self, loc: Loc) -> int:
        return self._lines[self.place(loc)]

    def place(self, loc: Loc) -> Loc:
        """The longest part of a location that is in the file; pydantic puts the tags of unions in between."""
        best: Loc = ()

        def search(at: Loc, rest: Loc) -> None:
            nonlocal best
            if len(at) > len(best):
                best = at
            for skip in range(len(rest)):
                if (step := (*at, rest[skip])) in self._lines:
                    search(step, rest[skip + 1 :])

        search((), loc)
        return best


class SiteErrors(ValueError):
    """Everything wrong with the files read; its text has one line an error."""

    def __init__(self, errors: Iterable[SiteError]):
        self.errors = list(errors)
        super().__init__("\n".join(map(str, self.errors)))


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema. It says in words what is wrong."""


class _FastLoader(yaml.CSafeLoader):
    """The same in C, ten times as fast; what it refuses the other one explains."""


for _loader in (_Loader, _FastLoader):
    _loader.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("merge", r"^<<$", "<"),
    ):
        _loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
    # SafeLoader's own would read 010 as octal and refuse 1e3.
    _loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
    _loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


def read_yaml_with_lines(path: Path) -> tuple[object, Lines]:
    """The data of a YAML file, and line_of(loc): the line of the key or item at a pydantic location.

    Raises SiteErrors when the file cannot be read, is not YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SiteErrors([SiteError(path, None, None, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise SiteErrors([SiteError(path, None, None, "is not UTF-8 text; save it as UTF-8")]) from error
    try:
        return _read(_FastLoader(text), path)
    except yaml.YAMLError:
        pass  # the other one says what is wrong
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise SiteErrors([SiteError(path, None, None, f"is not text: {str(error).splitlines()[0]}")]) from error
    try:
        return _read(loader, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        said = f"is not YAML: {error.problem or error.context}"
        raise SiteErrors([SiteError(path, line, None, said + _yaml_hint(said))]) from error


def _read(loader: _Loader | _FastLoader, path: Path) -> tuple[object, Lines]:
    """Raises SiteErrors, yaml.YAMLError."""
    try:
        node = loader.get_single_node()
        if node is None:
            raise SiteErrors([SiteError(path, 1, None, "is empty")])
        lines, errors = _lines(node, path)
        if errors:
            raise SiteErrors(errors)
        return loader.construct_document(node), Lines(lines)
    finally:
        loader.dispose()


def _yaml_hint(said: str) -> str:
    """What is mostly wrong where YAML ends so."""
    if "\\t" in said:
        return "; indent with spaces, not with tabs"
    if "<block end>" in said or "mapping values are not allowed" in said:
        return "; look whether this line is indented like the others of its block"
    return ""


def _lines(root: yaml.Node, path: Path) -> tuple[dict[Loc, int], list[SiteError]]:
    """The line of every key and item by its location, and the keys written twice."""
    lines: dict[Loc, int] = {(): root.start_mark.line + 1}
    errors: list[SiteError] = []

    def walk(node: yaml.Node, loc: Loc, above: tuple[int, ...]) -> None:
        if id(node) in above:
            errors.append(SiteError(path, node.start_mark.line + 1, None, "an anchor holds itself"))
            return
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            for at, item in enumerate(node.value):
                lines[(*loc, at)] = item.start_mark.line + 1
                walk(item, (*loc, at), above)
        elif isinstance(node, yaml.MappingNode):
            first_line: dict[str, int] = {}
            for key, value in node.value:
                line, name = key.start_mark.line + 1, str(key.value)
                if key.tag.endswith(":merge"):
                    for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                        walk(merged, loc, above)
                    continue
                if name in first_line:
                    message = f"the key is written twice; it stands on line {first_line[name]} already"
                    errors.append(SiteError(path, line, _key((*loc, name)), message))
                first_line.setdefault(name, line)
                lines[(*loc, name)] = line
                walk(value, (*loc, name), above)

    walk(root, (), ())
    return lines, errors


def _key(loc: Loc) -> str:
    """rules[2].levels.orange"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def validate(
    model: type[Model], data: object, path: Path, line_of: Lines, missing: str = "is missing"
) -> tuple[Model | None, list[SiteError]]:
    """(the instance, []) or (None, every error in words)."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = [_in_words(model, each, path, line_of, missing) for each in error.errors(include_url=False)]
        return None, list(dict.fromkeys(found))  # a union tells the same story once per member


def _in_words(model: type[BaseModel], error: dict, path: Path, line_of: Lines, missing: str) -> SiteError:
    loc = error["loc"]
    if error["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, loc[:-1]))
        hint = suggestion(str(loc[-1]), known) or (f"; there are {', '.join(known)}" if known else "")
        return SiteError(path, line_of(loc), _key(line_of.place(loc)[:-1]), f"unknown key {str(loc[-1])!r}{hint}")
    if error["type"] == "missing":
        said = missing + _choices(model, loc)
        return SiteError(path, line_of(loc[:-1]), _key((*line_of.place(loc[:-1]), loc[-1])), said)
    if error["type"] == "union_tag_not_found":
        key = error["ctx"]["discriminator"].strip("'")
        return SiteError(path, line_of(loc), _key((*line_of.place(loc), key)), missing + _choices(model, (*loc, key)))
    said = words(error)
    key, colon, rest = said.partition(": ")
    if error["type"] == "value_error" and colon and line_of.place((*loc, key)) == (*line_of.place(loc), key):
        loc, said = (*loc, key), rest  # what a model says of one of its keys
    return SiteError(path, line_of(loc), _key(line_of.place(loc)), said)


_IDENTIFIER_FORM = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"


def words(error: dict) -> str:
    """What one pydantic error says to somebody who does not know pydantic."""
    got, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "value_error" | "assertion_error":
            return str(context["error"])
        case "literal_error":
            allowed = [part.strip("'") for part in re.split(r", | or ", context["expected"])]
            hint = suggestion(got, allowed) if isinstance(got, str) else ""
            return f"{got!r} is not one of {', '.join(allowed)}{hint}"
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "")
            return f"{context['tag']!r} is not one of {tags}{suggestion(context['tag'], tags.split(', '))}"
        case "string_pattern_mismatch":
            if context["pattern"].startswith("^[A-Za-z0-9][A-Za-z0-9_.-]"):
                return f"{got!r} is not an identifier: {_IDENTIFIER_FORM}"
            return f"{got!r} does not have the form {context['pattern']}"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{got!r} is not a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            number = re.match(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?)\s*[^0-9.,]", got) if isinstance(got, str) else None
            return f"{got!r} is not a number" + (f"; write {number[1]}, without a unit" if number else "")
        case "string_type":
            return f"{got!r} is not text; put it in quotes" if isinstance(got, int | float) else "is not text"
        case "bool_parsing" | "bool_type":
            return f"{got!r} is neither true nor false"
        case "date_parsing" | "date_from_datetime_parsing" | "date_type" | "date_from_datetime_inexact":
            return f"{got!r} is not a date; write 2026-01-31"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            bound = context.get("ge", context.get("gt", context.get("le", context.get("lt"))))
            relation = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
            return f"{got!r} is out of range; it must be {relation[next(iter(context))]} {bound}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be a block of keys"
        case "list_type" | "tuple_type":
            return "must be a list"
        case "too_short":
            return f"must have at least {context['min_length']} of them"
        case _:
            message = error["msg"]
            return message[:1].lower() + message[1:]


def _keys_at(model: type[BaseModel], loc: Loc) -> set[str]:
    """Every key the models reachable at a location know."""
    return {field.alias or name for each in _models_at(model, loc) for name, field in each.model_fields.items()}


def _choices(model: type[BaseModel], loc: Loc) -> str:
    """`; write one of hour, day`, where a missing key must be one of a few words."""
    fields = [each.model_fields[loc[-1]] for each in _models_at(model, loc[:-1]) if loc[-1] in each.model_fields]
    texts = list(dict.fromkeys(text for field in fields for text in _texts(field)))
    if not texts:  # version: 1
        literals = [field.annotation for field in fields if typing.get_origin(field.annotation) is typing.Literal]
        only = {str(arg) for literal in literals for arg in typing.get_args(literal)}
        return f"; write {only.pop()}" if len(only) == 1 else ""
    return f"; write one of {', '.join(texts)}"


def _models_at(model: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    models = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        inner = [each.model_fields[part].annotation for each in models if part in each.model_fields]
        tagged = [each for each in models if part in _tags(each)]
        if inner:
            models = [found for annotation in inner for found in _models_in(annotation)]
        elif tagged:
            models = tagged
    return models


def _tags(model: type[BaseModel]) -> set[str]:
    """Texts a model's Literal fields may hold: how a discriminated union names its members."""
    fields = model.model_fields.values()
    return {arg for field in fields if typing.get_origin(field.annotation) is typing.Literal for arg in _texts(field)}


def _texts(field: typing.Any) -> list[str]:
    return [arg for arg in typing.get_args(field.annotation) if isinstance(arg, str)]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for arg in typing.get_args(annotation) for model in _models_in(arg)]
