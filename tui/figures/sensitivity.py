"""How far the safe border moves when an assumption is varied: one bar for each assumption.

Reads plain data: `{"quantity": ..., "unit": ..., "base": ..., "bars": [{"label": ..., "low": ..., "high": ...,
"low_label": "x 0.8", "high_label": "x 1.25"}, ...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui.figures.svg import Box, Svg, number

__all__ = ["sensitivity_figure"]


def sensitivity_figure(sensitivity: Mapping[str, Any]) -> str:
    """Return a tornado figure, the assumption that matters most on top."""
    bars = sorted(sensitivity["bars"], key=lambda bar: -abs(float(bar["high"]) - float(bar["low"])))
    base = float(sensitivity["base"])
    box = Box(300, 16, 1000, 16 + 34.0 * len(bars))
    svg = Svg(1090, box.bottom + 52, "sensitivity of the safe border to what is assumed")
    ends = [base, *(float(bar[side]) for bar in bars for side in ("low", "high"))]
    pad = 0.1 * (max(ends) - min(ends) or 1.0)
    x = box.x(min(ends) - pad, max(ends) + pad)
    svg.x_axis(box, x, f"{sensitivity['quantity']} [{sensitivity['unit']}]", 8)
    for k, bar in enumerate(bars):
        top = box.top + 34.0 * k + 8
        for side in ("low", "high"):
            a, b = sorted((x(base), x(float(bar[side]))))
            svg.rect(a, top, b - a, 18, f"bar-{side}", title=f"{bar.get(side + '_label', side)}: {number(bar[side])}")
            if b - a < 1.5:
                continue
            anchor = "end" if float(bar[side]) < base else "start"
            at = x(float(bar[side])) + (-5 if anchor == "end" else 5)
            svg.text(at, top + 13, str(bar.get(f"{side}_label", "")), "tick", anchor)
        if max(abs(x(float(bar[side])) - x(base)) for side in ("low", "high")) < 1.5:
            svg.text(x(base) + 8, top + 13, "does not move it", "tick")
        svg.text(box.left - 12, top + 13, str(bar["label"]), "label", "end")
    svg.line(x(base), box.top, x(base), box.bottom, "reference")
    svg.frame(box)
    return svg.render("sensitivity")
