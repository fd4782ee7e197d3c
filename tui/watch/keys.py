"""The keys of the screen, as data: each has an id, so that watch.toml can change it (`tui.watch.keymap`)."""

from __future__ import annotations

from textual.binding import Binding

__all__ = ["BINDINGS", "OPERATING", "TABS"]

TABS = (
    ("plants", "Plants", "p"),
    ("region", "Region", "r"),
    ("promotions", "Promotions", "m"),
    ("journal", "Journal", "l"),
    ("topology", "Topology", "y"),
    ("help", "Help", "question_mark"),
)
"""Id, title and key of each view, in order."""

OPERATING = frozenset({"approve", "confirm", "roll_back", "kill_switch"})
"""Keys that stand in the footer only where they may be used."""


def _binding(key: str, action: str, words: str, name: str, tooltip: str = "", **more: object) -> Binding:
    shown = bool(more.pop("show", False))
    return Binding(key, action, words, tooltip=tooltip or words, id=name, show=shown, **more)  # type: ignore[arg-type]  # what is left are key_display and priority


BINDINGS = [
    _binding("question_mark,f1", "tab('help')", "Help", "help", "keys, views and words", show=True, key_display="?"),
    _binding("colon,ctrl+p", "command_palette", "Commands", "commands", "all by name", show=True, key_display=":"),
    _binding("q", "leave", "Quit", "quit", "leave the screen", show=True),
    _binding("a", "act('approve')", "Approve", "approve", "apply the next certified step, asked first", show=True),
    _binding("c", "act('confirm')", "Confirm", "confirm", "keep what was promoted, asked first", show=True),
    _binding("R", "act('roll back')", "Roll back", "roll_back", "bring the testbed back, asked first", show=True),
    _binding(
        "ctrl+k", "act('kill switch')", "Kill", "kill_switch",
        "bring the testbed back at once: not asked", show=True, priority=True, key_display="^k",
    ),
    _binding("slash", "filter", "Filter", "filter", "only rows that contain a text", show=True, key_display="/"),
    _binding("t", "show_next", "Show", "show", "twin, testbed or both", show=True),
    _binding("space", "freeze", "Freeze", "freeze", "keep what is shown while it goes on", show=True),
    _binding("z", "zoom", "Zoom", "zoom", "the view alone, or all again", show=True),
    _binding("ctrl+o,f", "jump", "Jump", "jump", "letters that go to rows, gNBs and views", show=True),
    _binding("e", "export", "Export", "export", "what is shown, as CSV, JSON or SVG", show=True),
    _binding("p", "tab('plants')", "Plants", "plants", "twin, testbed and the gap between them"),
    _binding("r", "tab('region')", "Region", "region", "where φ holds, with confidence"),
    _binding("m", "tab('promotions')", "Promotions", "promotions", "queue, plan, gate, lease and verdicts"),
    _binding("l", "tab('journal')", "Journal", "journal", "what happened on the testbed"),
    _binding("y", "tab('topology')", "Topology", "topology", "RU, DU, CU, links, hosts and core"),
    _binding("1", "gnb('1')", "gNB 1", "gnb_1"),
    _binding("2", "gnb('2')", "gNB 2", "gnb_2"),
    _binding("3", "gnb('3')", "gNB 3", "gnb_3"),
    _binding("4", "gnb('4')", "gNB 4", "gnb_4"),
    _binding("0", "gnb('')", "All gNBs", "gnb_all"),
    _binding("plus,equals_sign", "refresh(1)", "Faster", "faster", "redraw more often", key_display="+"),
    _binding("minus", "refresh(-1)", "Slower", "slower", "redraw less often", key_display="-"),
    _binding("n", "act('rehearse')", "Rehearse", "rehearse", "start a rehearsal on the twin"),
    _binding("x", "act('stop')", "Stop", "stop", "stop the rehearsal; it can be resumed"),
    _binding("u", "act('resume')", "Resume", "resume", "go on with a stopped or paused rehearsal"),
    _binding("P", "act('pause')", "Pause", "pause", "pause the rehearsal, or go on"),
    _binding("S", "act('step')", "Step", "step", "a trial, or a chunk of windows, and pause"),
    _binding("B", "act('budget')", "Budget", "budget", "change how many trials the rehearsal may make"),
    _binding("s", "act('serve')", "Serve", "serve", "start the embedded EMULATED testbed"),
    _binding("escape", "leave_look", "Back", "back", "leave the filter, the zoom, the gNB"),
]  # fmt: skip
