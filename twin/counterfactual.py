"""Counterfactuals of a run: what would have become of these very packets, slots and UEs, had X been x.

Pearl's three steps (Causality, 2009, section 7.1). Abduction: everything random in a run follows from its seed and its
number, so the noise of a recorded run is known exactly. Action: do() takes the mechanisms of X away (`twin.intervene`).
Prediction: the run happens again. Whatever is not held responds as it would have, the autoscaler included; hold the
controls that are to stay where they were (`factual_controls`). The difference to what was recorded is the effect on
this unit, window by window, not an average.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from col.errors import InputError
from twin.causal_graph import moved_by
from twin.intervene import Do, as_interventions
from twin.ran import RunPlan, RunRecord, simulate
from twin.scenario import parse_scenario
from twin.scenario_model import Scenario

__all__ = ["Counterfactual", "RecordedRun", "counterfactual", "factual_controls", "load_run", "record_run", "save_run"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run that happened, with all that its noise follows from: scenario, plan, seed, and the number in the record."""

    scenario: Scenario
    plan: RunPlan
    seed: int
    record: RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What happened and what would have happened under `do`, on the same noise.

    `controlled`: something sets the controls in this run by what it sees.
    """

    do: tuple[Do, ...]
    scenario: Scenario
    factual: RunRecord
    record: RunRecord
    controlled: bool

    def effect(self, name: str) -> FloatArray:
        """Return the effect on a variable in each window of this run, in its unit, shape (windows,).

        NaN where it is missing in either.

        Raises:
            InputError: the record has no such variable.
        """
        return values(self.record, name) - values(self.factual, name)

    def moved(self) -> frozenset[str]:
        """Return the variables whose value differs in some window."""
        return frozenset(
            name
            for name in _names(self.factual)
            if not np.array_equal(values(self.factual, name), values(self.record, name), equal_nan=True)
        )

    def may_move(self) -> frozenset[str]:
        """Return the variables that the causal graph says do() may move, those held among them.

        Under a plan whose controls follow what they see, that leads through the controls that are not held too.
        """
        return moved_by(
            self.scenario.topology,
            [do.variable for do in self.do],
            regime=self.scenario.graph().regime if self.controlled else (),
            table=self.scenario.graph_choice.table,
        )


def record_run(scenario: Scenario, plan: RunPlan, *, seed: int, run: int = 0) -> RecordedRun:
    """Simulate a run and keep what a counterfactual of it needs."""
    return RecordedRun(scenario=scenario, plan=plan, seed=seed, record=simulate(scenario, plan, seed=seed, run=run))


def counterfactual(
    recorded: RecordedRun, do: Mapping[str, float | Sequence[float]] | Iterable[Do], *, since: int | None = 0
) -> Counterfactual:
    """Return what a recorded run would have been under do().

    `do` maps variables to a value, or to one value a window, from window `since` on (None: from the start of the run,
    warm-up included); or it is a list of `Do`, each with a `since` of its own. What the run's own plan held stays held
    until `do` holds it otherwise.

    Raises:
        InputError: a variable that cannot be held, or a value out of bounds; see `twin.intervene.check_do`.
    """
    interventions = as_interventions(do, since) if isinstance(do, Mapping) else tuple(do)
    begins = {item.variable: item.since for item in interventions}
    plan = replace(
        recorded.plan,
        held={name: value for name, value in recorded.plan.held.items() if begins.get(name, 0) is not None},
        do=(*_until(recorded.plan.do, begins), *interventions),
    )
    record = simulate(recorded.scenario, plan, seed=recorded.seed, run=recorded.record.run)
    return Counterfactual(
        do=interventions,
        scenario=recorded.scenario,
        factual=recorded.record,
        record=record,
        controlled=plan.autoscaled,
    )


def _until(earlier: Iterable[Do], begins: Mapping[str, int | None]) -> Iterator[Do]:
    """Yield what a run's own do() still does where another one begins on the same variable, at a window or at once."""
    for item in earlier:
        if item.variable not in begins:
            yield item
        elif (end := begins[item.variable]) is not None and (item.since is None or item.since < end):
            yield replace(item, values=item.values[: max(1, end - (item.since or 0))])


def factual_controls(record: RunRecord, *, but: Iterable[str] = ()) -> dict[str, tuple[float, ...]]:
    """Return the controls as they were in each window of a run, those of `but` left out, as `do` of a counterfactual.

    Held together with an intervention they keep who sets the controls from answering it: the controlled direct effect.
    """
    left_out = set(but)
    return {
        name: tuple(float(value) for value in column)
        for name, column in record.controls.items()
        if name not in left_out
    }


def values(record: RunRecord, name: str) -> FloatArray:
    """Return a variable of a run, window by window: a control, a metric, or one that nobody measures.

    Raises:
        InputError: the record has no such variable.
    """
    for columns in (record.metrics, record.controls, record.hidden):
        if name in columns:
            return columns[name]
    raise InputError("the record has no such variable", key="variable", value=name)


def _names(record: RunRecord) -> tuple[str, ...]:
    return (*record.controls, *record.metrics, *record.hidden)


def save_run(recorded: RecordedRun, path: Path) -> None:
    """Write what a run follows from as JSON, with its windows, so that `load_run` can tell that it is the same run."""
    plan = recorded.plan
    document = {
        "scenario": recorded.scenario.to_toml(),
        "seed": recorded.seed,
        "run": recorded.record.run,
        "plan": {
            "base": dict(plan.base),
            "first_window": plan.first_window,
            "windows": plan.windows,
            "interventions": [[at, dict(values)] for at, values in plan.interventions],
            "autoscaled": plan.autoscaled,
            "passive_load": plan.passive_load,
            "held": dict(plan.held),
            "do": [{"variable": do.variable, "values": list(do.values), "since": do.since} for do in plan.do],
        },
        "windows": {name: values(recorded.record, name).tolist() for name in _names(recorded.record)},
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def load_run(path: Path) -> RecordedRun:
    """Read a run that `save_run` wrote, by letting it happen again.

    Raises:
        InputError: the file cannot be read, or what happens is not what was recorded (1e-9 relative: another version).
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        scenario = parse_scenario(document["scenario"].encode(), path.name)
        plan = _plan(document["plan"])
        seed, run, windows = int(document["seed"]), int(document["run"]), dict(document["windows"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no recorded run ({type(error).__name__}: {error})", source=str(path)) from error
    recorded = record_run(scenario, plan, seed=seed, run=run)
    for name, column in windows.items():
        now = values(recorded.record, name)
        then = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
        if then.shape != now.shape or not np.allclose(now, then, rtol=1e-9, atol=0.0, equal_nan=True):
            raise InputError(
                "does not happen again as it was recorded: another version of the twin?", source=str(path), key=name
            )
    return recorded


def _plan(document: Mapping[str, Any]) -> RunPlan:
    return RunPlan(
        base=dict(document["base"]),
        first_window=int(document["first_window"]),
        windows=int(document["windows"]),
        interventions=tuple((int(at), dict(values)) for at, values in document["interventions"]),
        autoscaled=bool(document["autoscaled"]),
        passive_load=bool(document["passive_load"]),
        held=dict(document["held"]),
        do=tuple(
            Do(variable=row["variable"], values=tuple(row["values"]), since=row["since"]) for row in document["do"]
        ),
    )
