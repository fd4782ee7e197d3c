"""The screen `rantwin watch`: twin and testbed side by side, the region, promotions, the journal.

`state` holds what is shown, as frozen values; `feeds` make it; `app` hands it to the views and acts on `messages`.
A view is a widget with `show(state: WatchState) -> None` that draws that state and nothing else, and posts messages:
`plants_view.PlantsPane`, `region_view.RegionPane`, `promotions_view.PromotionsPane`, `journal_view.JournalPane`,
`topology_view.TopologyPane`, `help_view.HelpPane`; the dialog `dialogs.AskWord(title, lines, word)` is a
`ModalScreen[bool]` that is True once the word was typed (an empty word: Enter is enough).
"""
