"""`--do NAME=VALUE` of `rantwin simulate`: which variables are set, and how they are kept there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from col.errors import InputError
from twin.control_kinds import kind_of
from twin.intervene import Do, check_do
from twin.ran import RunPlan
from twin.scenario import Scenario

__all__ = ["Interventions", "read_interventions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interventions:
    """What is set: `controls` to values that they can take, `held` any other variable, to what it is kept at."""

    controls: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)

    def into(self, plan: RunPlan, *, windows: int | None = None) -> RunPlan:
        """Return the plan with everything held, and as many windows."""
        held = {**plan.held, **self.held, **(self.controls if plan.autoscaled else {})}
        return replace(plan, held=held, windows=plan.windows if windows is None else windows)

    def words(self) -> str:
        """Return the intervention in a few words, "" where there is none."""
        return ", ".join(f"{name} = {value:g}" for name, value in {**self.controls, **self.held}.items())


def read_interventions(texts: Sequence[str], scenario: Scenario) -> Interventions:
    """Read texts like "cpu_du_1=0.5"; the name of a kind of control ("cpu_du=0.5") means all of that kind.

    Raises:
        InputError: not a name and a number, a variable that is not there, or a value that it cannot take.
    """
    description = scenario.description()
    names = [control.name for control in description.controls]
    controls: dict[str, float] = {}
    held: dict[str, float] = {}
    for text in texts:
        name, value = _parsed(text)
        chosen = [control for control in names if name in (control, kind_of(control))]
        for one in chosen:
            control = description.control(one)
            if not control.lower - 1e-9 <= value <= control.upper + 1e-9:
                raise InputError(
                    f"must lie in {control.lower:g} to {control.upper:g} {control.unit}",
                    key=f"--do {name}",
                    value=value,
                )
            controls[one] = control.snap(value)
        if not chosen:
            held[_held(name, value, scenario)] = value
    return Interventions(controls=controls, held=held)


def _parsed(text: str) -> tuple[str, float]:
    name, equals, number = (part.strip() for part in text.partition("="))
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (name and equals and math.isfinite(value)):
        raise InputError("must be NAME=VALUE with a number, such as cpu_du_1=0.5", key="--do", value=text[:60])
    return name, value


def _held(name: str, value: float, scenario: Scenario) -> str:
    try:
        check_do(scenario, [Do(variable=name[:60], values=(value,))])
    except InputError as error:
        raise InputError(str(error).removeprefix("do = "), key="--do") from None
    return name
