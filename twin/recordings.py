"""Recordings of a real gNB under CPU quotas: one row for each recorded setting, and the run of live quota steps.

`load_recordings` reads a folder of raw messages; the means of the recordings that come with the package are kept as one
small table, so that nothing needs to parse the messages to use them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from col.errors import InputError
from twin.recording_lines import short
from twin.recording_means import measure_setting, measure_steps
from twin.recording_messages import read_recording
from twin.recording_rows import Setting, StepSample, read_rows, write_rows

__all__ = ["About", "Recordings", "Setting", "StepSample", "load_recordings", "packaged_recordings"]

_FORMAT = "rantwin-recordings/1"
_ABOUT_FILE = "about.json"
_ENDINGS = (".jsonl", ".jsonl.gz")
_MOST_FILES = 1000
_MOST_JSON_BYTES = 16 * 2**20
_MOST_TEXT = 2000
_MOST_NOTES = 200
_RADIO_MODES = ("rt", "zmq", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a calibration on the recordings is bound to, and what to know about them."""

    stack: str = "not stated"
    """Software, version and commit."""
    radio_mode: str = "unknown"
    """`rt`: late slots are lost; `zmq`: lock-step, starvation stretches slot time."""
    mcs_table: str = "unknown"
    split: str = "not stated"
    """Which parts of the gNB the measured process held."""
    traffic: str = "not stated"
    machine: str = "not stated"
    caveats: str = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """All settings of one campaign; two are the same campaign where `recording_id` is the same."""

    settings: tuple[Setting, ...]
    steps: tuple[StepSample, ...]
    about: About
    notes: tuple[str, ...] = ()
    """What was skipped or looks odd, each with the file's name."""

    @property
    def recording_id(self) -> str:
        """SHA-256 over all measured values and the names of their files, as stored; `about` and notes do not count."""
        return "sha256:" + hashlib.sha256(self._measured().encode()).hexdigest()

    def _measured(self) -> str:
        """Return settings and steps as JSON text."""
        return f' "settings": {write_rows(Setting, self.settings)},\n "steps": {write_rows(StepSample, self.steps)}'

    def to_json(self) -> str:
        """Return the recordings as a JSON document that `from_json` reads back without a difference."""
        head = {
            "format": _FORMAT,
            "recording_id": self.recording_id,
            "about": {f.name: getattr(self.about, f.name) for f in fields(About)},
            "notes": list(self.notes),
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        return "{\n" + ",\n".join(lines) + ",\n" + self._measured() + "\n}\n"

    @classmethod
    def from_json(cls, text: str, source: str = "recordings") -> Recordings:
        """Read what `to_json` wrote.

        Raises:
            InputError: not such a document, a value is missing or out of range, or values were changed by hand.
        """
        document = _parse(text, source)
        if document.get("format") != _FORMAT:
            raise InputError(f"must be {_FORMAT!r}", source=source, key="format", value=short(document.get("format")))
        notes = document.get("notes")
        if not isinstance(notes, list) or not all(map(_is_line, notes)) or len(notes) > _MOST_NOTES:
            raise InputError("must be a list of lines of text", source=source, key="notes")
        recordings = cls(
            settings=tuple(read_rows(Setting, document.get("settings"), source, "settings")),
            steps=tuple(read_rows(StepSample, document.get("steps"), source, "steps")),
            about=_read_about(document.get("about"), source, "about."),
            notes=tuple(notes),
        )
        if document.get("recording_id") != recordings.recording_id:
            again = "does not fit the values: make the file again from the raw recordings"
            raise InputError(again, source=source, key="recording_id")
        return recordings


def packaged_recordings(name: str = "srsran_gnb") -> Recordings:
    """Return recordings that come with the package, without reading raw messages."""
    file = resources.files("twin").joinpath("data").joinpath(name).joinpath("measured.json")
    return Recordings.from_json(file.read_text(encoding="utf-8"), source=f"{name}/measured.json")


def load_recordings(path: Path) -> Recordings:
    """Read raw recordings: a folder with `runs/` and `load/`, a folder of files, one file, or a `measured.json`.

    Files end in `.jsonl` or `.jsonl.gz`. A folder may hold an `about.json` with the keys of `About`; what it leaves
    open of radio mode and MCS table is taken from the messages. A file of remote commands alone is skipped with a note.

    Raises:
        InputError: nothing to read, or a file that cannot be used; one line names file and key.
    """
    if path.suffix == ".json" and path.is_file():
        return Recordings.from_json(_read_text(path), source=path.name)
    files, about = _find_files(path)
    settings, steps, modulations, notes = _measure(files)
    if not settings and not steps:
        raise InputError("no recorded setting in it (only remote commands)", source=path.name or str(path))
    about = about or About()
    for key, shown in (("radio_mode", _radio_mode(settings)), ("mcs_table", _mcs_table(modulations))):
        stated = getattr(about, key)
        if stated == "unknown":
            about = replace(about, **{key: shown})
        elif shown not in ("unknown", stated):
            notes.append(f"{_ABOUT_FILE}: {key} = {stated!r}, but the messages look like {shown!r}")
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES - 1 :] = [f"{len(notes) - _MOST_NOTES + 1} more notes left out"]
    return Recordings(settings=tuple(settings), steps=steps, about=about, notes=tuple(notes))


