"""The table behind the causal graph: which variables each mechanism has, where they are computed, how they are held.

It is data (`twin/data/causal_*.toml`): a section a mechanism, with templates per cell, CU, pair and host. A mechanism
adds its variables and arrows there and nowhere else; `twin.causal_graph` joins the templates over a topology.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from col.errors import InputError
from col.graph import NodeKind
from twin.strict import Section, parse_toml

__all__ = ["Arrow", "CausalTable", "Hold", "MechanismRows", "Scope", "Variable", "causal_table", "table_names"]

_STEM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FOLDER, _PREFIX = "data", "causal_"
CORE = "core"
"""The section that every scenario has."""


class Scope(StrEnum):
    """What there is one of: a cell (its DU), a CU, a pair of cells, a host."""

    CELL = "cell"
    CU = "cu"
    PAIR = "pair"
    HOST = "host"


class Hold(StrEnum):
    """How do() holds a variable; `twin.intervene` carries it out.

    control: put in force, and whatever else would set it is overruled. load: offered so. run: what a process run drew
    for good. window: replaced where the window's metrics are put together, so that whatever is computed from them sees
    it. capacity: the same, and throughput follows by its formula. demand, stall, radio: held inside the data plane.
    mechanism: the mechanism that computes it looks into `RanState.held` first. none: there is no one place where
    it could be held; hold its parents.
    """

    CONTROL = "control"
    LOAD = "load"
    RUN = "run"
    WINDOW = "window"
    CAPACITY = "capacity"
    DEMAND = "demand"
    STALL = "stall"
    RADIO = "radio"
    MECHANISM = "mechanism"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One template: `stem`_i for every i of its scope.

    `kind` is None where the metric of that name says it (observable or target); without such a metric the variable is
    latent. `at` is the module of `twin` that computes it, `held` how do() holds it there, `says` what
    it is and its unit, for those that no metric describes.
    """

    stem: str
    scope: Scope
    kind: NodeKind | None
    at: str
    held: Hold
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A template arrow; `through` widens the parents to all that share an element of that scope with the child."""

    tail: str
    head: str
    through: Scope | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MechanismRows:
    """What one mechanism adds to the graph, and which arrows of earlier ones it replaces.

    It is at work where the scenario has one of the tables `when`. `loops` are arrows that act from slot to slot and
    close a circle within a window: no part of the graph, but of what an intervention moves.
    """

    name: str
    when: tuple[str, ...]
    variables: tuple[Variable, ...]
    arrows: tuple[Arrow, ...]
    past: tuple[Arrow, ...]
    loops: tuple[Arrow, ...]
    cuts: tuple[Arrow, ...]
    cuts_past: tuple[Arrow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalTable:
    """All mechanisms in the order of the file."""

    mechanisms: tuple[MechanismRows, ...]

    @classmethod
    def read(cls, data: bytes, source: str) -> CausalTable:
        """Read and check a table.

        Raises:
            InputError: not TOML, an unknown key, a name that no section declares, a variable declared twice.
        """
        document = parse_toml(data, source)
        rows = [_read_mechanism(name, document.section(name)) for name in document.raw()]
        table = cls(mechanisms=tuple(rows))
        declared: set[str] = set()
        for row in rows:
            for variable in row.variables:
                if variable.stem in declared:
                    raise InputError("is declared twice", source=source, key=f"{row.name}.variables.{variable.stem}")
                declared.add(variable.stem)
        for row in rows:
            for arrow in (*row.arrows, *row.past, *row.loops, *row.cuts, *row.cuts_past):
                for stem in (arrow.tail, arrow.head):
                    if stem not in declared:
                        raise InputError("no section declares this variable", source=source, key=row.name, value=stem)
        if CORE not in {row.name for row in rows}:
            raise InputError("missing table", source=source, key=CORE)
        return table

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Every variable of every mechanism by stem."""
        return {variable.stem: variable for row in self.mechanisms for variable in row.variables}

    def active(self, switched_on: Collection[str]) -> tuple[MechanismRows, ...]:
        """Return the core and the mechanisms that these tables of a scenario switch on, in the order of the file."""
        return tuple(row for row in self.mechanisms if row.name == CORE or not set(row.when).isdisjoint(switched_on))


def table_names() -> tuple[str, ...]:
    """Return the names of the tables that come with the package."""
    return tuple(
        sorted(
            file.name.removeprefix(_PREFIX).removesuffix(".toml")
            for file in resources.files("twin").joinpath(_FOLDER).iterdir()
            if file.name.startswith(_PREFIX) and file.name.endswith(".toml")
        )
    )


@cache
def causal_table(name: str = "ran") -> CausalTable:
    """Return a table that comes with the package.

    Raises:
        InputError: there is no such table.
    """
    if name not in table_names():
        raise InputError(f"no such causal graph, there are {', '.join(table_names())}", key="graph", value=name)
    file = f"{_PREFIX}{name}.toml"
    return CausalTable.read(resources.files("twin").joinpath(_FOLDER).joinpath(file).read_bytes(), file)


def _read_mechanism(name: str, section: Section) -> MechanismRows:
    inside = section.section("variables", optional=True)
    variables = tuple(_read_variable(stem, inside.section(stem)) for stem in inside.raw())
    arrows, past, loops, cuts, cuts_past = (
        tuple(_read_arrows(section.section(key, optional=True)))
        for key in ("arrows", "past", "loops", "cuts", "cuts_past")
    )
    when = section.texts("when", default=[name])
    section.close()
    return MechanismRows(
        name=name,
        when=when,
        variables=variables,
        arrows=arrows,
        past=past,
        loops=loops,
        cuts=cuts,
        cuts_past=cuts_past,
    )


def _read_variable(stem: str, row: Section) -> Variable:
    if not _STEM.fullmatch(stem):
        raise row.fail("", "a variable is named by small letters, digits and _", stem)
    kinds = [str(kind) for kind in (NodeKind.CONTROL, NodeKind.EXOGENOUS, NodeKind.LATENT)]
    variable = Variable(
        stem=stem,
        scope=Scope(row.choice("scope", list(Scope))),
        kind=NodeKind(row.choice("kind", kinds)) if "kind" in row else None,
        at=row.text("at"),
        held=Hold(row.choice("held", list(Hold))),
        says=row.text("says") if "says" in row else "",
    )
    row.close()
    if variable.kind is NodeKind.LATENT and not variable.says:
        raise row.fail("says", "a latent variable needs a description")
    return variable


def _read_arrows(section: Section) -> Iterator[Arrow]:
    for head in section.raw():
        for parent in section.texts(head):
            tail, _, scope = parent.partition("@")
            if scope and scope not in list(Scope):
                raise section.fail(head, f"after @ comes one of {', '.join(Scope)}", parent)
            yield Arrow(tail=tail, head=head, through=Scope(scope) if scope else None)
