"""The operator's own keys and theme, from watch.toml."""

import re
from pathlib import Path

import pytest

from col.errors import InputError
from tests.tui.watch_pilot import drive, picture
from tests.tui.watch_world import WatchWorld
from tui.watch.keymap import read_settings, view_bindings
from tui.watch.keys import BINDINGS
from tui.watch.palette import WatchCommands
from tui.watch.themes import DEFAULT_THEME, THEMES, theme_named


def settings_of(folder: Path, text: str):
    path = folder / "watch.toml"
    path.write_text(text)
    return read_settings(path)


def test_a_key_of_a_view_can_be_another_one_too(tmp_path) -> None:
    keys = settings_of(tmp_path, '[keys]\ntopology-right = "w"\n').keys

    async def steps(app, pilot) -> None:
        await pilot.press("y", "right")
        assert app.view.cell == ""
        await pilot.press("w")
        assert app.view.cell == "2"

    drive(WatchWorld(tmp_path / "w"), steps, keymap=keys)


def test_two_actions_can_change_places_and_footer_and_help_show_the_new_keys(tmp_path) -> None:
    keys = settings_of(tmp_path, '[keys]\nfreeze = "z,f5"\nzoom = "space"\nregion-x = "Z"\n').keys

    async def steps(app, pilot) -> None:
        await pilot.press("z")
        await pilot.pause()
        assert app.state.frozen
        await pilot.press("f5", "space")
        await pilot.pause()
        assert not app.state.frozen
        assert app.zoomed
        await pilot.press("space", "r")
        await pilot.pause()
        footer = picture(app).splitlines()[-1]
        assert all(words in footer for words in ("Z Across", "z Freeze", "space Zoom"))
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Z Y       choose the controls" in app.view.shown.text
        assert "z f5" in app.view.shown.text
        helped = [str(hit.help) async for hit in WatchCommands(app.screen).search("freeze")]
        assert any("(key z)" in text for text in helped)

    drive(WatchWorld(tmp_path / "w"), steps, keymap=keys, size=(120, 40))


