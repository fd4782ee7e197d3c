"""The emulated testbed itself: a live run that differs from the twin, its durable state, and the answers to requests.

It knows no socket and no wall clock: whoever serves it says how much simulated time has passed.
"""

from __future__ import annotations

import json
import math
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from col.errors import InputError
from twin.emulated.misbehave import HOLDABLE, Fault, FaultSetting, Misbehaviour
from twin.emulated.protocol import Answer, BadRequestError, RefusedRequestError
from twin.emulated.requests import check_keys, error_answer, number_of, values_of, whole_of
from twin.emulated.settings import STACK, EmulatedSettings, describe
from twin.emulated.state import PlantState, StoredWindow
from twin.live import LiveWindow

__all__ = ["STACK", "CrashRequestedError", "EmulatedPlant"]

MOST_WINDOWS = 256
"""In one answer: whoever else asks meanwhile waits for it."""
MOST_ADVANCE_S = 3600.0
_REMEMBERED = 256


class CrashRequestedError(Exception):
    """The process is to die now, as if it had been killed."""


class EmulatedPlant:
    """One process run of the testbed, begun where the state folder says."""

    def __init__(self, settings: EmulatedSettings, state: PlantState, misbehaviour: Misbehaviour | None = None) -> None:
        """Begin a new run; without `misbehaviour` what was left of the last run's goes on."""
        self._settings, self._state = settings, state
        self._scenario = settings.scenario
        self._description = self._scenario.description()
        stored = state.load(self._description.reference.values)
        self._misbehaviour = self._checked(misbehaviour if misbehaviour is not None else Misbehaviour())
        if misbehaviour is None:
            self._misbehaviour.change(stored.misbehaviour)
        self._described = describe(settings)
        self._number = stored.runs
        self._offset_s = stored.resume_s
        self._run = settings.live_run(
            self._number,
            stored.values,
            law=settings.law,
            automation=stored.automation,
            first_sequence=stored.next_sequence,
        )
        self._frozen = 0  # windows that closed while frozen have no number
        self._late: list[tuple[int, StoredWindow]] = []
        self._answered: OrderedDict[str, tuple[str, dict[str, Any]]] = OrderedDict()
        self.status: dict[str, float] = {}
        """What the server says of its pace, for `ping`."""
        self.hang_epoch = 0
        """Grows when somebody tells the hang to end: requests held since before are to be carried out."""
        self._saved_misbehaviour = self._misbehaviour.to_dict()
        state.save(
            runs=self._number + 1,
            values=dict(stored.values),
            misbehaviour=self._saved_misbehaviour,
            resume_s=self._resume_s(self._scenario.window.warmup_s),
        )

    def _checked(self, misbehaviour: Misbehaviour) -> Misbehaviour:
        known = {metric.name for metric in self._description.metrics} | {"*"}
        for name in misbehaviour.to_dict().get(Fault.NAN, {}).get("metrics", ()):
            if name not in known:
                raise InputError("no such metric", key="nan.metrics", value=name[:60])
        return misbehaviour

    @property
    def now_ms(self) -> int:
        """Simulated time since this run began in ms."""
        return self._run.now_ms

    @property
    def at_s(self) -> float:
        """The testbed's own clock."""
        return self._offset_s + self._run.now_ms / 1000.0

    def _resume_s(self, settle_s: float) -> float:
        """Return a time that this clock will not pass before it is saved again: windows begin after `settle_s`."""
        return self.at_s + settle_s + self._scenario.window.length_s

    def advance(self, slots: int) -> None:
        """Let simulated time pass (ms) and record the windows that close."""
        for window in self._run.advance(slots):
            self._record(window)
        self._release()

    def holds(self, op: str) -> FaultSetting | None:
        """Return how a request is to be held unanswered, None if it is not."""
        setting = self._misbehaviour.take(Fault.HANG, op) if op in HOLDABLE else None
        if setting is None:
            return None
        self._save_misbehaviour()
        return setting

    def handle(self, request: Mapping[str, Any]) -> Answer:
        """Carry out a request and return the answer.

        Raises:
            CrashRequestedError: by configuration, before or after the request was carried out.
        """
        op = request["op"]
        echo = {"id": request["id"]} if isinstance(request.get("id"), str | int) else {}
        try:
            handler = getattr(self, f"_do_{op}", None) if op in _OPS else None
            if handler is None:
                raise BadRequestError(f"no such op; there are {', '.join(_OPS)}")
            check_keys(request, _OPS[op])
            if self._misbehaviour.take(Fault.REFUSE, op) is not None:
                self._save_misbehaviour()
                raise RefusedRequestError("refused by configuration (misbehave)")
            body = {"ok": True, **echo, **handler(request)}
        except BadRequestError as error:
            return error_answer(echo, "bad_request", str(error))
        except InputError as error:
            return error_answer(echo, "bad_request", str(error))
        except RefusedRequestError as error:
            return error_answer(echo, "refused", str(error))
        if self._misbehaviour.take(Fault.REPLY_LOST, op) is not None:
            self._save_misbehaviour()
            return Answer(body=None)
        return Answer(body=body)

    # --- windows ------------------------------------------------------------------------------------------------------

    def _record(self, window: LiveWindow) -> None:
        """Give a closed window its number and put it, as misbehaviour has it, where it is seen."""
        take = self._misbehaviour.take
        facts: dict[str, object] = {"values": self._run.controls, "resume_s": self._resume_s(0.0)}
        rows: list[StoredWindow] = []
        if take(Fault.FREEZE) is not None:
            self._frozen += 1
        else:
            row = self._state.row(window, run=self._number, offset_s=self._offset_s)
            row = _renumbered(row, window.sequence - self._frozen, self._missing())
            facts["next_sequence"] = row.sequence + 1
            if take(Fault.LOST_WINDOWS) is None:
                if (late := take(Fault.LATE_WINDOWS)) is not None:
                    self._late.append((window.end_ms + late.windows * self._scenario.window_slots, row))
                else:
                    rows = [row]
        if (now := self._misbehaviour.to_dict()) != self._saved_misbehaviour:
            facts["misbehaviour"] = self._saved_misbehaviour = now
        self._state.append(rows, **facts)

    def _missing(self) -> list[int]:
        """Return the columns of metrics that are missing in this window."""
        setting = self._misbehaviour.take(Fault.NAN)
        if setting is None:
            return []
        names = [metric.name for metric in self._description.metrics]
        return [i for i, name in enumerate(names) if "*" in setting.metrics or name in setting.metrics]

    def _release(self) -> None:
        """Let late windows be seen whose time has come."""
        due = [row for at, row in self._late if at <= self._run.now_ms]
        if due:
            self._late = [(at, row) for at, row in self._late if at > self._run.now_ms]
            self._state.append(due)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _do_describe(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._described

    def _do_read(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._reading(self._run.controls)

    def _reading(self, controls: Mapping[str, float]) -> dict[str, Any]:
        return {
            "controls": dict(controls),
            "at_s": self.at_s,
            "next_sequence": self._run.next_sequence - self._frozen,
            "automation": self._run.automation,
            "run": self._number,
        }

    def _do_apply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        values, settle_s = values_of(request.get("values")), number_of(request, "settle_s", 0.0, 3600.0)
        known = {control.name: control for control in self._description.controls}
        for name, value in values.items():
            if name not in known:
                raise RefusedRequestError(f"{name[:60]}: no such control")
            if not known[name].lower - 1e-9 <= value <= known[name].upper + 1e-9:
                low, high, unit = known[name].lower, known[name].upper, known[name].unit
                raise RefusedRequestError(f"{name} = {value:g}: must lie in [{low:g}, {high:g}] {unit}")
        key, content = request.get("request_id", ""), json.dumps([values, settle_s], sort_keys=True)
        if not isinstance(key, str) or len(key) > 200:
            raise BadRequestError("request_id must be a text of at most 200 characters")
        if key and key in self._answered:
            if self._answered[key][0] != content:
                raise BadRequestError("request_id was used for another request")
            return self._answered[key][1]
        answer = self._apply(values, settle_s)
        if key:
            self._answered[key] = (content, answer)
            while len(self._answered) > _REMEMBERED:
                self._answered.popitem(last=False)
        return answer

    def _apply(self, values: Mapping[str, float], settle_s: float) -> dict[str, Any]:
        take = self._misbehaviour.take
        crash_before, crash_after = take(Fault.CRASH_BEFORE_APPLY), take(Fault.CRASH_AFTER_APPLY)
        nothing, partial = take(Fault.ACK_WITHOUT_EFFECT), take(Fault.PARTIAL_EFFECT)
        self._save_misbehaviour()
        if crash_before is not None:
            raise CrashRequestedError
        claimed = {name: self._description.control(name).snap(value) for name, value in values.items()}
        asked = dict(values) if nothing is None else {}
        if partial is not None:
            asked = _half(asked, self._run.controls)
        if asked:
            snapped = {name: self._description.control(name).snap(value) for name, value in asked.items()}
            resume_s = self._resume_s(settle_s + self._scenario.window.warmup_s)
            self._state.save(values={**self._run.controls, **snapped}, resume_s=resume_s)
            self._run.set_controls(snapped, settle_s=settle_s)
        if crash_after is not None:
            raise CrashRequestedError
        return self._reading({**self._run.controls, **claimed})

    def _do_automation(self, request: Mapping[str, Any]) -> dict[str, Any]:
        enabled = request.get("enabled")
        if not isinstance(enabled, bool):
            raise BadRequestError("enabled must be true or false")
        if enabled and not self._run.has_autoscaler:
            raise RefusedRequestError("this testbed has no autoscaler (its load law is operating)")
        self._run.set_automation(enabled)
        self._state.save(automation=enabled)
        return {"automation": self._run.automation}

    def _do_windows(self, request: Mapping[str, Any]) -> dict[str, Any]:
        since, limit = whole_of(request, "since", 0, 2**62), whole_of(request, "limit", 1, 2**31)
        rows = self._state.windows(since, min(limit, MOST_WINDOWS))
        if rows and self._misbehaviour.take(Fault.DUPLICATE_WINDOWS) is not None:
            self._save_misbehaviour()
            rows = [row for row in rows for _ in (0, 1)]
        names = [c.name for c in self._description.controls], [m.name for m in self._description.metrics]
        return {
            "sequence": [row.sequence for row in rows],
            "start_s": [row.start_s for row in rows],
            "end_s": [row.end_s for row in rows],
            "run": [row.run for row in rows],
            "controls": _columns(names[0], [row.controls for row in rows]),
            "metrics": _columns(names[1], [row.metrics for row in rows]),
        }

    def _do_misbehave(self, request: Mapping[str, Any]) -> dict[str, Any]:
        faults, clear = request.get("set", {}), request.get("clear", False)
        if not isinstance(faults, dict) or not isinstance(clear, bool):
            raise BadRequestError("set must be an object, clear true or false")
        changed = Misbehaviour()
        changed.change({} if clear else self._misbehaviour.to_dict())
        changed.change(faults)
        self._misbehaviour = self._checked(changed)
        if clear or faults.get(Fault.HANG) is False:
            self.hang_epoch += 1
        self._save_misbehaviour()
        return {"misbehave": changed.to_dict()}

    def _do_ping(self, _: Mapping[str, Any]) -> dict[str, Any]:
        here = {"pid": os.getpid(), "run": self._number, "at_s": self.at_s, "durable": self._state.is_durable}
        return {**here, **self.status}

    def _do_advance(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._settings.speed > 0:
            raise RefusedRequestError("simulated time follows the clock here; start with speed 0 to move it by hand")
        self.advance(round(1000 * number_of(request, "seconds", 0.0, MOST_ADVANCE_S)))
        return {"at_s": self.at_s}

    def _save_misbehaviour(self) -> None:
        if (now := self._misbehaviour.to_dict()) != self._saved_misbehaviour:
            self._state.save(misbehaviour=now)
            self._saved_misbehaviour = now


_OPS: dict[str, tuple[str, ...]] = {
    "describe": (),
    "read": (),
    "apply": ("values", "settle_s", "request_id"),
    "automation": ("enabled",),
    "windows": ("since", "limit"),
    "misbehave": ("set", "clear"),
    "ping": (),
    "advance": ("seconds",),
}


def _half(values: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return the first half of the controls by name; a single one goes half of its way."""
    names = sorted(values)
    if len(names) == 1:
        return {names[0]: 0.5 * (values[names[0]] + now[names[0]])}
    return {name: values[name] for name in names[: len(names) // 2]}


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, list[float | None]]:
    """Return the columns of rows; what is missing (NaN) is None."""
    columns: list[list[float]] = np.array(rows, dtype=np.float64).reshape(len(rows), len(names)).T.tolist()
    return {
        name: [None if value != value else value for value in column]
        for name, column in zip(names, columns, strict=True)
    }


def _renumbered(row: StoredWindow, sequence: int, missing: list[int]) -> StoredWindow:
    metrics = tuple(math.nan if i in missing else value for i, value in enumerate(row.metrics))
    return StoredWindow(
        sequence=sequence, start_s=row.start_s, end_s=row.end_s, run=row.run, controls=row.controls, metrics=metrics
    )
