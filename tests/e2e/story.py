"""From a rehearsal to a testbed and back: the whole way, told as it happens (`python -m tests.e2e.story`).

A rehearsal on the twin, two promotions that hold and are confirmed, one that the testbed violates (rolled back by the
watchdog), one whose controller is killed (rolled back by the lease), and the journal of it all. After each the
configuration in force is read from the testbed's process, never from the agent.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.testbed.plant import pair_scenario
from col.certificate import SignedCertificate
from col.signing import read_private_key
from tests.e2e.world import World, wait_until, world
from tui.certificate_files import load_certificates, store_certificates
from tui.run_folder import RunFolder

REHEARSAL = ("--seed", "5", "--passive-windows", "160", "--max-trials", "12", "--largest-step", "0.3", "--quiet")
STARVED_CORES = 0.35
"""A limit at which no DU carries 10 + 10 Mbit/s; two steps of the path come to within the blast radius of it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A rehearsed run: its folder, its configurations in the order of its path, and one that is wrong."""

    path: Path
    wrong: Path
    path_of_configurations: tuple[Mapping[str, float], ...]

    def moved(self, folder: Path) -> Run:
        """Return the same run in a copy of its world."""
        runs = folder / self.path.parent.name
        return replace(self, path=runs / self.path.name, wrong=runs / self.wrong.name)


def rehearsed(here: World, say: Say) -> Run:
    """Rehearse, and make a copy whose third certificate claims too much."""
    say("rehearses the pair of gNBs on the twin and certifies the way to the cheapest configuration")
    scenario = pair_scenario(here.folder / "pair.toml")
    code, out, err = here.run("rehearse", str(scenario), *REHEARSAL, "--json")
    assert code == 0, err
    summary = json.loads(out)
    certificates = load_certificates(here.folder / summary["run"])
    assert len(certificates) >= 3, summary
    contents = [signed.certificate() for signed in certificates]
    say(f"certified: {len(certificates)} steps, {summary['recommended']['cost']:g} instead of "
        f"{summary['recommended']['reference_cost']:g} core")  # fmt: skip
    return Run(
        path=here.folder / summary["run"],
        wrong=_wrong(here, here.folder / summary["run"], certificates),
        path_of_configurations=(contents[0].base, *(content.target for content in contents)),
    )


def _wrong(here: World, path: Path, certificates: list[SignedCertificate]) -> Path:
    """Return a run whose third step starves a DU: signed by the operator, from a twin that knows less."""
    third = certificates[2].certificate()
    target = {**third.base, "cpu_du_1": STARVED_CORES}
    key = read_private_key(here.config / "keys" / "signing.pem")
    wrong = key.sign(replace(third, target=target))
    folder = RunFolder.create(path.parent, RunFolder.open(path).manifest, "", datetime.now())
    store_certificates(folder, [*certificates[:2], wrong], {})
    folder.close()
    return folder.path


def promotes_two(here: World, run: Run, say: Say) -> None:
    """Promote the first two steps; each is confirmed and in force."""
    for number in (1, 2):
        code, out, err = here.run("promote", str(run.path), "--yes", "--json")
        assert code == 0, err
        (promotion,) = json.loads(out)["promotions"]
        assert promotion["state"] == "confirmed"
        assert here.in_force() == run.path_of_configurations[number]
        say(f"step {number}: confirmed, in force at the testbed: {_short(here.in_force())}")


def promotes_wrong(here: World, run: Run, say: Say) -> dict[str, Any]:
    """Promote the step that claims too much; return what the command said of it."""
    code, out, err = here.run("promote", str(run.wrong), "--yes", "--json")
    assert code == 1, err
    (promotion,) = json.loads(out)["promotions"]
    say(f"step 3 of the wrong run: {promotion['state']}, {promotion['cause']} ({promotion['cause_text']})")
    return dict(promotion)


def kills_the_controller(here: World, run: Run, say: Say) -> None:
    """Promote the third step, and kill -9 the command while the testbed is in it; wait until the testbed is back."""
    command = here.start("promote", str(run.path), "--lease", "3")
    command.wait_for("[y/N]")
    command.answer("y\n")
    command.wait_for("Confirm")
    assert here.in_force() == run.path_of_configurations[3], "the step is in force while it is watched"
    command.kill()
    say("step 3: in force, and its controller was killed (kill -9) before it confirmed")
    wait_until(lambda: here.in_force() == run.path_of_configurations[2], "the testbed goes back once the lease is over")
    say(f"in force at the testbed: {_short(here.in_force())}")


def came_back(here: World, run: Run) -> bool:
    """Return whether the testbed itself is at the configuration confirmed last, two steps along the path."""
    return here.in_force() == run.path_of_configurations[2]


def tell(here: World, run: Run, say: Say) -> str:
    """Tell the story of a rehearsed run; return the journal as it was printed. AssertionError where it breaks."""
    here.serve("--scenario", str(here.folder / "pair.toml"), "--speed", "50")
    assert here.in_force() == run.path_of_configurations[0]
    promotes_two(here, run, say)
    wrong = promotes_wrong(here, run, say)
    assert (wrong["state"], wrong["cause"]) == ("rolled back", "specification failed")
    assert came_back(here, run), here.in_force()
    say(f"in force at the testbed: {_short(here.in_force())}")
    kills_the_controller(here, run, say)
    # The testbed is back a moment before the journal says so.
    wait_until(lambda: "lease expired" in here.run("history")[1], "the journal says why")
    code, journal, err = here.run("history", "--verify")
    assert code == 0, err
    here.stop_agent()
    assert came_back(here, run), "the testbed outlives its agent and keeps what was confirmed"
    return journal


def without_the_way_back(here: World, run: Run, say: Say) -> None:
    """Serve with rollback switched off, as only a test can, and promote the two steps and the wrong one."""
    here.serve("--scenario", str(here.folder / "pair.toml"), "--speed", "50")
    here.stop_agent()
    config = here.config / "agent.toml"
    config.write_text(config.read_text() + "\n[test]\nrollback_enabled = false\n")
    here.serve()
    promotes_two(here, run, say)
    promotes_wrong(here, run, say)


def _short(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _say(line: str) -> None:
    print(f"* {line}", flush=True)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rantwin-") as name:
        yield Path(name)


def main() -> int:
    """Tell the story and print the journal."""
    with _folder() as folder, world(folder) as here:
        journal = tell(here, rehearsed(here, _say), _say)
    print(journal, end="")
    return 0


if __name__ == "__main__":
    os.nice(5)
    sys.exit(main())
