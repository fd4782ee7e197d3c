"""What the screen does: certified steps carried out, rehearsals started, stopped and resumed."""

import os
import sys
import textwrap
from dataclasses import replace

import pytest

from bridge.promotion import State
from bridge.reasons import Reason, ReasonCode
from col.errors import InputError, RefusedError
from tests.tui.made_run import make_run
from tests.tui.watch_pilot import wait_until
from tests.tui.watch_world import (
    AT_REFERENCE,
    WatchWorld,
)
from tui.watch.feeds import Look
from tui.watch.feeds_process import RehearsalRunner
from tui.watch.feeds_twin import TwinFeed, writer_of
from tui.watch.state import Rehearsal

# --- the operator -----------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_approve_without_a_certified_step(tmp_path):
    world = WatchWorld(tmp_path)
    assert "has no certificates" in world.feeds.state(Look()).promotions.words
    with pytest.raises(RefusedError, match="no certified step"):
        world.operator.approve(world.link.says, "")
    assert world.link.asked == []


@pytest.fixture
def with_step(tmp_path):
    from col.signing import make_keys, read_private_key
    from tests.tui.fake_agent import certificate
    from tui.certificate_files import store_certificates

    folder = make_run(tmp_path / "made", trials=2)
    make_keys(tmp_path / "signing.pem", tmp_path / "signing.pub")
    signed = read_private_key(tmp_path / "signing.pem").sign(
        certificate(AT_REFERENCE, {**AT_REFERENCE, "cpu_du_1": 1.0})
    )
    store_certificates(folder, [signed], {})
    folder.close()
    world = WatchWorld(tmp_path, run=False)
    world.feeds.choose(folder.path)
    world.look()
    return world


def test_the_queue_shows_the_certified_steps_and_the_plan_of_the_next(with_step):
    with_step.operator.look(with_step.link.says)
    view = with_step.feeds.state(Look()).promotions
    assert [step.state for step in view.steps] == ["next"]
    assert view.steps[0].changes == (("cpu_du_1", 1.2, 1.0, "core"),)
    assert view.plan is not None
    assert view.plan.request.dry_run


def test_a_certificate_that_is_none_is_said(with_step):
    path = next(with_step.feeds._twin.path.glob("certificates/*.json"))
    path.write_text(path.read_text().replace("cpu_du_1", "cpu_dx_1", 1))
    with_step.look()
    assert "the run cannot be read" in with_step.feeds.state(Look()).twin.words


def test_the_plan_of_a_step_is_not_shown_as_that_of_the_step_after_it(with_step):
    operator = with_step.operator
    operator.look(with_step.link.says)
    other = replace(operator.step.certificate, payload=operator.step.certificate.payload + b" ")
    operator.step = replace(operator.step, number=2, certificate=other)
    assert operator.plan is None
    assert with_step.feeds.state(Look()).promotions.plan is None


def test_an_approved_step_is_applied_once_and_seen_to_its_end(with_step):
    words = with_step.operator.approve(with_step.link.says, "")
    assert len(with_step.link.asked) == 1
    assert with_step.link.asked[0].startswith("apply ")
    assert "rolled back" in words
    assert with_step.operator.keeps == ""
    assert with_step.feed.poll(0.0).promotions[0].state is State.ROLLED_BACK


def test_a_step_that_is_not_the_one_that_was_shown_is_not_applied(with_step):
    shown = with_step.operator.step
    other = replace(shown.certificate, payload=shown.certificate.payload + b" ")
    with_step.operator.step = replace(shown, number=2, certificate=other)
    with pytest.raises(RefusedError, match="step 2 is the next one now"):
        with_step.operator.approve(with_step.link.says, "", shown)
    assert with_step.link.asked == []


def test_what_the_gate_refuses_is_not_applied(with_step):
    plan = with_step.link.plan

    def refuses(request):
        return replace(plan(request), reasons=(Reason(code=ReasonCode.CERTIFICATE_EXPIRED, text="expired"),))

    with_step.link.plan = refuses
    with pytest.raises(RefusedError, match="expired"):
        with_step.operator.approve(with_step.link.says, "")
    assert with_step.link.asked == []


def test_the_gate_is_not_asked_more_often_than_it_takes(with_step):
    asked = []
    plan = with_step.link.plan

    def noted(request):
        asked.append(request)
        return plan(request)

    with_step.link.plan = noted
    for _ in range(5):
        with_step.operator.look(with_step.link.says)
    assert len(asked) == 1
    with_step.clock.now_s += 6
    with_step.operator.look(with_step.link.says)
    assert len(asked) == 2


# --- processes --------------------------------------------------------------------------------------------------------

_REHEARSES = """
import os, signal, sys, time
from datetime import datetime
from pathlib import Path
from tests.tui.made_run import make_run
from tui.run_folder import RunFolder
# os._exit: an exception out of a handler may be dropped in a callback of the import system.
signal.signal(signal.SIGTERM, lambda *_: os._exit(130))
words = sys.argv[1:]
if "--resume" in words:
    folder = RunFolder.open(Path(words[words.index("--resume") + 1]))
    folder.claim()
else:
    folder = make_run(Path(words[words.index("--runs-dir") + 1]), passive=120, trials=1, finish=False)
time.sleep(120)
"""


@pytest.fixture
def runner(tmp_path):
    script = tmp_path / "rehearses.py"
    script.write_text(textwrap.dedent(_REHEARSES))
    made = RehearsalRunner(tmp_path / "runs", tmp_path / "said.log", command=(sys.executable, str(script)))
    yield made
    if made.is_running:
        made.stop()
        made.wait(30.0)


def test_a_rehearsal_from_the_screen_is_found_stopped_and_resumed(runner, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    runner.start(seed=3)
    wait_until(lambda: runner.run() is not None)
    run = runner.run()
    with pytest.raises(InputError, match="runs already"):
        runner.start()
    runner.stop()
    runner.wait(30.0)
    assert not runner.is_running
    assert runner.trouble() == ""
    runner.resume(run)
    wait_until(lambda: writer_of(run / "run.json") is not None)
    assert TwinFeed(run).poll(0.0).rehearsal.state is Rehearsal.RUNNING


def test_a_rehearsal_that_fails_says_its_last_line(tmp_path):
    command = (sys.executable, "-c", "import sys; sys.exit('rantwin: no such scenario')")
    runner = RehearsalRunner(tmp_path / "runs", tmp_path / "said.log", command=command)
    runner.start(scenario="nope")
    runner.wait(30.0)
    assert "no such scenario" in runner.trouble()
    assert runner.trouble() == ""


def test_a_state_is_made_without_a_search_for_the_run_and_beside_the_end_of_its_process(tmp_path, monkeypatch):
    class Runs:
        pid = 1

        def poll(self):
            return None

    def ends(_):
        runner._process = None  # as the thread of the feeds does when it finds that it has ended
        looked.append(1)
        return 1

    world = WatchWorld(tmp_path)
    runner, looked = world.runner, list[int]()
    monkeypatch.setattr(runner, "_process", Runs())
    monkeypatch.setattr("tui.watch.feeds_process.writer_of", ends)
    assert not world.feeds.state(Look()).rehearsal.ours
    assert looked == []
    assert runner.run() == world.path


def test_a_finished_run_is_not_resumed(tmp_path, runner):
    folder = make_run(tmp_path / "runs")
    folder.close()
    with pytest.raises(InputError, match="finished"):
        runner.resume(folder.path)
