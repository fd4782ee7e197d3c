"""Themes of our own beside Textual's: colours after Okabe and Ito (2008), which colour-blind people can tell apart.

No meaning is in colour alone: every state has its word and its glyph, so `NO_COLOR` loses nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from textual.theme import Theme

__all__ = ["DEFAULT_THEME", "THEMES", "theme_named"]

DEFAULT_THEME = "rantwin-dark"

_ORANGE, _SKY, _GREEN, _YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
_BLUE, _VERMILION, _PURPLE = "#0072B2", "#D55E00", "#CC79A7"

THEMES = (
    Theme(
        name=DEFAULT_THEME,
        primary=_SKY,
        secondary=_BLUE,
        accent=_ORANGE,
        warning=_YELLOW,
        error=_VERMILION,
        success=_GREEN,
        foreground="#E8E8E8",
        background="#101418",
        surface="#161C22",
        panel="#1F2830",
        dark=True,
        variables={"footer-key-foreground": _SKY, "input-selection-background": f"{_SKY} 35%"},
    ),
    Theme(
        name="rantwin-light",
        primary=_BLUE,
        secondary=_PURPLE,
        accent="#B36B00",
        warning="#8F7A00",
        error="#B54700",
        success="#007A59",
        foreground="#1A1A1A",
        background="#FAFAF7",
        surface="#F0F0EA",
        panel="#E2E2DA",
        dark=False,
    ),
    Theme(
        name="rantwin-contrast",
        primary="#FFFFFF",
        secondary=_SKY,
        accent=_YELLOW,
        warning=_YELLOW,
        error=_ORANGE,
        success=_SKY,
        foreground="#FFFFFF",
        background="#000000",
        surface="#000000",
        panel="#202020",
        dark=True,
    ),
)


def theme_named(wanted: str, known: Iterable[str]) -> tuple[str, str]:
    """Return the theme of that name, ours where it is empty or unknown, and what to say of an unknown one."""
    names = sorted(known)
    if not wanted or wanted in names:
        return wanted or DEFAULT_THEME, ""
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or [theme.name for theme in THEMES]
    return DEFAULT_THEME, f"there is no theme {wanted!r}; near it: {', '.join(near)}; the palette lists all"