def test_a_key_that_has_several_names_keeps_the_keys_of_other_views(tmp_path) -> None:
    """Rows go up with `w` then; the cursor of the region, whose arrow is the same key, still goes up with the arrow."""
    keys = settings_of(tmp_path, '[keys]\nrow-up = "w"\n').keys

    async def steps(app, pilot) -> None:
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("up")
        at = app.view.at
        await pilot.press("up")
        assert at is not None
        assert app.view.at[1] > at[1]

    drive(WatchWorld(tmp_path / "w"), steps, keymap=keys, size=(120, 40))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[keys\n", "not TOML"),
        ("keymap = 3\n", "'theme' and the table 'keys'"),
        ("keys = 3\n", r"\[keys\]"),
        ("theme = 3\n", "rantwin-light"),
        ('[keys]\nfreez = "f5"\n', "freeze"),
        ("[keys]\nfreeze = 5\n", "commas"),
        ('[keys]\nfreeze = ""\n', "commas"),
        ('[keys]\nfreeze = "f5,"\n', "no key"),
        ('[keys]\nfreeze = "spcae"\n', "'spcae' is no key"),
        ('[keys]\nfreeze = "control+f"\n', "'control' is no modifier"),
        ('[keys]\nfreeze = "shift+f"\n', "write 'F'"),
        ('[keys]\nfreeze = "t"\n', "'t' is the key of show already"),
        ('[keys]\nfreeze = "X"\n', "'X' is the key of region-x already"),
        ('[keys]\nregion-x = "t"\n', "'t' is the key of show already"),
        ('[keys]\nfreeze = "f5"\nzoom = "f5"\n', "'f5' is the key of"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(tmp_path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        settings_of(tmp_path, text)
    assert "watch.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("word", "key"),
    [("?", "question_mark"), ("question_mark", "question_mark"), ("F5", None), ("pageup", "pageup"), ("R", "R"),
     ("ctrl+R", "ctrl+r"), ("ctrl+r, f5", "ctrl+r,f5"), ("@", "at"), ("ctrl+@", "ctrl+at"), ("space", "space")],
)  # fmt: skip
def test_keys_are_written_as_they_are_typed(tmp_path, word: str, key: str | None) -> None:
    text = f'[keys]\nkill_switch = "{word}"\nroll_back = "f9"\nhelp = "f10"\nfreeze = "f11"\npage-up = "f12"\n'
    if key is None:
        with pytest.raises(InputError, match="is no key"):
            settings_of(tmp_path, text)
    else:
        assert settings_of(tmp_path, text).keys["kill_switch"] == key


def test_the_kill_switch_on_another_key_is_still_one_chord_from_anywhere(tmp_path) -> None:
    keys = settings_of(tmp_path, '[keys]\nkill_switch = "f9"\n').keys
    world = WatchWorld(tmp_path / "w")

    async def steps(app, pilot) -> None:
        await pilot.press("slash", "ctrl+k")
        await pilot.pause()
        assert not world.link.asked
        await pilot.press("f9")
        await app.workers.wait_for_complete()
        assert world.link.asked == ["kill switch"]

    drive(world, steps, keymap=keys, operate=True)


def test_every_key_of_every_view_has_an_id_that_no_other_has() -> None:
    app = [binding.id for binding in BINDINGS]
    for bindings in view_bindings().values():
        for one in {binding.id for binding in bindings}:
            assert one not in app
            assert len({binding.action for binding in bindings if binding.id == one}) == 1


def test_no_view_hides_a_key_of_the_app() -> None:
    app = {key for binding in BINDINGS for key in binding.key.split(",")}
    hidden = {b.key for bindings in view_bindings().values() for b in bindings} & app
    assert hidden == set()


@pytest.mark.parametrize("name", [theme.name for theme in THEMES])
def test_a_theme_is_taken_from_the_file(tmp_path, name: str) -> None:
    theme = settings_of(tmp_path, f'theme = "{name}"\n').theme

    async def steps(app, pilot) -> None:
        assert app.theme == name

    drive(WatchWorld(tmp_path / "w"), steps, theme=theme)


def test_a_theme_that_there_is_not_is_said_and_ours_is_taken(tmp_path) -> None:
    async def steps(app, pilot) -> None:
        assert app.theme == DEFAULT_THEME
        assert [n.message for n in app._notifications] == [theme_named("rantwin-lihgt", app.available_themes)[1]]

    drive(WatchWorld(tmp_path), steps, theme="rantwin-lihgt", notifications=True)
    assert "near it: rantwin-light" in theme_named("rantwin-lihgt", ["rantwin-light", "nord"])[1]


def test_the_environment_chooses_the_theme_before_the_file_does(tmp_path, monkeypatch) -> None:
    from tui.cli import build_parser
    from tui.watch.command import make_app

    settings_of(tmp_path, 'theme = "rantwin-light"\n')
    monkeypatch.setenv("RANTWIN_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("RANTWIN_THEME", raising=False)
    args = build_parser().parse_args(["watch", "--runs-dir", str(tmp_path)])
    assert make_app(args)._theme == "rantwin-light"
    monkeypatch.setenv("RANTWIN_THEME", "nord")
    assert make_app(args)._theme == "nord"


def test_the_page_about_the_screen_has_every_key_with_its_id() -> None:
    text = (Path(__file__).parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = {}
    for line in text.splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:3]] if line.startswith("| `") else []
        if len(cells) == 2 and len(cells[0]) == len(cells[1]):
            told |= {name: {key} for name, key in zip(*cells, strict=True)}
        elif len(cells) == 2 and len(cells[0]) == 1:
            told[cells[0][0]] = set(cells[1])
    bound: dict[str, set[str]] = {}
    for bindings in (BINDINGS, *view_bindings().values()):
        for binding in bindings:
            bound.setdefault(str(binding.id), set()).update(binding.key.split(","))
    assert {name: told.get(name) for name in bound} == bound
