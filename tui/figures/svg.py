"""A small SVG writer: scales, ticks, axes. Colours are classes of `assets/report.css`, so that a page can be dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Box", "Scale", "Svg", "number", "standalone", "ticks"]

FloatArray = NDArray[np.float64]


def number(value: float, digits: int = 4) -> str:
    """Return a number as people write it: no trailing zeros, no exponent for ordinary sizes."""
    if not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}g}"
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values (steps of 1, 2, 2.5 or 5 times a power of ten) inside [low, high]."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from data [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return float(self.array(value))

    def array(self, values: ArrayLike) -> FloatArray:
        """Return the pixels of values, same shape."""
        span = (self.high - self.low) or 1.0
        return self.start + (np.asarray(values, dtype=np.float64) - self.low) / span * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Box:
    """The plotting area of a panel in pixels; y grows downward."""

    left: float
    top: float
    right: float
    bottom: float

    def x(self, low: float, high: float) -> Scale:
        """Return the horizontal scale of this box."""
        return Scale(low, high, self.left, self.right)

    def y(self, low: float, high: float) -> Scale:
        """Return the vertical scale of this box."""
        return Scale(low, high, self.bottom, self.top)


class Svg:
    """An SVG under construction, `width` by `height` user units (pixels at full size)."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width, self.height, self.label = width, height, label
        self._parts: list[str] = []

    def add(self, markup: str) -> None:
        """Append markup as it is."""
        self._parts.append(markup)

    def rect(
        self, x: float, y: float, width: float, height: float, css: str, radius: float = 0, title: str = ""
    ) -> None:
        """Draw a rectangle."""
        corner = f' rx="{radius:g}"' if radius else ""
        self._shape(
            f'rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"{corner}',
            css,
            title,
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """Draw a straight line."""
        self.add(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>')

    def circle(self, x: float, y: float, radius: float, css: str, title: str = "") -> None:
        """Draw a circle; the title shows on hover and is read aloud."""
        self._shape(f'circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"', css, title)

    def path(self, data: str, css: str, title: str = "") -> None:
        """Draw a path of SVG path data."""
        if data:
            self._shape(f'path d="{data}"', css, title)

    def polyline(self, x: ArrayLike, y: ArrayLike, css: str) -> None:
        """Draw a line through points (n,), (n,) in pixels; a NaN breaks it."""
        self.path(path_data(x, y), css)

    def area(self, x: ArrayLike, y: ArrayLike, base: float, css: str) -> None:
        """Fill between points and the level `base`, all in pixels; missing points count as the base."""
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if len(xs):
            filled = np.where(np.isfinite(ys), ys, base)
            self.path(f"M{xs[0]:.1f} {base:.1f}L{_points(xs, filled)}L{xs[-1]:.1f} {base:.1f}Z", css)

    def text(self, x: float, y: float, text: str, css: str = "t", anchor: str = "start", rotate: float = 0) -> None:
        """Write text; anchor is start, middle or end."""
        turn = f' transform="rotate({rotate:g} {x:.1f} {y:.1f})"' if rotate else ""
        side = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{css}"{side}{turn}>{escape(text)}</text>')

    def x_axis(self, box: Box, scale: Scale, label: str = "", count: int = 6, values: Sequence[float] = ()) -> None:
        """Draw ticks and the label below the box."""
        for value in values or ticks(scale.low, scale.high, count):
            x = scale(value)
            self.line(x, box.bottom, x, box.bottom + 4, "axis")
            self.text(x, box.bottom + 16, number(value), "tick", "middle")
        if label:
            self.text((box.left + box.right) / 2, box.bottom + 33, label, "label", "middle")

    def y_axis(self, box: Box, scale: Scale, label: str = "", count: int = 4, grid: bool = True) -> None:
        """Draw ticks, grid lines and the label left of the box."""
        for value in ticks(scale.low, scale.high, count):
            y = scale(value)
            if grid:
                self.line(box.left, y, box.right, y, "grid")
            else:
                self.line(box.left - 4, y, box.left, y, "axis")
            self.text(box.left - 7, y + 4, number(value), "tick", "end")
        if label:
            self.text(box.left - 40, (box.top + box.bottom) / 2, label, "label", "middle", rotate=-90)

    def frame(self, box: Box) -> None:
        """Draw the border of the box."""
        self.rect(box.left, box.top, box.right - box.left, box.bottom - box.top, "frame")

    def render(self, css: str = "") -> str:
        """Return the markup of the figure."""
        return (
            f'<svg class="figure {css}" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.label, quote=True)}" style="max-width:{self.width:g}px">'
            + "".join(self._parts)
            + "</svg>"
        )

    def _shape(self, head: str, css: str, title: str) -> None:
        body = f"><title>{escape(title)}</title></{head.split(' ', 1)[0]}>" if title else "/>"
        self.add(f'<{head} class="{css}"{body}')


def path_data(x: ArrayLike, y: ArrayLike, *, close: bool = False) -> str:
    """Return SVG path data through points; a NaN breaks the line."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    good = np.isfinite(xs) & np.isfinite(ys)
    pieces = []
    for run in _runs(good):
        pieces.append("M" + _points(xs[run], ys[run]) + ("Z" if close else ""))
    return "".join(pieces)


def _runs(good: NDArray[np.bool_]) -> Iterable[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return (slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _points(x: FloatArray, y: FloatArray) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def standalone(svg: str) -> str:
    """Return the figure as a file of its own: name space declared and the style sheet inside."""
    style = files("tui").joinpath("assets/report.css").read_text(encoding="utf-8")
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'
