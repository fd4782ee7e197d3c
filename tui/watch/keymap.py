"""The operator's own keys and theme: `watch.toml` in the config directory."""

from __future__ import annotations

import difflib
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.binding import Binding, BindingsMap
from textual.keys import KEY_NAME_REPLACEMENTS, REPLACED_KEYS, Keys

from col.errors import InputError
from tui.watch.keys import BINDINGS
from tui.watch.views import VIEWS

__all__ = ["Settings", "read_settings", "remap", "view_bindings"]

_MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")
_NAMED = {str(key.value) for key in Keys} | set(KEY_NAME_REPLACEMENTS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the file says: keys by the id of what they do, with commas between them, and a theme (empty: ours)."""

    keys: Mapping[str, str] = field(default_factory=dict)
    theme: str = ""


def read_settings(path: Path) -> Settings:
    """Return what a file says; nothing where there is no file.

    Raises:
        InputError: not TOML, a name that there is not, a key that no terminal sends, one key for two things.
    """
    if not path.is_file():
        return Settings()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"not TOML ({error})", source=str(path)) from error
    for name in content:
        if name not in ("keys", "theme"):
            raise InputError("no such setting; there are 'theme' and the table 'keys'", source=str(path), key=name)
    theme, keys = content.get("theme", ""), content.get("keys", {})
    if not isinstance(theme, str):
        raise InputError("must be the name of a theme, as 'rantwin-light'", source=str(path), key="theme")
    if not isinstance(keys, dict):
        raise InputError("must be a table: [keys]", source=str(path), key="keys")
    return Settings(keys=_read_keys(keys, str(path)), theme=theme)


def _read_keys(table: Mapping[str, Any], source: str) -> dict[str, str]:
    known = {binding.id or "" for bindings in (BINDINGS, *view_bindings().values()) for binding in bindings}
    keys: dict[str, str] = {}
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or sorted(known)
            raise InputError(f"no such key; known are {', '.join(near)}", source=source, key=f"keys.{name}")
        if not isinstance(value, str) or not value.strip():
            raise InputError(
                "must be keys with commas between them, as 'f5' or 'ctrl+r,r'", source=source, key=f"keys.{name}"
            )
        try:
            keys[name] = ",".join(_key(word.strip()) for word in value.split(","))
        except ValueError as error:
            raise InputError(str(error), source=source, key=f"keys.{name}") from None
    _refuse_doubles(keys, source)
    return keys


def _key(word: str) -> str:
    """Return a key as Textual names it; a character stands for itself."""
    *modifiers, base = word.split("+") if len(word) > 1 else [word]
    if strange := [m for m in modifiers if m not in _MODIFIERS]:
        raise ValueError(f"{strange[0]!r} is no modifier; there are {', '.join(_MODIFIERS)}")
    if len(base) == 1:
        if "shift" in modifiers:
            raise ValueError(f"a terminal sends {word!r} as the character: write {base.upper()!r}")
        base = base.lower() if modifiers else base
        if not base.isalnum() and base.isprintable():
            name = unicodedata.name(base).lower().replace("-", "_").replace(" ", "_")
            base = KEY_NAME_REPLACEMENTS.get(name, name)
    elif base not in _NAMED and not _is_unicode(base):
        raise ValueError(f"{word!r} is no key; keys are characters, f1, home, pageup, ctrl+r, ...")
    return "+".join([*modifiers, base])


def _is_unicode(name: str) -> bool:
    for words in (REPLACED_KEYS.get(name, name).replace("_", " "), name.replace("_", "-")):
        try:
            unicodedata.lookup(words.upper())
        except KeyError:
            continue
        return True
    return False


def view_bindings() -> dict[str, tuple[Binding, ...]]:
    """Return the keys of each view, those that all views have among them."""
    return {name: _bindings(view._merged_bindings or BindingsMap()) for name, view in VIEWS.items()}


def _bindings(known: BindingsMap) -> tuple[Binding, ...]:
    return tuple(binding for group in known.key_to_bindings.values() for binding in group if binding.id)


def _refuse_doubles(keys: Mapping[str, str], source: str) -> None:
    """Refuse a key that would do two things in one view: the view's own would hide the app's."""
    general = _ids_by_key(remap(BindingsMap(BINDINGS), keys))
    for view in VIEWS.values():
        own = _ids_by_key(remap(view._merged_bindings or BindingsMap(), keys))
        for key in {*general, *own}:
            ids = dict.fromkeys([*own.get(key, ()), *general.get(key, ())])
            changed = [name for name in ids if name in keys and key in keys[name].split(",")]
            if len(ids) > 1 and changed:
                other = next(name for name in ids if name != changed[0])
                raise InputError(
                    f"{key!r} is the key of {other} already; give that another one too",
                    source=source,
                    key=f"keys.{changed[0]}",
                )


def _ids_by_key(known: BindingsMap) -> dict[str, list[str]]:
    return {key: [b.id for b in group if b.id] for key, group in known.key_to_bindings.items()}


def remap(known: BindingsMap, keys: Mapping[str, str]) -> BindingsMap:
    """Return the bindings with other keys for those ids, in the same order."""
    result: dict[str, list[Binding]] = {}
    moved: set[str] = set()
    for key, group in known.key_to_bindings.items():
        for binding in group:
            name = binding.id or ""
            if name not in keys:
                result.setdefault(key, []).append(binding)
            elif name not in moved:
                moved.add(name)
                for new in keys[name].split(","):
                    result.setdefault(new, []).append(replace(binding, key=new, key_display=None))
    return BindingsMap.from_keys(result)
