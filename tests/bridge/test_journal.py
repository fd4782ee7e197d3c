from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.clock import ManualClock
from bridge.identity import Identity, Role
from bridge.journal import Draft, Journal, JournalError, JournalFullError
from bridge.journal_reader import JournalReader
from bridge.lease import Timers
from bridge.plan import Change, Plan, PlanRequest
from bridge.promotion import Cause, State, WatchedWindow
from bridge.reasons import Reason, ReasonCode
from bridge.records import Record
from col.certificate import SignedCertificate
from col.errors import InputError, UnreachableError
from col.plant import Provenance, Windows
from col.specification import Verdict

WHO = Identity(name="olga", role=Role.OPERATOR, proof="test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path, ManualClock(), reserve_bytes=2**16)
    yield journal
    journal.close()


def record(promotion_id: str = "p1", state: State = State.WATCHING) -> Record:
    request = PlanRequest(
        promotion_id=promotion_id,
        target={"cpu": 1.5},
        certificate=SignedCertificate(payload=b"\x00{}", signature=b"\xff" * 64),
        why="because",
    )
    reason = Reason(code=ReasonCode.DRIFT, text="too far", facts={"gap": "4"})
    plan = Plan(
        request=request,
        before={"cpu": 2.0},
        after={"cpu": 1.5},
        changes=(Change(control="cpu", before=2.0, after=1.5, unit="cores"),),
        digest="d" * 64,
        reasons=(reason,),
        drift=0.5,
        notes=("mind the gap",),
    )
    return Record(
        plan=plan,
        state=state,
        who=WHO,
        version=7,
        created_wall_s=1.5,
        planned_s=2.5,
        reasons=(reason,),
        timers=Timers.started(3.0, lease_ttl_s=10.0, trial_timeout_s=60.0),
        previous={"cpu": 2.0},
        set_values={"cpu": 1.5},
        in_force={"cpu": 1.5},
        tolerance={"cpu": 0.025},
        automation=True,
        first_sequence=4,
        watch_begins_s=8.0,
        windows=(WatchedWindow(sequence=4, robustness_low=-np.inf, robustness_high=0.25, missing=("late",)),),
        windows_needed=3,
        lost=(5,),
        verdict=Verdict.INCONCLUSIVE,
        robustness=0.25,
        cause=Cause.INCONCLUSIVE,
        cause_text="nothing came",
        cause_s=9.0,
        conflicts={"cpu": (1.5, 3.0)},
        read_back={"cpu": 3.0},
        is_outcome_unknown=True,
        is_forced=True,
        is_reverted=True,
    )


def write(journal: Journal, count: int, promotion_id: str = "p1", *, is_critical: bool = False) -> None:
    for i in range(count):
        draft = Draft(kind="note", who="olga", promotion_id=promotion_id, details={"i": i, "gap": 0.1})
        journal.append(draft, is_critical=is_critical)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def windows(first: int, count: int, names: tuple[str, ...] = ("thp", "late")) -> Windows:
    n = np.arange(first, first + count, dtype=np.int64)
    return Windows(
        sequence=n,
        start_s=np.asarray(n * 15.0, dtype=np.float64),
        end_s=np.asarray(n * 15.0 + 15.0, dtype=np.float64),
        run=np.zeros(count, dtype=np.int64),
        controls={"cpu": np.full(count, 2.0)},
        metrics={name: np.where(n % 3 == 0, np.nan, n * 0.1) for name in names},
        provenance={names[0]: Provenance.ESTIMATED},
    )


def test_a_record_comes_back_as_it_was_written(path: Path, journal: Journal) -> None:
    journal.append(Draft(kind="x", promotion_id="p1", state_after=State.WATCHING), record())
    journal.close()
    again = Journal(path, ManualClock())
    assert again.record("p1") == record()
    assert again.unfinished() == (record(),)
    again.close()


def test_a_record_has_every_field_in_its_stored_form() -> None:
    assert record().to_dict().keys() == {f.name for f in dataclasses.fields(Record)}
    defaults = Record(plan=record().plan, state=State.PLANNED, who=WHO, version=1, created_wall_s=0.0, planned_s=0.0)
    same = [f.name for f in dataclasses.fields(Record) if getattr(defaults, f.name) == getattr(record(), f.name)]
    assert same == ["plan", "who"]  # else the test above could not fail for that field


def test_entries_are_numbered_from_one_and_found_by_number_and_promotion(journal: Journal) -> None:
    write(journal, 3)
    write(journal, 2, "p2")
    assert [e.number for e in journal.entries()] == [1, 2, 3, 4, 5]
    assert [e.number for e in journal.entries(2, 2)] == [2, 3]
    assert [e.number for e in journal.entries(1, 9, "p2")] == [4, 5]
    assert journal.verify().is_sound
    assert journal.verify().entries == 5


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        ("UPDATE entries SET details = '{\"i\":9}' WHERE number = 3", 3),
        ("UPDATE entries SET who = 'nobody' WHERE number = 1", 1),
        ("UPDATE entries SET wall_s = wall_s + 1 WHERE number = 5", 5),
        ("UPDATE entries SET hash = previous_hash WHERE number = 2", 2),
        ("DELETE FROM entries WHERE number = 2", 2),
        ("DELETE FROM entries WHERE number = 5", 5),
        ("DELETE FROM entries WHERE number >= 3", 3),
        ("DELETE FROM entries", 1),
    ],
)
def test_a_changed_or_missing_entry_is_named(path: Path, journal: Journal, damage: str, broken: int) -> None:
    write(journal, 5)
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    found = JournalReader.open_file(path).verify()
    assert (found.is_sound, found.broken) == (False, broken)


