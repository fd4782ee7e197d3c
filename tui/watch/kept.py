"""An answer that is kept while what it was made of is the same: four drawings a second show one window a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps the last answer. Whoever asks from another thread gets a right one too, made anew at worst."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], object, T] | None = None

    def get(self, things: tuple[object, ...], values: object, make: Callable[[], T]) -> T:
        """Return what `make` makes; the last answer where `things` are the same objects and `values` are equal.

        There are always as many things. They are held as long as their answer is, so that none of them can give its
        place in memory to another.
        """
        last = self._last
        if last is not None and last[1] == values and all(a is b for a, b in zip(last[0], things, strict=True)):
            return last[2]
        made = make()
        self._last = (things, values, made)
        return made
