"""The kinds of controls: what can be set, of what, in which unit, and the bounds that a scenario gives it.

A control is named by its kind and what it belongs to: `cpu_du_1` is the CPU limit of the DU of gNB 1, `cpu_cu_a` that
of CU a, `thr_p1` the threshold of pair p1. The keys of a scenario carry the unit of the kind: `lower_cores`,
`reference_prb`. A kind that is no control of a scenario may have one value for all there, in `[fixed]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from col.plant import Control
from twin.strict import Section

__all__ = ["KINDS", "ControlKind", "ControlRange", "Scope", "kind_of", "read_fixed"]

_ENDS = ("lower", "upper", "resolution", "reference")


class Scope(StrEnum):
    """What a control belongs to."""

    CELL = "cell"
    CU = "cu"
    PAIR = "pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlKind:
    """One kind of control; `suffix` is its unit in keys, values lie in [least, most], or above `least` if `positive`.

    `whole`: only whole numbers can be set. `says` is what a control of the kind is, before the name of its owner.
    """

    name: str
    scope: Scope
    unit: str
    suffix: str
    says: str
    most: float
    least: float = 0.0
    positive: bool = True
    whole: bool = False

    @property
    def fixed_key(self) -> str:
        """The key of its one value in `[fixed]`."""
        return f"{self.name}_{self.suffix}"

    def read(self, section: Section, key: str) -> float:
        """Read one value of this kind."""
        if self.positive:
            value = section.number(key, above=self.least, upper=self.most)
        else:
            value = section.number(key, lower=self.least, upper=self.most)
        if self.whole and value != round(value):
            raise section.fail(key, f"must be a whole number of {self.unit}", value)
        return value


KINDS: Mapping[str, ControlKind] = {
    kind.name: kind
    for kind in (
        ControlKind(
            name="cpu_du", scope=Scope.CELL, unit="core", suffix="cores", most=1024, says="CPU limit of the DU of gNB"
        ),
        ControlKind(name="cpu_cu", scope=Scope.CU, unit="core", suffix="cores", most=1024, says="CPU limit of CU"),
        ControlKind(
            name="mem_du", scope=Scope.CELL, unit="GB", suffix="gb", most=4096, says="memory limit of the DU of gNB"
        ),
        ControlKind(name="mem_cu", scope=Scope.CU, unit="GB", suffix="gb", most=4096, says="memory limit of CU"),
        ControlKind(
            name="bw", scope=Scope.CELL, unit="PRB", suffix="prb", most=275, whole=True, says="PRBs open to gNB"
        ),
        ControlKind(
            name="gtx", scope=Scope.CELL, unit="dB", suffix="db", least=-40, most=120, positive=False,
            says="transmit gain of gNB",
        ),
        ControlKind(
            name="grx", scope=Scope.CELL, unit="dB", suffix="db", least=-40, most=120, positive=False,
            says="receive gain of gNB",
        ),
        ControlKind(
            name="thr", scope=Scope.PAIR, unit="Mbit/s", suffix="mbps", most=10_000, positive=False,
            says="difference in load above which a UE moves between the cells of pair",
        ),
    )
}  # fmt: skip
"""Every kind by name, in the order in which controls are listed."""


def kind_of(control: str) -> str:
    """Return the kind of a control by its name: what stands before the last underscore."""
    return control.rpartition("_")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRange:
    """Bounds, resolution and reference of every control of one kind, in the kind's unit."""

    kind: str
    lower: float
    upper: float
    resolution: float
    reference: float

    @classmethod
    def read(cls, kind: ControlKind, section: Section) -> ControlRange:
        """Read the table; a reversed bound or a reference outside the bounds is an InputError."""
        names = {end: f"{end}_{kind.suffix}" for end in _ENDS}
        low, high = kind.read(section, names["lower"]), kind.read(section, names["upper"])
        resolution = section.number(names["resolution"], above=0, upper=kind.most)
        reference = kind.read(section, names["reference"])
        section.close()
        if kind.whole and resolution != round(resolution):
            raise section.fail(names["resolution"], f"must be a whole number of {kind.unit}", resolution)
        if not low < high:
            raise section.fail(names["lower"], f"must be below {section.key(names['upper'])} ({high:g})", low)
        if resolution > high - low:
            raise section.fail(names["resolution"], f"must be at most the range ({high - low:g})", resolution)
        if not low <= reference <= high:
            raise section.fail(names["reference"], f"must lie in {low:g} to {high:g}", reference)
        return cls(kind=kind.name, lower=low, upper=high, resolution=resolution, reference=reference)

    def table(self) -> dict[str, float]:
        """Return the table that it was read from."""
        suffix = KINDS[self.kind].suffix
        return {f"{end}_{suffix}": getattr(self, end) for end in _ENDS}

    def control(self, owner: str) -> Control:
        """Return the control of this kind that belongs to `owner` (cell number, CU id or pair)."""
        kind = KINDS[self.kind]
        return Control(
            name=f"{kind.name}_{owner}",
            unit=kind.unit,
            lower=self.lower,
            upper=self.upper,
            resolution=self.resolution,
            reference=self.reference,
            description=f"{kind.says} {owner}",
        )


def read_fixed(section: Section, controlled: Mapping[str, ControlRange]) -> dict[str, float]:
    """Read the values of kinds that are no control, by kind; a kind cannot be both."""
    fixed: dict[str, float] = {}
    for kind in KINDS.values():
        if kind.fixed_key not in section:
            continue
        if kind.name in controlled:
            raise section.fail(
                kind.fixed_key, f"{kind.name} is a control here ([controls.{kind.name}]); it cannot be fixed as well"
            )
        fixed[kind.name] = kind.read(section, kind.fixed_key)
    section.expect(kind.fixed_key for kind in KINDS.values())
    section.close()
    return fixed
