"""Where numbers and tables from outside come in: what is not a possible number is missing, a wrong table is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from col.errors import InputError

__all__ = ["Table", "number"]


def number(value: object, low: float, high: float) -> float | None:
    """Return the value if it is a number in [low, high], else None; truth values and texts are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and low <= found <= high else None


class Table:
    """A source's own table in the inventory. Every key is asked for once; `done` refuses whatever is left."""

    def __init__(self, values: Mapping[str, object], source: str) -> None:
        self._values, self._source = dict(values), source
        self._known: list[str] = []

    def done(self) -> None:
        """Refuse keys that nobody asked for; `gnb`, `host` and `workload` only say what is measured."""
        for key in self._values:
            if key not in (*self._known, "gnb", "host", "workload"):
                raise self.wrong(key, f"no such key; the {self._source} source has {', '.join(self._known)}")

    def wrong(self, key: str, text: str) -> InputError:
        """Return the error for this key."""
        return InputError(text, source=f"telemetry {self._source}", key=key, value=self._values.get(key))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self._get(key, default)
        if value is None:
            raise self.wrong(key, "missing: must be a text")
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "must be a text that is not empty")
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """Return a number in [low, high]."""
        found = number(self._get(key, default), low, high)
        if found is None:
            raise self.wrong(key, f"must be a number from {low:g} to {high:g}")
        return found

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def one_of(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """Return one of the texts allowed."""
        value = self.text(key, default)
        if value not in allowed:
            raise self.wrong(key, f"must be one of {', '.join(allowed)}")
        return value

    def texts(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._get(key, tuple(default))
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
            raise self.wrong(key, "must be a list of texts")
        return tuple(value)

    def lists(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Return a list of lists of texts, none of them empty."""
        value = self._get(key, ())
        if not isinstance(value, list | tuple) or not all(
            isinstance(one, list | tuple) and one and all(isinstance(word, str) for word in one) for one in value
        ):
            raise self.wrong(key, 'must be a list of commands, such as [["iperf3", "-s", "-J"]]')
        return tuple(tuple(one) for one in value)

    def mapping(self, key: str) -> dict[str, object]:
        """Return a table."""
        value = self._get(key, {})
        if not isinstance(value, Mapping):
            raise self.wrong(key, "must be a table")
        return dict(value)

    def _get(self, key: str, default: object) -> object:
        self._known.append(key)
        return self._values.get(key, default)