def test_a_record_that_its_last_entry_does_not_know_of_is_found(path: Path, journal: Journal) -> None:
    draft = Draft(kind="x", promotion_id="p1", state_after=State.WATCHING)
    journal.append(draft, record())
    assert journal.verify().is_sound
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE promotions SET state = 'confirmed'")
    connection.close()
    assert "p1" in JournalReader.open_file(path).verify().problem


def test_a_file_that_was_cut_is_damaged_or_not_a_journal_but_never_sound(path: Path, journal: Journal) -> None:
    write(journal, 400)
    journal.close()
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            reader = JournalReader.open_file(path)
        except InputError:
            continue
        assert not reader.verify().is_sound


def test_an_entry_and_its_record_are_written_together_or_not_at_all(journal: Journal) -> None:
    odd = dataclasses.replace(record(), previous={"cpu": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        journal.append(Draft(kind="x", promotion_id="p1", state_after=State.WATCHING), odd)
    assert journal.entries() == ()
    assert journal.head()[0] == 0


def test_a_second_agent_on_one_journal_gets_one_clear_line(path: Path, journal: Journal) -> None:
    with pytest.raises(UnreachableError, match="another agent holds this journal"):
        Journal(path, ManualClock())
    code = (
        "import sys; from pathlib import Path\n"
        "from bridge.clock import ManualClock; from bridge.journal import Journal\n"
        "try: Journal(Path(sys.argv[1]), ManualClock())\nexcept Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "UnreachableError"


def test_history_is_read_while_the_agent_writes_and_after_it_ended(path: Path, journal: Journal) -> None:
    write(journal, 2)
    reader = JournalReader.open_file(path)
    write(journal, 2)
    assert len(reader.entries()) == 4
    assert reader.verify().is_sound
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM entries")
    reader.close()
    journal.close()
    assert JournalReader.open_file(path).verify().entries == 4


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("nothing of the kind\n" * 100)
    with pytest.raises(InputError, match=r"notes\.txt"):
        JournalReader.open_file(other)
    with pytest.raises(InputError, match="no such journal"):
        JournalReader.open_file(tmp_path / "absent.db")


def test_only_its_owner_may_read_the_journal(path: Path, journal: Journal) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_journal_refuses_what_can_wait_and_still_takes_a_rollback(path: Path) -> None:
    journal = Journal(path, ManualClock(), max_bytes=2**18, reserve_bytes=2**16)
    assert journal.has_room()
    with pytest.raises(JournalFullError, match="no room"):
        write(journal, 2_000)
    assert not journal.has_room()
    before = journal.head()[0]
    for i in range(20):
        assert not journal.has_room()  # asking does not take the reserve away again
        journal.append(Draft(kind="roll back", details={"i": i, "much": "x" * 1000}), is_critical=True)
    assert journal.head()[0] == before + 20
    assert journal.verify().is_sound
    with pytest.raises(JournalFullError):
        write(journal, 1_000, is_critical=True)
    assert journal.verify().is_sound
    journal.close()


def test_a_disk_that_others_filled_leaves_no_room_for_plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The reserve is whole and the journal's own files have room inside: still nobody should begin anything now.
    journal = Journal(path, ManualClock(), reserve_bytes=2**16)
    assert journal.has_room()
    full = os.statvfs_result((4096, 4096, 100_000, 0, 0, 1000, 1000, 1000, 0, 255))
    monkeypatch.setattr("bridge.journal_space.os.statvfs", lambda folder: full)
    assert not journal.has_room()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs a file system of its own")
def test_on_a_full_disk_a_rollback_still_finds_room_and_the_reserve_comes_back(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no mount here")
    journal = Journal(disk / "journal.db", ManualClock(), reserve_bytes=2**19)
    try:
        write(journal, 5)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        with pytest.raises(JournalFullError):
            write(journal, 2_000)
        journal.append(Draft(kind="roll back", details={"much": "x" * 5_000}), is_critical=True)
        assert journal.entries(journal.head()[0])[0].kind == "roll back"
        assert journal.verify().is_sound
        filler.unlink()
        assert journal.has_room()
        write(journal, 5)
    finally:
        journal.close()
        subprocess.run(["umount", str(disk)], check=True)


def test_windows_come_back_as_they_were_seen_first_and_only_the_latest_are_kept(journal: Journal) -> None:
    journal.save_windows(windows(0, 10), keep=8)
    again = windows(5, 7)
    changed = dataclasses.replace(again, metrics={k: v + 1 for k, v in again.metrics.items()})
    journal.save_windows(changed, keep=8)
    kept = journal.windows(0, 100)
    assert kept is not None
    assert kept.sequence.tolist() == list(range(4, 12))
    np.testing.assert_array_equal(kept.metrics["thp"][:6], windows(4, 6).metrics["thp"])
    np.testing.assert_array_equal(kept.metrics["thp"][6:], windows(10, 2).metrics["thp"] + 1)
    assert kept.provenance == {"thp": Provenance.ESTIMATED}
    assert journal.last_sequence() == 11


def test_windows_with_other_columns_are_another_table(journal: Journal) -> None:
    journal.save_windows(windows(0, 3), keep=100)
    journal.save_windows(windows(3, 3, ("thp", "late", "power")), keep=100)
    first, second = journal.windows(0, 100), journal.windows(3, 100)
    assert first is not None
    assert second is not None
    assert (first.sequence.tolist(), second.sequence.tolist()) == ([0, 1, 2], [3, 4, 5])


def test_promotions_that_are_over_are_forgotten_beyond_the_cap_but_not_those_in_flight(journal: Journal) -> None:
    journal.append(Draft(kind="x", promotion_id="open", state_after=State.WATCHING), record("open"))
    for i in range(5):
        done = record(f"p{i}", State.ROLLED_BACK)
        journal.append(Draft(kind="x", promotion_id=f"p{i}", state_after=State.ROLLED_BACK), done)
        journal.prune(2)
    assert [p for p in ("open", "p0", "p1", "p2", "p3", "p4") if journal.record(p)] == ["open", "p3", "p4"]
    assert journal.was_used("p0")
    assert not journal.was_used("p9")
    assert journal.verify().is_sound


@pytest.mark.parametrize("how", ["emptied", "gone"])
def test_a_journal_that_was_lost_is_not_begun_anew_as_if_nothing_had_been(path: Path, how: str) -> None:
    # What is in force now would be taken for what was confirmed, whoever set it.
    Journal(path, ManualClock(), reserve_bytes=2**16).close()
    path.write_bytes(b"") if how == "emptied" else path.unlink()
    with pytest.raises(JournalError, match="was lost"):
        Journal(path, ManualClock(), reserve_bytes=2**16)


def test_a_journal_whose_agent_was_killed_at_once_is_opened_again(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bridge.clock import ManualClock; from bridge.journal import"
        " Journal; Journal(Path(sys.argv[1]), ManualClock()); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    Journal(path, ManualClock()).close()
