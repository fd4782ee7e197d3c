"""`rantwin promote`: the step that comes next, what is shown, what is asked, and how it exits."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.plan import Mode
from bridge.reasons import Reason, ReasonCode
from col.certificate import SignedCertificate
from col.errors import InputError, RefusedError, UnreachableError
from tests.tui.fake_agent import BASE, FakeAgent, certificate, status
from tests.tui.made_run import make_run
from tui.certificate_files import load_certificates, store_certificates
from tui.cli import main
from tui.promotion_steps import next_step, ready_plan, request_for
from tui.run_folder import RunFolder

MIDDLE = {**BASE, "cpu_a": 0.9}
END = {**MIDDLE, "cpu_b": 0.8}
SOON = Reason(code=ReasonCode.SPECIFICATION_INCONCLUSIVE_NOW, text="3 of 5 windows")
NEVER = Reason(code=ReasonCode.CERTIFICATE_EXPIRED, text="expired 3 s ago")


def signed() -> list[SignedCertificate]:
    contents = [certificate(BASE, MIDDLE), certificate(MIDDLE, END)]
    return [SignedCertificate(payload=content.canonical(), signature=b"s" * 64) for content in contents]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "runs")
    store_certificates(folder, signed(), {"cpu_a": "core"})
    folder.close()
    return folder.path


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    fake = FakeAgent()
    monkeypatch.setattr("tui.promote.connect", lambda args: fake)
    return fake


def said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def _no_sleep(seconds: float) -> None:
    pytest.fail("there is nothing to wait for")


def promote(run: Path, *arguments: str) -> int:
    return main(["promote", str(run), "--wait", "0", *arguments])


# --- certificates in a run folder -------------------------------------------------------------------------------------


def test_certificates_come_back_byte_for_byte_in_their_order(run: Path) -> None:
    assert load_certificates(run) == signed()
    assert sorted(p.name[:2] for p in (run / "certificates").iterdir()) == ["01", "02"]


def test_certifying_again_leaves_none_of_the_old_ones(run: Path) -> None:
    store_certificates(RunFolder.open(run), signed()[:1], {})
    assert load_certificates(run) == signed()[:1]


def test_a_certificate_file_that_was_cut_off_is_named(run: Path) -> None:
    path = sorted((run / "certificates").iterdir())[1]
    path.write_text(path.read_text()[:-100])
    with pytest.raises(InputError, match=path.name):
        load_certificates(run)


# --- which step, and its plan -----------------------------------------------------------------------------------------


def test_the_step_is_the_one_that_begins_at_what_is_confirmed() -> None:
    for confirmed, number in ((BASE, 1), (MIDDLE, 2), ({**MIDDLE, "cpu_a": 0.904}, 2)):
        step = next_step(signed(), status(confirmed), run="r")
        assert step is not None
        assert step.number == number
    assert next_step(signed(), status(END), run="r") is None
    with pytest.raises(RefusedError, match=r"cpu_a 0\.5"):
        next_step(signed(), status({**BASE, "cpu_a": 0.5}), run="r")


def test_a_request_names_only_what_the_step_changes_and_ids_differ() -> None:
    step = next_step(signed(), status(MIDDLE), run="r")
    assert step is not None
    options: dict[str, Any] = {"run": "a run/ü", "mode": Mode.PROMOTION, "why": "", "lease_ttl_s": 5.0}
    requests = [request_for(step, **options, trial_timeout_s=60.0, auto_confirm=False) for _ in range(2)]
    assert requests[0].target == {"cpu_b": 0.8}
    assert requests[0].promotion_id != requests[1].promotion_id
    assert requests[0].promotion_id.startswith("a-run-02-")
    assert requests[0].why == "step 2 of 2 of a run/ü"


def test_what_comes_by_itself_is_waited_for_without_leaving_anything_at_the_agent() -> None:
    agent = FakeAgent([(SOON,), (SOON,), ()])
    waited: list[str] = []
    step = next_step(signed(), status(), run="r")
    assert step is not None
    request = request_for(
        step, run="r", mode=Mode.PROMOTION, why="", lease_ttl_s=5.0, trial_timeout_s=60.0, auto_confirm=False
    )
    client: Any = agent
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    plan = ready_plan(client, request, wait_s=60.0, pause_s=1.0, say=waited.append, clock=lambda: now[0], sleep=sleep)
    assert plan.is_allowed
    assert [r.dry_run for r in agent.requests] == [True, True, True, False]
    assert len(waited) == 1
    assert "3 of 5 windows" in waited[0]


@pytest.mark.parametrize("reasons", [(NEVER,), (NEVER, SOON)])
def test_what_never_passes_is_not_waited_for(reasons: tuple[Reason, ...]) -> None:
    agent = FakeAgent([reasons])
    step = next_step(signed(), status(), run="r")
    assert step is not None
    request = request_for(
        step, run="r", mode=Mode.PROMOTION, why="", lease_ttl_s=5.0, trial_timeout_s=60.0, auto_confirm=False
    )
    client: Any = agent
    plan = ready_plan(client, request, wait_s=60.0, pause_s=1.0, say=pytest.fail, sleep=_no_sleep)
    assert plan.reasons == reasons


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_with_units_and_applies_nothing(
    run: Path, agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(run, "--dry-run") == 0
    err = capsys.readouterr().err
    assert "EMULATED testbed embedded" in err
    assert "cpu_a    1.200 ->   0.900 core  (-0.300 core)" in err
    assert "47 of 47 fresh horizons" in err
    assert "nothing was applied" in err
    assert agent.asked == ["closed"]
    assert all(request.dry_run for request in agent.requests)


def test_every_reason_is_shown_and_the_exit_code_is_1(
    run: Path, agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.reasons = [(NEVER, SOON)]
    assert promote(run, "--yes", "--json") == 1
    out, err = capsys.readouterr()
    (promotion,) = json.loads(out)["promotions"]
    assert [r["code"] for r in promotion["reasons"]] == [NEVER.code, SOON.code]
    assert "certificate_expired: expired 3 s ago" in err
    assert "apply" not in agent.asked


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_applied(
    run: Path, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    said(monkeypatch, answer)
    assert promote(run) == 1
    assert "apply" not in agent.asked


def test_yes_to_both_questions_confirms(
    run: Path, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(monkeypatch, "y\ny\n")
    agent.after_apply = agent.passes
    assert promote(run) == 0
    assert [word for word in agent.asked if word != "promotion"] == ["apply", "confirm", "closed"]
    assert "confirmed: cpu_a 0.9 core stay in force" in capsys.readouterr().out


def test_what_the_watchdog_brings_back_exits_with_1_and_says_why(
    run: Path, agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.after_apply = agent.fails
    assert promote(run, "--yes") == 1
    assert "rolled back: φ failed" in capsys.readouterr().out


def test_an_agent_that_cannot_be_reached_exits_with_3(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(args: object) -> FakeAgent:
        raise UnreachableError("nobody there")

    monkeypatch.setattr("tui.promote.connect", nobody)
    assert promote(run, "--yes") == 3


def test_bad_input_is_one_line_and_exit_code_2(
    run: Path, agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = make_run(tmp_path / "bare").path
    for arguments, words in (
        ([str(run), "--step", "3"], "steps 1 to 2"),
        ([str(run), "--repair"], "--why"),
        ([str(bare)], "rantwin certify"),
        ([str(run), "--lease", "0"], "--lease"),
    ):
        assert main(["promote", *arguments]) == 2
        err = capsys.readouterr().err.splitlines()[-1]
        assert err.startswith("rantwin: ")
        assert words in err
