"""The optional tables of a scenario: each switches one mechanism on, and is the record of that mechanism's module.

A mechanism is off, and nothing of a run changes, where its table is absent. To add one: write its parameters as a
frozen dataclass (fields as `twin.strict_record` can read them) in the mechanism's module and add a line to `TABLES`;
`Scenario.part(ThatClass)` then returns it, or None where the scenario has no such table.

A record may have `check_scenario(self, scenario) -> None`; it is called once the whole scenario is read, and its
InputError (with a field as key) is placed in the table. Modules are imported when a scenario has their table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from col.errors import InputError
from twin.strict import Section
from twin.strict_record import placed, read_record, record_table

if TYPE_CHECKING:
    from twin.scenario_model import Scenario

__all__ = ["TABLES", "OptionalTable", "check_tables", "insert_tables", "known_inside", "read_tables"]


@dataclass(frozen=True, slots=True)
class OptionalTable:
    """One optional table: its dotted key and the record that it is read as, "module:name".

    `many`: an array of tables ([[key]]). The name may also be that of a mapping from texts to dataclasses, where tables
    of the same key are of different kinds; each then says which in its key `kind`.
    """

    key: str
    record: str
    many: bool = False

    def kinds(self) -> Any:
        """Return the dataclass, or the mapping from kinds to dataclasses."""
        module, _, name = self.record.partition(":")
        return getattr(import_module(module), name)

    def read(self, section: Section) -> Any:
        """Read one table."""
        kinds = self.kinds()
        if not isinstance(kinds, Mapping):
            return read_record(kinds, section)
        return read_record(kinds[section.choice("kind", list(kinds))], section)

    def write(self, record: Any) -> dict[str, Any]:
        """Return one table as it would be read."""
        kinds = self.kinds()
        if not isinstance(kinds, Mapping):
            return record_table(record)
        kind = next(name for name, known in kinds.items() if known is type(record))
        return {"kind": kind, **record_table(record)}


TABLES: tuple[OptionalTable, ...] = (
    OptionalTable("radio.lock_step", "twin.lock_step:LockStep"),
    OptionalTable("channel", "twin.channel:ChannelParameters"),
    OptionalTable("link_adaptation", "twin.link_adaptation:LinkAdaptation"),
    OptionalTable("harq", "twin.harq:Harq"),
    OptionalTable("cfs", "twin.cfs_burst:CfsBurst"),
    OptionalTable("memory", "twin.memory:MemoryParameters"),
    OptionalTable("contention", "twin.contention:ContentionParameters"),
    OptionalTable("links.fronthaul", "twin.link_noise:LinkNoise"),
    OptionalTable("links.midhaul", "twin.link_noise:LinkNoise"),
    OptionalTable("links.backhaul", "twin.link_noise:LinkNoise"),
    OptionalTable("ues", "twin.population:Population"),
    OptionalTable("traffic.source", "twin.sources:SOURCES"),
    OptionalTable("mobility.load", "twin.mobility:LoadRule"),
    OptionalTable("mobility.a3", "twin.mobility:A3Rule"),
    OptionalTable("mobility.interruption", "twin.mobility:Interruption"),
    OptionalTable("controllers", "twin.controllers:Controller", many=True),
    OptionalTable("faults", "twin.faults:FAULT_KINDS", many=True),
)
"""Every optional table; one line each."""


def read_tables(document: Section) -> dict[str, Any]:
    """Return the records of the optional tables that the document has, by dotted key; arrays as tuples."""
    found: dict[str, Any] = {}
    document.expect(table.key.split(".")[0] for table in TABLES)
    for table in TABLES:
        parent, name = _parent_of(document, table.key)
        if parent is None:
            continue
        if table.many:
            records = tuple(table.read(entry) for entry in parent.tables(name))
            if records:
                found[table.key] = records
        elif name in parent:
            found[table.key] = table.read(parent.section(name))
    _close_groups(document)
    return found


def _parent_of(document: Section, key: str) -> tuple[Section | None, str]:
    """Return the section that holds the last part of a dotted key, None where there is none, and that part."""
    *path, name = key.split(".")
    section = document
    for part in path:
        if part not in section:
            return None, name
        section = section.section(part)
    return section, name


def known_inside(group: str) -> tuple[str, ...]:
    """Return the names of the optional tables inside the table `group`."""
    return tuple(table.key.split(".")[1] for table in TABLES if table.key.split(".")[0] == group and "." in table.key)


_SHARED = frozenset({"links", "traffic", "radio", "mac", "load", "autoscaler", "compute"})
"""Tables that have keys of their own beside optional tables; whoever reads them refuses what is unknown."""


def _close_groups(document: Section) -> None:
    for group in dict.fromkeys(table.key.split(".")[0] for table in TABLES if "." in table.key):
        if group in document and group not in _SHARED:
            section = document.section(group)
            section.expect(known_inside(group))
            section.close()


def insert_tables(document: dict[str, Any], records: Mapping[str, Any]) -> None:
    """Put the records into the document that a scenario is written as."""
    for table in TABLES:
        if table.key not in records:
            continue
        *path, name = table.key.split(".")
        inside = document
        for part in path:
            inside = inside.setdefault(part, {})
        record = records[table.key]
        inside[name] = [table.write(entry) for entry in record] if table.many else table.write(record)


def check_tables(scenario: Scenario) -> None:
    """Let every record that wants to look at the whole scenario; its error is placed in its table."""
    for table in TABLES:
        if table.key not in scenario.tables:
            continue
        records = scenario.tables[table.key]
        for number, record in enumerate(records if table.many else (records,)):
            check = getattr(record, "check_scenario", None)
            if check is None:
                continue
            path = tuple(table.key.split("."))
            path = (*path[:-1], f"{path[-1]}[{number}]") if table.many else path
            try:
                check(scenario)
            except InputError as error:
                raise placed(error, Section({}, scenario.source, path)) from error
