"""Random deaths of the agent at any write of the journal and any call to the testbed, before and after its effect.

RANTWIN_KILLS deaths (150 unless set), each in a random story of its own.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge.engine import Engine
from bridge.journal import Journal
from bridge.promotion import State
from col.errors import RantwinError
from tests.bridge.engine_world import BASE, OPERATOR, World, open_gate
from tests.bridge.scripted_backend import WINDOW_S, Fault

KILLS = int(os.environ.get("RANTWIN_KILLS", "150"))
BATCHES = 10


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing in the agent may catch it."""


@dataclass
class MortalWorld(World):
    """A world whose agent dies at the checkpoint to which `lives` counts down."""

    lives: int = -1
    deaths: int = 0
    acknowledged: list[tuple[str, State]] = field(default_factory=list)

    def start(self) -> None:
        self.testbed.before_call = self.testbed.after_call = lambda name: self.checkpoint()
        world = self

        class MortalJournal(Journal):
            def _transaction(self, write: Any) -> Any:
                world.checkpoint()
                result = super()._transaction(write)
                world.checkpoint()
                return result

        self.journal = MortalJournal(self.folder / "journal.db", self.clock, **self.journal_options)
        self.engine = Engine(self.testbed, self.journal, open_gate, self.settings, self.clock)
        self.engine.recover()

    def checkpoint(self) -> None:
        if self.lives > 0:
            self.lives -= 1
            if self.lives == 0:
                raise Killed

    def mortal(self, act: Any) -> None:
        """Carry out an act; if the agent dies in it, start it again until it lives."""
        try:
            act()
        except Killed:
            self.deaths += 1
            while True:
                self.die()
                try:
                    self.start()
                    return
                except Killed:
                    self.deaths += 1
        except RantwinError:
            pass  # a refusal or a testbed's fault, answered as such


def story(world: MortalWorld, random_: random.Random) -> None:
    """One to three promotions with random faults, of which each ends in its own way."""
    for i in range(random_.randint(1, 3)):
        promotion_id = f"p{i}"
        target = {"cpu_a": random_.choice([0.5, 1.25, 1.5, 3.0]), "cpu_b": random_.choice([1.0, 1.75, 2.5])}
        request = world.request(promotion_id, target=target, auto_confirm=random_.random() < 0.3)
        if random_.random() < 0.4:
            call = random_.choice(["apply", "read", "windows", "set_automation"])
            faults = [Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.UNREACHABLE, Fault.REFUSE, Fault.NO_EFFECT]
            world.testbed.faults[call].extend(random_.choices(faults, k=random_.randint(1, 3)))

        def act(request: Any = request) -> None:
            plan = world.engine.plan(OPERATOR, request)
            seen = world.engine.apply(OPERATOR, request.promotion_id, plan.digest)
            world.acknowledged.append((request.promotion_id, seen.state))

        for _ in range(random_.randint(1, 2)):  # a controller that got no answer asks again
            world.mortal(act)
        end = random_.choice(["confirm", "confirm", "cancel", "lease", "kill switch", "controller goes on"])
        for _ in range(13):
            world.clock.advance(WINDOW_S / 3)

            def tick(end: str = end, promotion_id: str = promotion_id) -> None:
                if end != "lease":
                    world.engine.renew_lease(OPERATOR, promotion_id)
                world.engine.tick()

            world.mortal(tick)
            if random_.random() < 0.05:
                world.mortal(lambda: world.engine.roll_back_everything(OPERATOR, ""))

        def finish(end: str = end, promotion_id: str = promotion_id) -> None:
            if end == "confirm":
                seen = world.engine.confirm(OPERATOR, promotion_id)
            elif end == "cancel":
                seen = world.engine.cancel(OPERATOR, promotion_id, "")
            elif end == "kill switch":
                world.engine.roll_back_everything(OPERATOR, "")
                return
            else:
                return
            world.acknowledged.append((promotion_id, seen.state))

        world.mortal(finish)
    world.lives = -1
    world.testbed.faults.clear()
    for _ in range(32):  # nobody is there any more: leases and plans run out
        world.clock.advance(10.0)
        world.mortal(world.engine.tick)


def check(world: MortalWorld) -> None:
    found = world.journal.verify()
    assert found.is_sound, found.problem
    entries = world.journal.entries(1, 100_000)
    states: dict[str, list[str]] = {}
    expected = dict(BASE)
    for entry in entries:
        if not entry.promotion_id:
            continue
        history = states.setdefault(entry.promotion_id, [""])
        assert entry.state_before == history[-1], f"a transition of {entry.promotion_id} is lost before {entry.number}"
        history.append(entry.state_after)
        if entry.state_after == State.CONFIRMED:
            values = entry.details["values"]
            assert isinstance(values, dict)
            expected |= values
    for promotion_id, state in world.acknowledged:
        assert state in states[promotion_id], f"{promotion_id} was said to be {state}, and the journal knows nothing"
    for promotion_id, history in states.items():
        assert State(history[-1]).is_final, f"{promotion_id} ends as {history[-1]}"
        applied = history.count(State.APPLYING)
        assert applied <= 1, f"{promotion_id} was applied {applied} times"
    assert world.testbed.values == expected
    was_confirmed = any(State.CONFIRMED in history for history in states.values())
    assert world.testbed.automation == (world.automation and not was_confirmed)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_after_any_death_no_transition_is_lost_and_the_testbed_is_as_last_confirmed(tmp_path: Path, batch: int) -> None:
    deaths = 0
    seed = batch
    while deaths < KILLS / BATCHES:
        random_ = random.Random(seed)
        folder = tmp_path / str(seed)
        world = MortalWorld(folder, automation=random_.random() < 0.3)
        world.lives = random_.randint(1, 220)
        try:
            story(world, random_)
            check(world)
        except AssertionError as error:
            raise AssertionError(f"story {seed}: {error}") from error
        finally:
            world.die()
        deaths += world.deaths
        seed += BATCHES
