"""Strict reading of TOML: every key known, every number in range, and one line that says what would be right.

A `Section` hands out values and remembers what was asked for; `close` then refuses whatever is left over.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from col.errors import InputError

__all__ = ["MOST_BYTES", "Section", "limits", "parse_toml", "read_numbers", "write_toml"]

Record = TypeVar("Record")

_IDENTIFIER = re.compile(r"[A-Za-z0-9_]+(\[\d+\])?")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_LONGEST_SHOWN = 60
MOST_BYTES = 8_000_000
"""A longer document is refused unread: the largest that is ever written, of 10,000 gNBs, has half of that."""


def parse_toml(data: bytes, source: str) -> Section:
    """Parse a TOML document; raise InputError where it is not one."""
    if len(data) > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES // 1_000_000} MB; that is no scenario", source=source)
    try:
        return Section(tomllib.loads(data.decode("utf-8")), source)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", source=source) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {_one_line(str(error))}", source=source) from error
    except (RecursionError, ValueError, OverflowError) as error:
        raise InputError(f"not a TOML document that can be read ({type(error).__name__})", source=source) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(value: Any) -> Any:
    """Return something whose repr is one short line."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return value
    try:
        text = _one_line(str(value))
    except ValueError:  # an integer of too many digits to print
        text = "a very large integer"
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


