"""The fit of a calibration: what was measured over the twin's curve.

The figure reads plain data, so that a calibration can be stored, carried and drawn without the code that made it:

    {"panels": [{"title": ..., "x_label": ..., "x_unit": ..., "y_label": ..., "y_unit": ...,
                 "measured": [{"x": ..., "y": ..., "held_out": false, "label": "repetition 2"}, ...],
                 "curves": [{"label": ..., "x": [...], "y": [...], "low": [...], "high": [...]}, ...]}, ...]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tui.figures.svg import Box, Svg, number

__all__ = ["calibration_panels"]

_WIDTH, _HEIGHT = 352.0, 272.0
_BOX = Box(56, 34, 342, 226)


def calibration_panels(calibration: Mapping[str, Any]) -> list[str]:
    """Return one figure for each panel of the calibration's results."""
    return [_panel(panel) for panel in calibration.get("panels", ())]


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)


def _panel(panel: Mapping[str, Any]) -> str:
    measured: Sequence[Mapping[str, Any]] = panel.get("measured", ())
    curves: Sequence[Mapping[str, Any]] = panel.get("curves", ())
    xs = np.concatenate([_numbers([m["x"] for m in measured]), *(_numbers(c["x"]) for c in curves)])
    ys = np.concatenate([_numbers([m["y"] for m in measured]), *(_numbers(c["y"]) for c in curves)])
    svg = Svg(_WIDTH, _HEIGHT, f"calibration: {panel['title']}")
    svg.text(_BOX.left, 18, str(panel["title"]), "panel-title")
    if not np.any(np.isfinite(xs)) or not np.any(np.isfinite(ys)):
        svg.text((_BOX.left + _BOX.right) / 2, _BOX.top + 80, "no data", "note", "middle")
        return svg.render("calibration")
    low_x, high_x = float(np.nanmin(xs)), float(np.nanmax(xs))
    pad = 0.04 * (high_x - low_x or 1.0)
    x = _BOX.x(min(low_x - pad, 0.0) if low_x < 0.3 * high_x else low_x - pad, high_x + pad)
    y = _BOX.y(min(0.0, float(np.nanmin(ys)) * 1.05), float(np.nanmax(ys)) * 1.08 or 1.0)
    svg.y_axis(_BOX, y, f"{panel['y_label']} [{panel['y_unit']}]")
    svg.x_axis(_BOX, x, f"{panel['x_label']} [{panel['x_unit']}]")
    for k, curve in enumerate(curves):
        cx, cy = x.array(_numbers(curve["x"])), y.array(_numbers(curve["y"]))
        if curve.get("low") and curve.get("high"):
            upper, lower = y.array(_numbers(curve["high"])), y.array(_numbers(curve["low"]))
            outline = "M" + "L".join(
                f"{a:.1f} {b:.1f}"
                for a, b in zip([*cx, *cx[::-1]], [*upper, *lower[::-1]], strict=True)
                if np.isfinite(a) and np.isfinite(b)
            )
            svg.path(outline + "Z", f"curve-band-{k % 3}")
        svg.polyline(cx, cy, f"curve-{k % 3}")
        if len(cx) == 1:
            # A line needs two points; one alone is a cross.
            a, b = float(cx[0]), float(cy[0])
            svg.path(
                f"M{a - 4:.1f} {b - 4:.1f}l8 8M{a - 4:.1f} {b + 4:.1f}l8 -8", f"cross-{k % 3}", str(curve["label"])
            )
    _legend(svg, [str(c["label"]) for c in curves if len(c["x"]) > 1])
    for point in measured:
        if point["x"] is None or point["y"] is None:
            continue
        held_out = bool(point.get("held_out"))
        title = f"{point.get('label', 'measured')}: {number(point['x'])} → {number(point['y'])}" + (
            " (left out of the fit)" if held_out else ""
        )
        svg.circle(x(point["x"]), y(point["y"]), 3.6, "point-held-out" if held_out else "point", title)
    svg.frame(_BOX)
    return svg.render("calibration")


def _legend(svg: Svg, labels: Sequence[str]) -> None:
    """Name the curves where there is more than one."""
    if len(labels) < 2:
        return
    for k, label in enumerate(labels):
        y = _BOX.bottom - 14 - 17 * (len(labels) - 1 - k)
        svg.line(_BOX.right - 150, y - 4, _BOX.right - 126, y - 4, f"curve-{k % 3}")
        svg.text(_BOX.right - 120, y, label, "tick")