def _measure(files: Iterable[Path]) -> tuple[list[Setting], tuple[StepSample, ...], set[str], list[str]]:
    """Return settings by name, the steps, the modulations seen and the notes of some files."""
    settings: dict[Setting, Setting] = {}
    steps: tuple[StepSample, ...] = ()
    modulations: set[str] = set()
    notes: list[str] = []
    for file in files:
        raw = read_recording(file)
        said: tuple[str, ...] = ()
        if "t_quota" in raw.meta or not (raw.has_commands or "quotas" in raw.meta):
            setting, said = measure_setting(raw)
            twin = settings.setdefault(replace(setting, source="-"), setting)
            if twin is not setting:
                said = (f"skipped, it is the same run as {twin.source}",)
        elif "quotas" not in raw.meta:
            said = ("skipped, it records remote commands and no setting",)
        elif steps:
            said = ("skipped, one run of quota steps is read and there was one before",)
        else:
            steps, said = measure_steps(raw)
        modulations |= raw.modulations
        notes += [f"{raw.source}: {note}" for note in said]
    return sorted(settings.values(), key=lambda s: s.source), steps, modulations, notes


def _find_files(path: Path) -> tuple[list[Path], About | None]:
    """Return the files to read, sorted by name, and what the folder says about them."""
    shown = path.name or str(path)
    try:
        if not path.is_dir():
            return [path], None
        folders = [folder for folder in (path / "runs", path / "load") if folder.is_dir()] or [path]
        files = [f for folder in folders for f in folder.iterdir() if f.name.endswith(_ENDINGS) and f.is_file()]
        about_file = path / _ABOUT_FILE
        has_about = about_file.is_file()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=shown) from error
    if not files:
        raise InputError("no *.jsonl or *.jsonl.gz in it, nor in its folders runs/ and load/", source=shown)
    if len(files) > _MOST_FILES:
        raise InputError(f"{len(files)} recordings in it: at most {_MOST_FILES} are read", source=shown)
    if not has_about:
        return sorted(files), None
    return sorted(files), _read_about(_parse(_read_text(about_file), _ABOUT_FILE), _ABOUT_FILE, "")


def _radio_mode(settings: Iterable[Setting]) -> str:
    """Return how slots behave where CPU is short: lost while reports keep their time, or stretched."""
    for s in settings:
        if s.throttled_periods > 0.5 and s.reports >= 10:
            if s.report_interval_s > 1.2:
                return "zmq"
            if s.slots_scheduled_per_s < 970.0 and s.report_interval_s < 1.05:
                return "rt"
    return "unknown"


def _mcs_table(modulations: Iterable[str]) -> str:
    """Return the MCS table after the highest modulation that carried data."""
    orders = [int(name[3:6]) for name in modulations if name.startswith("qam")]
    highest = max(orders, default=0)
    return f"qam{highest}" if highest in (64, 256, 1024) else "unknown"


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_JSON_BYTES + 1)
        if len(data) > _MOST_JSON_BYTES:
            raise InputError(f"larger than {_MOST_JSON_BYTES >> 20} MB", source=path.name)
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", source=path.name) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=path.name) from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InputError(f"not a JSON document that can be read ({reason})", source=source) from error
    if not isinstance(document, dict):
        raise InputError("must be a JSON object", source=source)
    return document


def _is_line(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MOST_TEXT and value.isprintable()


def _read_about(values: object, source: str, prefix: str) -> About:
    known = {f.name for f in fields(About)}
    if not isinstance(values, Mapping):
        raise InputError("must be an object with the keys of `about`", source=source, key=prefix.strip("."))
    for key, value in values.items():
        where = prefix + str(key)[:40]
        if key not in known:
            raise InputError(f"unknown key: known are {', '.join(sorted(known))}", source=source, key=where)
        if not _is_line(value):
            raise InputError(f"must be one line of text of at most {_MOST_TEXT} characters", source=source, key=where)
    about = About(**values)
    if about.radio_mode not in _RADIO_MODES:
        allowed = f"must be one of {', '.join(_RADIO_MODES)}"
        raise InputError(allowed, source=source, key=prefix + "radio_mode", value=about.radio_mode)
    return about
