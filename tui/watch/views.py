"""Which widget shows which view."""

from __future__ import annotations

from tui.watch.help_view import HelpPane
from tui.watch.journal_view import JournalPane
from tui.watch.pane import LinesPane
from tui.watch.plants_view import PlantsPane
from tui.watch.promotions_view import PromotionsPane
from tui.watch.region_view import RegionPane
from tui.watch.topology_view import TopologyPane

__all__ = ["VIEWS", "view_of"]

VIEWS: dict[str, type[LinesPane]] = {
    "plants": PlantsPane,
    "region": RegionPane,
    "promotions": PromotionsPane,
    "journal": JournalPane,
    "topology": TopologyPane,
    "help": HelpPane,
}


def view_of(name: str) -> LinesPane:
    """Return a new widget of a view, with the id `view-NAME`."""
    return VIEWS[name](id=f"view-{name}")
