"""PRB share of a slice and announced SSB power of a running gNB, accepted only by their effect on its reports.

There is nothing to read these values from: what is in force is what the gNB was started with, or the last value whose
effect showed. A value that was sent waits for its effect; meanwhile `read` answers it. If none shows in time, `read`
answers the value before, and that one is sent again: the agent sees that its target is not in force and rolls back.
Going back to the value that was in force before needs no effect, only none against it: no way back hangs on load. If
the reports do speak against it, `read` answers the value before, and that one is not sent again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.controls.driver import Evidence, Proof
from bridge.controls.effect import CellReport, Verdict, is_test_mode, power_effect, share_effect
from bridge.controls.gnb_channel import Channel
from bridge.controls.machine import Machines
from bridge.controls.memory import Held, Memory
from col.errors import InputError, OutcomeUnknownError, PlantError, RefusedError, UnreachableError

__all__ = ["Cell", "RemoteControlDriver", "RemoteKind", "RemoteValue", "prbs_of"]

_BASELINE, _JUDGED, _TRANSIENT_S = 5, 3, 1.0
"""Reports before a command, reports after it, and how long after it they do not count yet."""


class RemoteKind(StrEnum):
    """What srsRAN 25.10 takes while it runs; the value is the control's kind in the inventory."""

    SLICE_MAX = "slice_prb_max"
    """The most PRBs that a slice may have, per cent of the carrier's."""
    SSB_POWER = "ssb_power"
    """SS-PBCH block power as SIB1 announces it [dBm]; what is radiated stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteValue:
    """One control: what it sets, and the value that the gNB's configuration starts with."""

    name: str
    kind: RemoteKind
    configured: float
    sst: int = 1
    sd: int | None = None
    min_percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The gNB's cell as its configuration has it; `slices` is how many are configured."""

    workload: str
    plmn: str = "00101"
    nci: int | None = None
    prbs: int = 25
    slices: int = 1
    test_mode: bool = False


