"""One operator, one terminal, from a rehearsal to a testbed and back: typed into `rantwin watch` in tmux, and read.

What is in force is read from the testbed's own socket, the journal also from the file that the screen exported.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.testbed.plant import pair_scenario
from col.certificate import SignedCertificate
from col.signing import read_private_key
from tests.e2e.tmux import HAS_TMUX, Terminal
from tests.e2e.world import World, wait_until, world
from tui.certificate_files import load_certificates, store_certificates
from tui.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HAS_TMUX, reason="no tmux on this machine")]

REHEARSAL_S, TRIES = 900.0, 5
STARVING_STEP = 0.38
"""So much less CPU than the cheapest safe configuration starves a DU, and is still a step that the gate allows."""


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    # A short name: the path of a Unix socket has at most 107 bytes.
    with world(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture
def screen(here: World) -> Iterator[Terminal]:
    scenario = pair_scenario(here.folder / "pair.toml")
    text = scenario.read_text(encoding="utf-8")
    scenario.write_text(re.sub(r"(?m)^windows = 80$", "windows = 160", text), encoding="utf-8")
    command = [sys.executable, "-m", "tui.cli", "watch", "--operate", "--scenario", "pair.toml"]
    terminal = Terminal(command, here.folder, here.environment, (80, 24))
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_rehearsal_promotions_a_rollback_and_the_journal_in_one_terminal(here: World, screen: Terminal) -> None:
    run, path = rehearses(here, screen)
    here.serve("--scenario", "pair.toml", "--speed", "2")
    assert here.in_force() == path[0]
    for number in range(1, len(path)):
        promotes(screen, f"{number} of {len(path) - 1}")
        wait_until(lambda number=number: here.in_force() == path[number], "the step is in force")  # type: ignore[misc]  # the number of now
    wrong = run_that_claims_too_much(here, run)
    shows(screen, wrong)
    assert not decided(screen, f"{len(path)} of {len(path)}")
    screen.resize(200, 50)
    screen.wait_for("ROLLED BACK <", "FAIL x", "the specification failed")
    wait_until(lambda: here.in_force() == path[-1], "the testbed is back")
    screen.resize(80, 24)
    exports_the_journal(here, screen, promotions=len(path))
    screen.press("q")
    screen.wait_for("LEFT WITH 0")


def rehearses(here: World, screen: Terminal) -> tuple[Path, list[Mapping[str, float]]]:
    """Rehearse from the screen with another budget; return the run and the configurations of its certified path."""
    screen.wait_for("no testbed", "no run")
    screen.press_until("n", "Rehearse on the twin?")
    screen.press("Enter")
    screen.wait_for("▶ rehearsal")
    screen.press_until("B", "How many trials in all?")
    screen.write("10")
    screen.wait_for("makes 10 trials in all")
    screen.press_until("r", "[Region]")
    screen.press_until("m", "[Promotions]")
    screen.wait_for("1 of ", patience_s=REHEARSAL_S)
    (manifest,) = (here.folder / "runs").glob("*/run.json")
    contents = [signed.certificate() for signed in load_certificates(manifest.parent)]
    assert len(contents) >= 2
    return manifest.parent, [contents[0].base, *(content.target for content in contents)]


def approves(screen: Terminal, step: str) -> None:
    """Approve a step, once it is the next one and nothing else is under way."""
    screen.press("m")
    screen.wait_for("● testbed", f"{step}  NEXT >", "the gate has nothing against it")
    asked = screen.press_until("a", "Apply this under a lease?")
    assert f"Step {step} of" in asked
    screen.write("apply")


def decided(screen: Terminal, step: str) -> bool:
    """Approve a step and return whether it passed. On a machine that is too busy for its windows there is no verdict:
    then again."""
    for _ in range(TRIES):
        approves(screen, step)
        screen.wait_for("WATCHING *")
        seen = screen.wait_for_one("φ PASS", "last: ROLLED BACK")
        if "φ PASS" in seen:
            return True
        newest = seen.partition("ROLLED BACK <")[2].splitlines()
        if "no verdict: " not in newest[1]:
            return False
    raise AssertionError("no verdict")


def promotes(screen: Terminal, step: str) -> None:
    """Approve a step, wait for the verdict and keep it."""
    assert decided(screen, step)
    screen.press_until("c", "Keep this?")
    screen.write("confirm")
    screen.wait_for("last: CONFIRMED")


def run_that_claims_too_much(here: World, run: Path) -> Path:
    """Return a run with one more step, which starves a DU: signed by the operator, from a twin that knows less."""
    certificates: list[SignedCertificate] = list(load_certificates(run))
    last = certificates[-1].certificate()
    target = {**last.target, "cpu_du_1": round(last.target["cpu_du_1"] - STARVING_STEP, 2)}
    key = read_private_key(here.config / "keys" / "signing.pem")
    folder = RunFolder.create(run.parent, RunFolder.open(run).manifest, "", datetime.now())
    store_certificates(folder, [*certificates, key.sign(replace(last, base=last.target, target=target))], {})
    folder.close()
    return folder.path


def shows(screen: Terminal, run: Path) -> None:
    """Show another run, by its name in the palette."""
    screen.press_until(":", "Search")
    screen.type(run.name)
    screen.wait_for(f"Run {run.name}", "show this run")
    screen.press("Enter")
    screen.wait_for("[Promotions]", "NEXT >")


def exports_the_journal(here: World, screen: Terminal, *, promotions: int) -> None:
    """Export the journal as CSV and find in it what happened."""
    screen.press_until("l", "[Journal]")
    screen.press_until("e", "Export what is shown")
    screen.press("Enter")
    wait_until(lambda: any("wrote" in line.split() for line in screen.text().splitlines()), "it says what it wrote")
    (file,) = here.folder.glob("rantwin-journal-*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        entries = list(csv.DictReader(lines))
    assert [int(entry["number"]) for entry in entries] == list(range(1, len(entries) + 1))
    ends = [entry for entry in entries if entry["after"] in ("confirmed", "rolled back")]
    assert sum(entry["after"] == "confirmed" for entry in ends) == promotions - 1
    assert ends[-1]["after"] == "rolled back"
    assert "specification failed" in file.read_text(encoding="utf-8")
