"""Any frozen dataclass as a table of a document: read strictly by the types of its fields, and written back.

Fields may be float, int, bool, str, a StrEnum, a Literal of texts, one of these or None, a tuple of numbers or texts,
another dataclass (a sub-table), a tuple of dataclasses (an array of tables) or a mapping from names to numbers, texts
or dataclasses. A default makes the key optional. Numbers keep to the limits in the field's metadata
(`twin.strict.limits`), and are zero or above where it has none.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from col.errors import InputError
from twin.strict import Section

__all__ = ["read_record", "record_table"]

Record = TypeVar("Record")
_MOST_WHOLE = 1_000_000


def read_record(kind: type[Record], section: Section) -> Record:
    """Read the table as a record of that type and close it.

    Raises:
        InputError: a key is unknown, missing, or has a value of another type or out of its limits; what the dataclass
            itself refuses (its InputError names a field) is placed in the table.
    """
    hints = _hints(kind)  # type: ignore[arg-type]  # a class can be hashed
    values: dict[str, Any] = {}
    wanted: list[Field[Any]] = [f for f in fields(kind) if f.init]  # type: ignore[arg-type]  # records only
    section.expect(f.name for f in wanted)
    section.close()
    for f in wanted:
        if f.name in section:
            values[f.name] = _value(section, f.name, hints[f.name], dict(f.metadata))
        elif f.default is MISSING and f.default_factory is MISSING:
            raise section.missing(f.name)
    try:
        return kind(**values)
    except InputError as error:
        raise placed(error, section) from error


def placed(error: InputError, section: Section) -> InputError:
    """Return the error of a record as one of the table that it was read from."""
    *path, name = error.key.split(".")  # an inner table's field is named with its table
    return section.inner(path).fail(name, error.message, error.value)


def record_table(record: Any) -> dict[str, Any]:
    """Return the record as the table that it would be read from, every default filled in; None is left out."""
    return {
        f.name: _plain(getattr(record, f.name))
        for f in fields(record)
        if f.init and getattr(record, f.name) is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return record_table(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(section: Section, key: str, hint: Any, limits: dict[str, float]) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _value(section, key, next(part for part in get_args(hint) if part is not type(None)), limits)
    if origin is Literal:
        return section.choice(key, get_args(hint))
    if origin is tuple:
        return _tuple(section, key, get_args(hint)[0], limits)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(section.section(key), get_args(hint)[1], limits)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(section.choice(key, [str(member) for member in hint]))
    if is_dataclass(hint):
        return read_record(hint, section.section(key))  # type: ignore[arg-type]
    return _simple(section, limits)[hint](key)


def _simple(section: Section, limits: dict[str, float]) -> dict[Any, Callable[[str], Any]]:
    bounds = limits or {"lower": 0.0}
    above = bounds.get("above")
    lowest = int(bounds.get("lower", 0 if above is None else int(above) + 1))
    highest = int(bounds.get("upper", _MOST_WHOLE))
    return {
        bool: section.flag,
        int: lambda key: section.integer(key, lower=lowest, upper=highest),
        float: lambda key: section.number(key, **bounds),
        str: section.text,
    }


def _tuple(section: Section, key: str, item: Any, limits: dict[str, float]) -> tuple[Any, ...]:
    if is_dataclass(item):
        return tuple(read_record(item, entry) for entry in section.tables(key))  # type: ignore[arg-type]
    if item is float:
        return _numbers(section, key, limits)
    if item is int:
        values = _numbers(section, key, limits)
        if any(value != round(value) for value in values):
            raise section.fail(key, "must be a list of whole numbers", list(values))
        return tuple(int(value) for value in values)
    texts = section.texts(key)
    if isinstance(item, type) and issubclass(item, StrEnum):
        known = [str(member) for member in item]
        wrong = next((text for text in texts if text not in known), None)
        if wrong is not None:
            raise section.fail(key, f"each must be one of {', '.join(known)}", wrong)
        return tuple(item(text) for text in texts)
    return texts


def _numbers(section: Section, key: str, limits: dict[str, float]) -> tuple[float, ...]:
    bounds = limits or {"lower": 0.0}
    return section.numbers(
        key, lower=bounds.get("lower", -math.inf), upper=bounds.get("upper", math.inf), above=bounds.get("above")
    )


def _mapping(section: Section, item: Any, limits: dict[str, float]) -> dict[str, Any]:
    return {key: _value(section, key, item, limits) for key in section.names()}
