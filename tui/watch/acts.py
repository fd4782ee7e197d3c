"""What goes beyond looking: asked for by a key or a view, refused without `--operate`, done in a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from bridge.promotion import Promotion
from col.errors import RantwinError, RefusedError
from col.specification import Verdict
from tui.plan_view import change_lines, reason_lines, standing
from tui.watch.state import Rehearsal, RehearsalView, Severity

if TYPE_CHECKING:
    from tui.watch.app import WatchApp
    from tui.watch.feeds_operate import Operator
    from tui.watch.feeds_process import RehearsalRunner

__all__ = ["CHANGES_TESTBED", "Acts"]

CHANGES_TESTBED = frozenset({"approve", "confirm", "roll back", "kill switch", "serve"})
"""What needs `--operate`: all that acts on a testbed, or starts one."""

_ALIVE = (Rehearsal.RUNNING, Rehearsal.PAUSED)


class Acts:
    """The acts of one app."""

    def __init__(self, app: WatchApp) -> None:
        self._app = app

    def ask(self, act: str) -> None:
        """Ask what must be asked, then do it; say why not where it cannot be done."""
        if act in CHANGES_TESTBED and not self._app.look.operate:
            self._app.tell(f"{act}: read-only; 'rantwin watch --operate' may change the testbed", Severity.WARNING)
            return
        acts: dict[str, Callable[[], None]] = {
            "approve": self._approve,
            "confirm": self._confirm,
            "roll back": self._roll_back,
            "kill switch": self._kill,
            "rehearse": self._rehearse,
            "stop": self._stop,
            "resume": self._resume,
            "pause": self._pause,
            "step": self._step,
            "budget": self._budget,
            "serve": self._serve,
        }
        try:
            acts[act]()
        except RantwinError as error:
            self._app.complain(error)

    def leave(self) -> None:
        """Leave the screen; a lease that it keeps runs out then, and that is asked first."""
        operator = self._app.feeds.operator
        ended = {p.promotion_id for p in self._app.state.promotions.promotions if p.state.is_final}
        if operator is None or not operator.keeps or operator.keeps in ended:
            self._app.exit()
            return
        lines = [f"This screen keeps the lease of {operator.keeps}.", "Without it the testbed goes back by itself."]
        self._ask("Leave with a promotion in flight?", lines, "leave", self._app.exit)

    # --- on the testbed -----------------------------------------------------------------------------------------------

    def _approve(self) -> None:
        operator, status = self._operator(), self._app.feeds.status
        if status is None:
            raise RefusedError(("there is no testbed",))
        if status.active is not None:
            raise RefusedError((f"a promotion is in flight: {standing(status.active)}",))
        if operator.step is None:
            raise RefusedError((self._app.state.promotions.words or "there is no certified step to carry out",))
        step, plan = operator.step, operator.plan
        lines = [f"Step {step.number} of {step.count} of {operator.run}, on {self._testbed()}:"]
        if plan is not None:
            lines += change_lines(plan)
            if plan.reasons:
                lines += ["the gate has something against it now:", *reason_lines(plan.reasons)]
        self._ask(
            "Apply this under a lease?", lines, "apply", lambda: self._do(partial(operator.approve, status, "", step))
        )

    def _confirm(self) -> None:
        promotion, operator = self._active(), self._operator()
        if promotion.verdict is not Verdict.PASS:
            verdict = "no verdict yet" if promotion.verdict is None else f"verdict {promotion.verdict}"
            raise RefusedError((f"cannot be confirmed: {verdict}, {standing(promotion)}",))
        lines = [standing(promotion), *change_lines(promotion.plan), f"These values stay on {self._testbed()}."]
        self._ask("Keep this?", lines, "confirm", lambda: self._do(partial(operator.confirm, promotion.promotion_id)))

    def _roll_back(self) -> None:
        promotion, operator = self._active(), self._operator()
        lines = [standing(promotion), f"{self._testbed()} goes back to its confirmed configuration."]
        self._ask("Roll back now?", lines, "rollback",
                  lambda: self._do(partial(operator.roll_back, promotion.promotion_id, "")))  # fmt: skip

    def _kill(self) -> None:
        operator = self._operator()
        self._do(partial(operator.kill, "kill switch on screen"))

    def _serve(self) -> None:
        starter = self._app.feeds.starter
        if starter is None:
            raise RefusedError(("only the embedded testbed of this machine can be started here",))
        if self._app.feeds.status is not None and self._app.state.testbed.connection == "connected":
            raise RefusedError(("the testbed is there already",))
        log = starter.start()
        self._app.tell(f"starts the agent and the embedded EMULATED testbed; up to a minute the first time ({log})")

    # --- rehearsals ---------------------------------------------------------------------------------------------------

    def _rehearse(self) -> None:
        runner = self._runner()
        if runner.is_running:
            raise RefusedError(("a rehearsal of this screen runs already: x stops it",))
        scenario = self._app.scenario
        lines = [f"scenario {scenario or 'cpu-allocation'}; it goes on when the screen is left, x stops it"]

        def start() -> None:
            runner.start(scenario=scenario)
            self._app.tell("rehearsal begins; its run is shown as soon as it is there")

        self._ask("Rehearse on the twin?", lines, "", start)

    def _stop(self) -> None:
        runner, rehearsal = self._runner(), self._app.state.rehearsal
        run = Path(rehearsal.run) if rehearsal.run else None
        if not runner.is_running and rehearsal.state not in _ALIVE:
            raise RefusedError(("no rehearsal runs",))

        def stop() -> None:
            runner.stop(run)
            self._app.tell("rehearsal stops; u resumes it")

        if runner.is_running:
            stop()
        else:
            self._ask("Stop it?", ["Another process rehearses this run; it can be resumed."], "stop", stop)

    def _resume(self) -> None:
        runner, rehearsal = self._runner(), self._rehearsal()
        run = Path(rehearsal.run)
        self._may_try(rehearsal)
        waits = runner.wanted(run).hold is not None
        if rehearsal.state in _ALIVE and waits:
            runner.go_on(run)
            self._app.tell("rehearsal goes on; P pauses it")
            return
        runner.resume(run)
        self._app.tell(f"rehearsal goes on in {run}" + (", and waits where it was paused: u again" if waits else ""))

    def _pause(self) -> None:
        runner, rehearsal = self._runner(), self._rehearsal(alive=True)
        run = Path(rehearsal.run)
        if runner.wanted(run).hold is not None:
            self._resume()
            return
        runner.pause(run)
        self._app.tell("rehearsal pauses as soon as what is under way is done; S makes one step, u goes on")

    def _step(self) -> None:
        runner, rehearsal = self._runner(), self._rehearsal(alive=True)
        self._may_try(rehearsal)
        runner.step(rehearsal)
        self._app.feeds.wake()

    def _budget(self) -> None:
        from tui.watch.ask_number import AskNumber

        runner, rehearsal = self._runner(), self._rehearsal()
        if rehearsal.state is Rehearsal.FINISHED:
            raise RefusedError(("the rehearsal is finished: what it learned is certified as it is",))
        self._may_try(rehearsal)
        run = Path(rehearsal.run)
        lines = [f"{rehearsal.trials_done} of {rehearsal.trials_total} trials are made.",
                 "Fewer than are made end it; then it certifies what it has learned."]  # fmt: skip

        def answered(trials: int | None) -> None:
            if trials is not None:
                self._guarded(lambda: change(trials))

        def change(trials: int) -> None:
            runner.budget(run, trials)
            self._app.tell(f"the rehearsal makes {trials} trials in all")

        self._app.push_screen(AskNumber("How many trials in all?", lines, rehearsal.trials_total), answered)

    def _rehearsal(self, *, alive: bool = False) -> RehearsalView:
        """Return the rehearsal that is shown; refuse where there is none, or none that runs."""
        rehearsal = self._app.state.rehearsal
        if not rehearsal.run:
            raise RefusedError(("there is no run: n rehearses",))
        if alive and rehearsal.state not in _ALIVE:
            raise RefusedError((f"no rehearsal runs: {rehearsal.words}",))
        return rehearsal

    def _may_try(self, rehearsal: RehearsalView) -> None:
        """Refuse what leads to trials on a testbed to a screen that may change none."""
        if rehearsal.on_testbed and not self._app.look.operate:
            text = "this run tries on a testbed; 'rantwin watch --operate' may let it go on"
            raise RefusedError((f"read-only: {text}",))

    # --- how ----------------------------------------------------------------------------------------------------------

    def _operator(self) -> Operator:
        operator = self._app.feeds.operator
        if operator is None:
            raise RefusedError(("there is no testbed",))
        return operator

    def _runner(self) -> RehearsalRunner:
        runner = self._app.feeds.runner
        if runner is None:
            raise RefusedError(("no rehearsals can be started from here",))
        return runner

    def _active(self) -> Promotion:
        active = self._app.state.promotions.active
        if active is None:
            raise RefusedError(("no promotion is in flight",))
        return active

    def _testbed(self) -> str:
        plant = self._app.state.testbed
        return f"{'EMULATED ' if plant.emulated else ''}testbed {plant.title}".rstrip()

    def _ask(self, title: str, lines: list[str], word: str, act: Callable[[], object]) -> None:
        from tui.watch.dialogs import AskWord

        def answered(yes: bool | None) -> None:
            if yes:
                self._guarded(act)

        self._app.push_screen(AskWord(title, lines, word), answered)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do it, and say what went wrong."""
        try:
            act()
        except RantwinError as error:
            self._app.complain(error)

    def _do(self, act: Callable[[], str]) -> None:
        """Do it in a thread and say how it ended."""

        def work() -> None:
            worker = get_current_worker()
            try:
                words, severity = act(), Severity.INFORMATION
            except RantwinError as error:
                words, severity = str(error), Severity.ERROR
            except Exception as error:  # what was asked of a testbed never ends without a word
                words, severity = f"failed: {type(error).__name__}: {error}", Severity.ERROR
            self._app.feeds.wake()
            if not worker.is_cancelled:
                self._app.call_from_thread(self._app.tell, words, severity)

        self._app.run_worker(work, thread=True, group="acts", exit_on_error=False)
