"""Carrying out a plan: whatever the operator, the agent or the line does, it ends in one of the ways it may end."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from bridge.plan import Plan, PlanRequest
from bridge.promotion import Promotion, State
from bridge.reasons import Reason, ReasonCode, RefusedForReasons
from col.errors import OutcomeUnknownError, RefusedError, UnreachableError
from tests.tui.fake_agent import FakeAgent
from tui.promotion_run import Answer, LeftToLease, Operator, carry_out
from tui.promotion_watch import Follower, LineView, View


class Script:
    """An operator who gives these answers."""

    def __init__(self, passed: Answer = Answer.CONFIRM, interrupted: Answer = Answer.ROLL_BACK) -> None:
        self.said: list[str] = []
        self.interrupts = 0
        self._passed, self._interrupted = passed, interrupted

    def operator(self) -> Operator:
        return Operator(passed=lambda _: self._passed, interrupted=self.interrupted, say=self.said.append)

    def interrupted(self, promotion: Promotion) -> Answer:
        self.interrupts += 1
        return self._interrupted


class InterruptedView(View):
    """A view in which somebody presses Ctrl-C the first time that it is shown."""

    pressed = False

    def show(self, follower: Follower) -> None:
        if not InterruptedView.pressed:
            InterruptedView.pressed = True
            raise KeyboardInterrupt


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


def carried(agent: FakeAgent, script: Script, view: Callable[[], View] = View) -> Promotion:
    plan: Plan = agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    client: Any = agent
    return carry_out(client, plan, view, script.operator())


def test_a_promotion_that_passes_is_confirmed_when_the_operator_says_so(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.passes()
    assert carried(agent, Script()).state is State.CONFIRMED
    assert agent.asked.count("confirm") == 1


def test_a_promotion_that_passes_is_rolled_back_when_the_operator_says_no(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.passes()
    assert carried(agent, Script(passed=Answer.ROLL_BACK)).state is State.ROLLED_BACK
    assert "confirm" not in agent.asked


def test_one_that_the_watchdog_brings_back_asks_nobody(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.fails()
    assert carried(agent, Script()).state is State.ROLLED_BACK
    assert agent.asked == ["apply"]


def test_an_agent_that_confirms_by_itself_is_not_asked_to(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.happen(auto_confirm=True)
    agent.passes()
    agent.happen(state=State.CONFIRMED)
    assert carried(agent, Script()).state is State.CONFIRMED
    assert "confirm" not in agent.asked


@pytest.mark.parametrize("lost", [UnreachableError("gone"), OutcomeUnknownError("no answer")])
def test_a_confirm_without_an_answer_is_asked_again(
    agent: FakeAgent, lost: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.promotion_run._AGAIN_S", 0.01)
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.confirm_fails = [lost]  # type: ignore[list-item]
    agent.passes()
    assert carried(agent, Script()).state is State.CONFIRMED
    assert agent.asked.count("confirm") == 2


def test_a_confirm_that_is_refused_is_said_and_the_end_is_waited_for(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.confirm_fails = [RefusedError(("the deadline has passed",))]
    agent.passes()
    script = Script()

    def passed(promotion: Promotion) -> Answer:
        agent.fails()
        return Answer.CONFIRM

    client: Any = agent
    plan = agent.now().plan
    operator = Operator(passed=passed, interrupted=script.interrupted, say=script.said.append)
    assert carry_out(client, plan, View, operator).state is State.ROLLED_BACK
    assert "deadline" in script.said[0]
    assert agent.asked.count("confirm") == 1


def test_a_pass_that_was_taken_back_before_the_confirm_is_asked_about_again_when_it_comes_again(
    agent: FakeAgent,
) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.confirm_fails = [RefusedError(("the verdict is not pass yet",))]
    agent.passes()
    asked = []

    def passed(promotion: Promotion) -> Answer:
        asked.append(promotion)
        if len(asked) == 1:
            agent.happen(verdict=None)
            agent.passes()
        return Answer.CONFIRM

    client: Any = agent
    operator = Operator(passed=passed, interrupted=lambda _: Answer.ROLL_BACK, say=lambda _: None)
    assert carry_out(client, agent.now().plan, View, operator).state is State.CONFIRMED
    assert len(asked) == 2


@pytest.mark.parametrize(("answer", "state"), [(Answer.ROLL_BACK, State.ROLLED_BACK), (Answer.GO_ON, State.CONFIRMED)])
def test_ctrl_c_asks_and_does_what_is_answered(agent: FakeAgent, answer: Answer, state: State) -> None:
    InterruptedView.pressed = False
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    script = Script(interrupted=answer)
    agent.passes()
    assert carried(agent, script, InterruptedView).state is state
    assert script.interrupts == 1


def test_ctrl_c_may_leave_it_to_the_lease_and_then_nothing_is_asked_of_the_agent(agent: FakeAgent) -> None:
    InterruptedView.pressed = False
    with pytest.raises(LeftToLease, match="10 s"):
        carried(agent, Script(interrupted=Answer.LEAVE), InterruptedView)
    assert agent.asked == ["apply"]


def test_an_apply_without_an_answer_is_never_repeated_but_asked_after(agent: FakeAgent) -> None:
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    agent.apply_fails = OutcomeUnknownError("no answer")
    agent.passes()
    assert carried(agent, Script()).state is State.CONFIRMED
    assert agent.asked[:2] == ["apply", "promotion"]


def test_a_refused_apply_says_every_reason(agent: FakeAgent) -> None:
    stale = Reason(code=ReasonCode.PLAN_STALE, text="the testbed has moved")
    agent.apply_fails = RefusedForReasons((stale,))
    with pytest.raises(RefusedForReasons) as refused:
        carried(agent, Script())
    assert refused.value.details == (stale,)


def test_an_agent_that_never_answers_again_ends_the_watch(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.promotion_watch._AGAIN_S", 0.0)
    client: Any = agent
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    for _ in range(3):
        agent.news.put(UnreachableError("gone"))
    with Follower(client, agent.now(), patience_s=-1.0) as follower, pytest.raises(UnreachableError, match="gone"):
        follower.wait(30.0)


def test_a_log_has_each_window_once_and_each_change_of_state() -> None:
    from bridge.promotion import WatchedWindow

    agent = FakeAgent()
    agent.plan(PlanRequest(promotion_id="p", target={"cpu_a": 0.9}))
    client: Any = agent
    out = io.StringIO()
    view = LineView(out)
    follower = Follower(client, agent.now(), patience_s=1.0)
    one = WatchedWindow(sequence=7, robustness_low=float("-inf"), robustness_high=0.05)
    two = WatchedWindow(sequence=8, robustness_low=0.04, robustness_high=0.04)
    for windows in ((one,), (one,), (one, two)):
        follower.latest = agent.now(windows=windows)
        view.show(follower)
    lines = out.getvalue().splitlines()
    assert [line for line in lines if line.startswith("window")] == [
        "window 1 of 5: robustness +0.050 so far",
        "window 2 of 5: robustness +0.040",
    ]
    assert sum("WATCHING" in line for line in lines) == 1