class RemoteControlDriver:
    """The remote controls of one gNB."""

    def __init__(
        self,
        cell: Cell,
        values: Sequence[RemoteValue],
        channel: Channel,
        machines: Machines,
        memory: Memory,
        *,
        grace_s: float = 8.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the cell, its controls and how long an effect may take to show [s]."""
        self._cell, self._values = cell, {value.name: value for value in values}
        self._channel, self._machines, self._memory = channel, machines, memory
        self._grace_s, self._now_s = grace_s, now_s
        self._sent: dict[str, tuple[float, tuple[CellReport, ...]]] = {}
        self._lock = threading.Lock()
        for value in values:
            if value.kind is RemoteKind.SSB_POWER and cell.nci is None:
                raise InputError("ssb_power needs the gNB's `nci`", key=value.name)

    def names(self) -> tuple[str, ...]:
        """Return the controls of this gNB."""
        return tuple(self._values)

    def refusals(self, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return what the gNB would acknowledge without effect, or not survive."""
        reasons: list[str] = []
        forced = self._cell.test_mode or is_test_mode(self._channel.reports()[-_BASELINE:])
        for name, value in values.items():
            known = self._values[name]
            if value == self._in_force(known):
                continue
            if known.kind is RemoteKind.SSB_POWER:
                if forced:
                    reasons.append(
                        f"{name}: the gNB runs in test mode, where ssb_set hangs its control channel for good"
                    )
                if value != math.floor(value) or not -60.0 <= value <= 50.0:
                    reasons.append(f"{name} = {value:g} dBm: must be a whole number from -60 to 50")
                continue
            if forced:
                reasons.append(f"{name}: the gNB runs in test mode, whose traffic is in no slice: it has no effect")
            now, then = (prbs_of(v, self._cell.prbs) for v in (self._in_force(known), value))
            if then < 1:
                reasons.append(f"{name} = {value:g} %: that is none of {self._cell.prbs} PRBs")
            if value < known.min_percent:
                reasons.append(f"{name} = {value:g} %: below the slice's minimum of {known.min_percent:g} %")
            if now == then:
                reasons.append(
                    f"{name} = {value:g} %: both are {now} of {self._cell.prbs} PRBs, so nothing would change"
                )
        return tuple(reasons)

    def read(self, within_s: float) -> Mapping[str, float]:
        """Return what is in force, after a look at the reports about what waits for its effect."""
        until_s = self._now_s() + within_s
        started_at = self._machines.started_at(self._cell.workload, within_s)
        self._channel.reports()  # listens from the first reading on, so that there is something to compare with
        with self._lock:
            for name in self._values:
                self._look(name, started_at, until_s)
            return {name: self._in_force(value) for name, value in self._values.items()}

    def apply(self, values: Mapping[str, float], within_s: float) -> None:
        """Send the values, one command each."""
        until_s = self._now_s() + within_s
        if reasons := self.refusals(values):
            raise RefusedError(reasons)
        started_at = self._machines.started_at(self._cell.workload, within_s)
        with self._lock:
            done: list[str] = []
            for name, value in values.items():
                self._look(name, started_at, until_s)
                if value == self._in_force(self._values[name]):
                    continue
                try:
                    self._send(name, value, started_at, until_s)
                except OutcomeUnknownError:
                    raise
                except PlantError as error:
                    if not done:
                        raise
                    raise OutcomeUnknownError(f"{', '.join(done)} was set, then: {error}") from error
                done.append(name)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what is known of each control."""
        found = []
        for name, value in self._values.items():
            held = self._memory.get(name)
            proof, text = (held.proof, held.text) if held else (Proof.CONFIGURED, "the gNB's configuration")
            found.append(Evidence(control=name, value=self._in_force(value), proof=proof, text=text))
        return tuple(found)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self, name: str, value: float, started_at: str, until_s: float) -> None:
        known, old = self._values[name], self._memory.get(name)
        before, is_return = self._in_force(known), False
        if old is not None:
            is_return = value == old.before or (old.is_return and value == old.value)
            if old.proof is Proof.WAITING and not old.is_return:
                before = old.before  # what never showed is nothing to compare with, and nothing to go back to
        baseline = self._channel.reports()[-_BASELINE:]
        self._memory.put(
            name,
            Held(
                value=value,
                before=before,
                proof=Proof.WAITING,
                started_at=started_at,
                is_return=is_return,
                text="acknowledged; its effect has not shown yet",
            ),
        )
        try:
            self._channel.request(self._command(known, value), max(0.001, until_s - self._now_s()))
        except (RefusedError, UnreachableError):
            self._memory.put(name, old)
            raise
        finally:
            self._sent[name] = (self._now_s(), baseline)

    def _command(self, known: RemoteValue, value: float) -> dict[str, object]:
        if known.kind is RemoteKind.SSB_POWER:
            cell = {"plmn": self._cell.plmn, "nci": self._cell.nci, "ssb_block_power_dbm": int(value)}
            return {"cmd": "ssb_set", "cells": [cell]}
        member: dict[str, object] = {"plmn": self._cell.plmn, "sst": known.sst}
        if known.sd is not None:
            member["sd"] = known.sd
        policies = {
            "resourceType": "PRB",
            "rRMPolicyMemberList": [member],
            "min_prb_policy_ratio": int(known.min_percent),
            "max_prb_policy_ratio": int(value),
        }
        return {"cmd": "rrm_policy_ratio_set", "policies": policies}

    # --- what is in force ---------------------------------------------------------------------------------------------

    def _in_force(self, known: RemoteValue) -> float:
        held = self._memory.get(known.name)
        return known.configured if held is None else held.in_force

    def _look(self, name: str, started_at: str, until_s: float) -> None:
        """Move what is known of a control on, as far as the reports allow."""
        held = self._memory.get(name)
        if held is None:
            return
        if held.started_at != started_at:  # another process, with the configuration's values
            self._memory.put(name, None)
            return
        if held.proof is Proof.NONE and not held.is_undone:
            self._undo(name, held, until_s)
        if held.proof is not Proof.WAITING:
            return
        # An agent that was started since has no reports of before: no effect can show, and the value is taken back.
        sent_s, before = self._sent.setdefault(name, (self._now_s(), ()))
        after = [r for r in self._channel.reports() if r.at_s > sent_s + _TRANSIENT_S][-_JUDGED:]
        verdict = self._verdict(self._values[name], held, before, after) if len(after) == _JUDGED else Verdict.SILENT
        if verdict is Verdict.SHOWN:
            self._memory.put(name, replace(held, proof=Proof.EFFECT, text="its effect showed in the gNB's reports"))
        elif self._now_s() - sent_s > self._grace_s:
            if held.is_return and verdict is Verdict.SILENT:
                text = "acknowledged, back to what was in force before; nothing speaks against it"
                self._memory.put(name, replace(held, proof=Proof.NOT_CONTRADICTED, text=text))
                return
            why = "the reports speak against it" if verdict is Verdict.CONTRADICTED else "no effect showed"
            text = f"{held.value:g} was acknowledged, but {why} within {self._grace_s:g} s (is there enough load?)"
            # Of a way back nothing is taken back: that would put the value of a trial that is over in force again.
            held = replace(held, proof=Proof.NONE, is_undone=held.is_return, text=text)
            self._memory.put(name, held)
            if not held.is_undone:
                self._undo(name, held, until_s)

    def _undo(self, name: str, held: Held, until_s: float) -> None:
        """Send the value before again: the gNB may have done more than its reports show.

        UnreachableError while that cannot be sent, since what is in force is not known then.
        """
        known = self._values[name]
        try:
            self._channel.request(self._command(known, held.before), max(0.001, until_s - self._now_s()))
        except OutcomeUnknownError as error:
            raise UnreachableError(f"{name}: {held.text}; taking it back: {error}") from error
        except PlantError as error:
            raise UnreachableError(f"{name}: {held.text}; it cannot be taken back: {error}") from error
        self._memory.put(name, replace(held, is_undone=True))

    def _verdict(
        self, known: RemoteValue, held: Held, before: Sequence[CellReport], after: Sequence[CellReport]
    ) -> Verdict:
        if known.kind is RemoteKind.SSB_POWER:
            return power_effect(before, after, step_db=held.value - held.before)
        return share_effect(
            before,
            after,
            prbs_before=prbs_of(held.before, self._cell.prbs),
            prbs_after=prbs_of(held.value, self._cell.prbs),
            alone=self._cell.slices == 1,
        )


def prbs_of(percent: float, prbs: int) -> int:
    """Return the PRBs that a ratio comes to: the gNB rounds down."""
    return math.floor(percent * prbs / 100.0 + 1e-9)
