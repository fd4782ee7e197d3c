"""How the app itself is laid out; a view brings its own style."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
Screen { layout: vertical; layers: default jump; }
#keys { height: 1; dock: bottom; background: $panel; color: $foreground; }
#strip { height: 1; padding: 0 1; background: $panel; color: $foreground; }
#tabs { height: 1; background: $panel; color: $foreground; }
#tabs, #keys { link-color: $foreground; link-style: none; link-background-hover: $primary; link-style-hover: bold; }
#views { height: 1fr; }
#views > * { height: 1fr; width: 1fr; }
#filter { dock: bottom; margin-bottom: 1; height: 1; background: $boost; }
"""
