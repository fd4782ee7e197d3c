"""`rantwin history`, `status` and `rollback`: the journal, what the agent knows now, and the kill switch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.promotion import State
from bridge.testbed import JournalEntry, TestbedStatus
from col.errors import InputError
from tui.agent_link import connect
from tui.console import EXIT_DONE, EXIT_FAILED, one_line, print_json
from tui.plan_view import ending, promotion_json, standing, testbed_line

if TYPE_CHECKING:
    from bridge.client import TestbedClient
    from bridge.journal_chain import Verification

__all__ = ["entry_line", "history_command", "read_all", "rollback_command", "status_command"]

_PAGE = 500
_SHOWN_DETAILS = ("why", "changes", "reasons", "cause", "text", "verdict", "robustness", "conflicts", "chain")


def history_command(args: argparse.Namespace) -> int:
    """Print the journal; with `--verify` check it and say so in the exit code."""
    entries, verification = _from_file(args) if args.journal is not None else _from_agent(args)
    if args.promotion and not any(entry.promotion_id == args.promotion for entry in entries):
        raise InputError("no such promotion in this journal", key="--promotion", value=args.promotion)
    shown = [e for e in entries if e.number >= args.since and args.promotion in ("", e.promotion_id)]
    if args.json:
        from bridge.journal_chain import entry_facts

        result: dict[str, Any] = {"entries": [entry_facts(entry) | {"hash": entry.hash} for entry in shown]}
        if verification is not None:
            result["verification"] = {
                "sound": verification.is_sound,
                "entries": verification.entries,
                "broken": verification.broken,
                "problem": verification.problem,
            }
        print_json(result)
    else:
        for entry in shown:
            print(entry_line(entry))
        if verification is not None:
            sound = f"journal is whole: {verification.entries} entries, every hash follows from the one before"
            print(sound if verification.is_sound else f"journal is NOT whole: {verification.problem}")
    return EXIT_DONE if verification is None or verification.is_sound else EXIT_FAILED


def status_command(args: argparse.Namespace) -> int:
    """Print what the agent knows of its testbed."""
    with connect(args) as client:
        status = client.status()
    if args.json:
        print_json(_status_json(status))
    else:
        print("\n".join(_status_lines(status)))
    return EXIT_DONE


def rollback_command(args: argparse.Namespace) -> int:
    """Bring the testbed back to its confirmed configuration, without analysis."""
    with connect(args) as client:
        rolled_back = client.roll_back_everything(args.why or "kill switch")
        status = client.status()
    back = all(promotion.state is State.ROLLED_BACK for promotion in rolled_back)
    if args.json:
        result = {"promotions": [promotion_json(p) for p in rolled_back], "status": _status_json(status)}
        print_json(result)
    else:
        for promotion in rolled_back:
            print("\n".join([f"promotion {promotion.promotion_id}", *ending(promotion)]))
        if not rolled_back:
            print("nothing was under way")
        print("\n".join(_status_lines(status)))
    return EXIT_DONE if back else EXIT_FAILED


def read_all(client: TestbedClient, promotion_id: str = "") -> list[JournalEntry]:
    """Return all journal entries of an agent, of one promotion if named."""
    entries: list[JournalEntry] = []
    while page := client.journal(entries[-1].number + 1 if entries else 1, _PAGE, promotion_id):
        entries += page
    return entries


def entry_line(entry: JournalEntry) -> str:
    """Return an entry on one line: number, when (UTC), who, what, which promotion, from which state to which, why."""
    when = f"{datetime.fromtimestamp(entry.wall_s, UTC):%Y-%m-%d %H:%M:%S}"
    what = entry.kind
    if entry.state_after and entry.state_after != entry.state_before:
        what += f": {entry.state_before or 'new'} -> {entry.state_after}"
    by = entry.who if entry.actor in ("", entry.who) else f"{entry.who} ({entry.actor})"
    parts = [f"{entry.number:>5}  {when}  {by:<22}", entry.promotion_id, what, _details(entry.details)]
    return "  ".join(part for part in parts if part)


def _details(details: Mapping[str, object]) -> str:
    shown = [(key, details[key]) for key in _SHOWN_DETAILS if details.get(key) not in (None, "", [], {}, ())]
    return one_line("; ".join(f"{key} {_plain(value)}" for key, value in shown))


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_pair(pair)}" for name, pair in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(
            str(v[0]) if isinstance(v, Sequence) and not isinstance(v, str) and v else str(v) for v in value
        )
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _pair(pair: object) -> str:
    if isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2:
        return " -> ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in pair)
    return str(pair)


def _from_file(args: argparse.Namespace) -> tuple[Sequence[JournalEntry], Verification | None]:
    from bridge.journal_reader import JournalReader

    reader = JournalReader.open_file(args.journal)
    try:
        return reader.entries(1, 2**62), reader.verify() if args.verify else None
    finally:
        reader.close()


def _from_agent(args: argparse.Namespace) -> tuple[Sequence[JournalEntry], Verification | None]:
    from bridge.journal_chain import verify_chain

    with connect(args) as client:
        if not args.verify:
            return read_all(client, args.promotion), None
        entries = read_all(client)
    last = entries[-1] if entries else None
    # Over the wire the head is the last entry there is: that the agent keeps none back is for the file to show.
    head = (last.number, last.hash) if last else (0, "0" * 64)
    return entries, verify_chain(entries, head)


def _status_lines(status: TestbedStatus) -> list[str]:
    units = {control.name: control.unit for control in status.backend.plant.controls}
    in_force = status.reading.controls if status.reading is not None else {}
    lines = [testbed_line(status), "control: confirmed, in force"]
    width = max((len(name) for name in status.confirmed), default=0)
    for name, value in status.confirmed.items():
        now = in_force.get(name)
        shown = "not known" if now is None else f"{now:g} {units.get(name, '')}"
        lines.append(f"  {name:<{width}}  {value:g} {units.get(name, '')}, {shown}")
    if status.reading is not None and status.reading.automation:
        lines.append("the testbed's own automation moves controls")
    lines.append("drift: " + ("not known" if status.drift is None else f"{status.drift:.2f} (1 is the edge)"))
    if status.active is not None:
        lines.append(f"under way: {status.active.promotion_id}: {standing(status.active)}")
    lines.append(
        f"exploration is {'ON' if status.exploration_enabled else 'off'}; {status.journal_entries} journal entries"
    )
    return lines + [f"problem: {problem}" for problem in status.problems]


def _status_json(status: TestbedStatus) -> dict[str, Any]:
    plant = status.backend.plant
    return {
        "testbed": plant.plant_id,
        "emulated": plant.emulated,
        "stack": status.backend.stack,
        "radio_mode": status.backend.radio_mode,
        "window_s": plant.window_s,
        "wall_window_s": plant.wall_window_s,
        "confirmed": status.confirmed,
        "in_force": None if status.reading is None else status.reading.controls,
        "automation": None if status.reading is None else status.reading.automation,
        "specification": status.specification,
        "alpha": status.alpha,
        "active": None if status.active is None else promotion_json(status.active),
        "exploration": status.exploration_enabled,
        "journal_entries": status.journal_entries,
        "drift": status.drift,
        "agent_version": status.agent_version,
        "problems": status.problems,
    }
