"""Reading TOML strictly: every key known, every value of its kind and within its bounds, one line for what is not."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from col.errors import InputError

__all__ = ["Section", "read_toml"]


class Section:
    """A table of a TOML file. What is never asked for is refused by `close` of the outermost one."""

    def __init__(self, data: Mapping[str, Any], *, source: str, folder: Path, name: str = "") -> None:
        self._data, self.source, self._folder, self._name = data, source, folder, name
        self._known: set[str] = set()
        self._sections: dict[str, Section] = {}
        self._is_open = False

    def has(self, key: str) -> bool:
        """Return whether the key stands there."""
        self._known.add(key)
        return key in self._data

    def section(self, key: str) -> Section:
        """Return the table of that name; an empty one if it is not there."""
        if key not in self._sections:
            data = self._data.get(key, {})
            if not isinstance(data, Mapping):
                raise self._error(key, "must be a table")
            self._known.add(key)
            self._sections[key] = Section(data, source=self.source, folder=self._folder, name=self._place(key))
        return self._sections[key]

    def names(self) -> tuple[str, ...]:
        """Return the keys of a table whose keys are names that the file gives; each is known by that."""
        self._known |= set(self._data)
        return tuple(self._data)

    def rest(self) -> dict[str, object]:
        """Return whatever has not been asked for yet, as it is."""
        self._is_open = True
        return {key: value for key, value in self._data.items() if key not in self._known}

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; needed unless there is a default."""
        value = self._value(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise self._error(key, "must be text", value)
        return value

    def path(self, key: str) -> Path:
        """Return a path, relative ones below the file's folder."""
        return self._folder / Path(self.text(key)).expanduser()

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; none if it is not there."""
        value = self._value(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self._error(key, "must be a list of texts", value)
        return tuple(value)

    def paths(self, key: str) -> tuple[Path, ...]:
        """Return a list of paths; none if it is not there."""
        return tuple(self._folder / Path(item).expanduser() for item in self.texts(key))

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._error(key, "must be true or false", value)
        return value

    def number(self, key: str, default: float, *, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number within its bounds."""
        return self._number(key, self._value(key, default), low, high)

    def whole(self, key: str, default: int, *, low: int = 0, high: int = 10**9) -> int:
        """Return a whole number within its bounds."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._error(key, f"must be a whole number in [{low}, {high}]", value)
        return value

    def numbers(self, key: str, *, low: float = -math.inf) -> dict[str, float]:
        """Return a table of finite numbers; an empty one if it is not there."""
        value = self._value(key, {})
        if not isinstance(value, Mapping):
            raise self._error(key, "must be a table of numbers, such as {cpu_du = 0.4}", value)
        return {name: self._number(f"{key}.{name}", item, low, math.inf) for name, item in value.items()}

    def close(self) -> None:
        """Raise InputError for a key that nobody knows, here or in a table within."""
        for section in self._sections.values():
            section.close()
        strangers = [] if self._is_open else [key for key in self._data if key not in self._known]
        if strangers:
            similar = difflib.get_close_matches(strangers[0], sorted(self._known), n=1)
            hint = f"did you mean {similar[0]}?" if similar else f"known are {', '.join(sorted(self._known))}"
            raise self._error(strangers[0], f"no such key: {hint}")

    def _value(self, key: str, default: Any) -> Any:
        self._known.add(key)
        if key not in self._data and default is None:
            raise self._error(key, "missing")
        return self._data.get(key, default)

    def _number(self, key: str, value: object, low: float, high: float) -> float:
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not low <= value <= high
        ):
            bounds = "" if math.isinf(low) and math.isinf(high) else f" in [{low:g}, {high:g}]"
            raise self._error(key, f"must be a number{bounds}", value)
        return float(value)

    def _place(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _error(self, key: str, message: str, value: object = None) -> InputError:
        return InputError(message, source=self.source, key=self._place(key), value=value)


def read_toml(text: str, *, source: str, folder: Path) -> Section:
    """Return the outermost table of a TOML text; InputError if it is none."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", source=source) from error
    return Section(data, source=source, folder=folder)