class Section:
    """One table of a document, with its place in it."""

    def __init__(self, values: Mapping[str, Any], source: str, path: tuple[str, ...] = ()) -> None:
        """Take the raw table; `source` is the file and `path` the keys that lead here."""
        self._values, self.source, self._path = values, source, path
        self._asked: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def key(self, name: str = "") -> str:
        """Return the dotted key of an entry, or of the section itself."""
        parts = (*self._path, name) if name else self._path
        return ".".join(part if _IDENTIFIER.fullmatch(part) else json.dumps(_shown(part)) for part in parts)

    def fail(self, name: str, message: str, value: Any = None) -> InputError:
        """Return the error that says where the fault is and what would be right."""
        return InputError(
            message, source=self.source, key=self.key(name), value=None if value is None else _shown(value)
        )

    def inner(self, path: Sequence[str]) -> Section:
        """Return the place that the keys of `path` lead to from here, for an error message; it has no values."""
        return Section({}, self.source, (*self._path, *path))

    def raw(self) -> dict[str, Any]:
        """Return a copy of the table itself, its inner tables shared."""
        return dict(self._values)

    def section(self, name: str, *, optional: bool = False) -> Section:
        """Return a sub-table; an empty one where it is optional and missing."""
        self._asked[name] = None
        value = self._values.get(name, {} if optional else None)
        if value is None:
            raise self.fail(name, "missing table")
        if not isinstance(value, dict):
            raise self.fail(name, f"must be a table, written [{self.key(name)}]", value)
        return Section(value, self.source, (*self._path, name))

    def sections(self, name: str) -> Iterator[tuple[str, Section]]:
        """Yield the named sub-tables of a table of tables; each name is an identifier, and there is at least one."""
        inside = self.section(name)
        if not inside._values:
            raise self.fail(name, "needs at least one entry")
        for entry in inside._values:
            if not _NAME.fullmatch(entry):
                raise inside.fail(entry, "a name must be letters, digits and underscores")
            yield entry, inside.section(entry)

    def tables(self, name: str) -> tuple[Section, ...]:
        """Return the tables of an array of tables, none where it is missing."""
        self._asked[name] = None
        value = self._values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.fail(name, f"must be an array of tables, each written [[{self.key(name)}]]", value)
        return tuple(Section(entry, self.source, (*self._path, f"{name}[{k}]")) for k, entry in enumerate(value))

    def has_table(self, name: str) -> bool:
        """Return whether there is a sub-table of that name; it then counts as asked for."""
        there = isinstance(self._values.get(name), dict)
        if there:
            self._asked[name] = None
        return there

    def expect(self, keys: Iterable[str]) -> None:
        """Count keys as known, so that a wrong one is compared with them."""
        self._asked.update(dict.fromkeys(keys))

    def names(self) -> tuple[str, ...]:
        """Return the keys of the table, whatever they are; each must be letters, digits and underscores."""
        for entry in self._values:
            if not _NAME.fullmatch(entry):
                raise self.fail(entry, "a name must be letters, digits and underscores")
        return tuple(self._values)

    def missing(self, name: str) -> InputError:
        """Return the error that an entry is missing, with the key that was probably meant for it."""
        near = self._nearest(name, [key for key in self._values if key not in self._asked])
        return self.fail(name, "missing" + (f"; {self.key(near)!r} is not this key" if near else ""))

    def _value(self, name: str, default: Any) -> Any:
        self._asked[name] = None
        value = self._values.get(name, default)
        if value is None:
            raise self.missing(name)
        return value

    def number(
        self,
        name: str,
        *,
        lower: float = -math.inf,
        upper: float = math.inf,
        above: float | None = None,
        default: float | None = None,
    ) -> float:
        """Return a finite number in [lower, upper], or greater than `above`."""
        value = self._value(name, default)
        limits = _limits(lower, upper, above)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(name, f"must be a number{_unit_hint(name)}{limits}", value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.fail(name, f"must be a finite number{limits}", value)
        if not lower <= number <= upper or (above is not None and not number > above):
            raise self.fail(name, f"must be{limits or ' another number'}", value)
        return number

    def integer(self, name: str, *, lower: int, upper: int, default: int | None = None) -> int:
        """Return an integer in [lower, upper]."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(name, f"must be a whole number from {lower} to {upper}", value)
        if not lower <= value <= upper:
            raise self.fail(name, f"must lie in {lower} to {upper}", value)
        return value

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a text that is not empty, on one line."""
        value = self._value(name, default)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(name, "must be a text in quotes", value)
        return _one_line(value)

    def choice(self, name: str, options: Sequence[str], *, default: str | None = None) -> str:
        """Return a text that is one of the options."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in options:
            near = difflib.get_close_matches(str(_shown(value)), options, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.fail(name, f"must be one of {', '.join(options)}{hint}", value)
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false", value)
        return value

    def numbers(
        self,
        name: str,
        *,
        lower: float = -math.inf,
        upper: float = math.inf,
        above: float | None = None,
        default: Sequence[float] | None = None,
    ) -> tuple[float, ...]:
        """Return a list of finite numbers, each in the limits of `number`."""
        value = self._value(name, None if default is None else list(default))
        if not isinstance(value, list):
            raise self.fail(name, "must be a list of numbers, [1.0, 2.0]", value)
        items = Section({f"{name}[{k}]": item for k, item in enumerate(value)}, self.source, self._path)
        return tuple(items.number(key, lower=lower, upper=upper, above=above) for key in items._values)

    def texts(self, name: str, *, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of texts, none of them empty."""
        value = self._value(name, None if default is None else list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.fail(name, 'must be a list of texts, ["a", "b"]', value)
        return tuple(_one_line(item) for item in value)

    def pair(self, name: str, *, lower: float, upper: float) -> tuple[float, float]:
        """Return a list of two finite numbers in [lower, upper], the first below the second."""
        value = self._value(name, None)
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(name, "must be a list of two numbers, [low, high]", value)
        ends = Section({"low": value[0], "high": value[1]}, self.source, (*self._path, name))
        low, high = (ends.number(end, lower=lower, upper=upper) for end in ("low", "high"))
        if not low < high:
            raise self.fail(name, "the first number must be below the second", value)
        return low, high

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return a list of pairs of names, empty where the key is missing."""
        value = self._value(name, [])
        good = isinstance(value, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair) for pair in value
        )
        if not good:
            raise self.fail(name, "must be a list of pairs of names, [[from, to], ...]", value)
        return tuple((tail, head) for tail, head in value)

    def close(self) -> None:
        """Raise InputError if the table holds a key that nobody asked for, with the nearest known one."""
        for key in self._values:
            if key not in self._asked:
                near = self._nearest(key, list(self._asked))
                known = f"did you mean {near}?" if near else f"known here: {', '.join(self._asked) or 'none'}"
                raise self.fail(key, f"unknown key; {known}")

    @staticmethod
    def _nearest(key: str, known: Sequence[str]) -> str:
        """Return the known key that was probably meant: same stem with another unit, else similar spelling."""
        stem = key.rsplit("_", 1)[0]
        for other in known:
            if "_" in other and other.rsplit("_", 1)[0] in (stem, key):
                return other
        return next(iter(difflib.get_close_matches(key, known, n=1)), "")


def limits(*, lower: float | None = None, upper: float | None = None, above: float | None = None) -> dict[str, float]:
    """Return the metadata of a dataclass field that `read_numbers` checks against."""
    given = {"lower": lower, "upper": upper, "above": above}
    return {name: value for name, value in given.items() if value is not None}


def read_numbers(record: type[Record], section: Section, **given: Any) -> Record:
    """Read a dataclass whose keys are its fields, all numbers, and close the section.

    A field's metadata holds its limits (at least zero where it has none) and its default makes the key optional; fields
    in `given` are not read. InputError from the dataclass itself is placed in the section.
    """
    values = dict(given)
    for f in fields(record):  # type: ignore[arg-type]
        if f.name in given:
            continue
        default = None if f.default is MISSING else f.default
        if f.type in ("int", int):
            values[f.name] = section.integer(f.name, lower=0, upper=1_000_000, default=default)
        else:
            values[f.name] = section.number(f.name, default=default, **(dict(f.metadata) or {"lower": 0.0}))
    section.close()
    try:
        return record(**values)
    except InputError as error:
        raise section.fail(error.key, error.message, error.value) from error


def _limits(lower: float, upper: float, above: float | None) -> str:
    if above is not None:
        return f" above {above:g}" + (f", at most {upper:g}" if math.isfinite(upper) else "")
    if math.isfinite(lower) and math.isfinite(upper):
        return f" in {lower:g} to {upper:g}"
    if math.isfinite(lower):
        return f" of at least {lower:g}"
    return f" of at most {upper:g}" if math.isfinite(upper) else ""


def _unit_hint(name: str) -> str:
    unit = name.rsplit("_", 1)[-1]
    units = {
        "s": "seconds", "ms": "ms", "mbps": "Mbit/s", "cores": "cores", "w": "W", "db": "dB", "dbm": "dBm",
        "bytes": "bytes", "gb": "GB", "mb": "MB", "prb": "PRBs", "ghz": "GHz", "hz": "Hz", "m": "m",
    }  # fmt: skip
    return f" of {units[unit]}, without a unit" if unit in units else ""


def write_toml(document: Mapping[str, Any]) -> str:
    """Return a nested mapping of texts, numbers, lists, tables and lists of tables as TOML, in the mapping's order."""
    lines: list[str] = []
    _write_table(document, (), lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str], *, item: bool = False) -> None:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    plain = {key: value for key, value in table.items() if key not in inner}
    if item:
        lines += ["", f"[[{'.'.join(path)}]]"]
    elif path and plain:
        lines += ["", f"[{'.'.join(path)}]"]
    lines += [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in inner.items():
        if isinstance(value, Mapping):
            _write_table(value, (*path, key), lines)
        else:
            for entry in value:
                _write_table(entry, (*path, key), lines, item=True)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _toml_value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
