"""The blast radius: how much a plan may change at once, held at the agent and not at the client.

*Which gNBs a plan touches* follows from the controls that it changes: a control shared by several gNBs touches each of
them, one that the testbed's description gives to no gNB is taken to touch all.

*The last healthy cell.* A gNB is healthy if every metric that tells whether it is alive was measured and above 0 in the
latest window, unhealthy if one was 0 or missing or there is no window; a gNB for which the description names no such
metric is taken as healthy, since nothing can say otherwise. A plan is refused if some gNB is unhealthy and the plan
touches every healthy one: if it went wrong, nothing would be left. While all are healthy `most_gnbs` alone limits how
many are touched, so that a testbed of one gNB, or an exploration of all, is not locked; where none is healthy there is
nothing left to protect, and whatever mends one must be possible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bridge.backends.base import BackendDescription
from bridge.plan import Change
from bridge.reasons import Reason, ReasonCode
from col.limits import limit_of
from col.plant import Windows

__all__ = ["blast_reasons", "healthy_gnbs", "spacing_reason", "touched_gnbs"]

_ROUNDING = 1e-9


def blast_reasons(
    changes: Sequence[Change],
    description: BackendDescription,
    windows: Windows,
    *,
    largest_step: Mapping[str, float],
    most_gnbs: int,
) -> list[Reason]:
    """Return what speaks against changing so much at once; `windows` are the testbed's latest, of any configuration."""
    reasons = []
    for change in changes:
        limit = limit_of(change.control, largest_step)
        step = abs(change.after - change.before)
        if limit is not None and not step <= limit + _ROUNDING:
            unit = change.unit
            reasons.append(
                Reason(
                    code=ReasonCode.STEP_TOO_LARGE,
                    text=f"{change.control} would change by {step:g} {unit}, at most {limit:g} {unit} at once",
                    facts={"control": change.control, "step": repr(step), "largest": repr(limit)},
                )
            )
    touched = touched_gnbs([c.control for c in changes], description)
    if len(touched) > most_gnbs:
        names = ", ".join(sorted(touched))
        reasons.append(
            Reason(
                code=ReasonCode.TOO_MANY_GNBS,
                text=f"{len(touched)} gNBs would be touched at once ({names}), at most {most_gnbs}",
                facts={"gnbs": ",".join(sorted(touched)), "most": str(most_gnbs)},
            )
        )
    healthy = healthy_gnbs(description, windows)
    others = description.gnbs.keys() - healthy
    if healthy and others and healthy <= touched:
        reasons.append(
            Reason(
                code=ReasonCode.LAST_HEALTHY_CELL,
                text=f"would touch every gNB that is healthy now ({', '.join(sorted(healthy))}), "
                f"while {', '.join(sorted(others))} cannot be seen to be alive",
                facts={"healthy": ",".join(sorted(healthy)), "unhealthy": ",".join(sorted(others))},
            )
        )
    return reasons


def touched_gnbs(controls: Sequence[str], description: BackendDescription) -> frozenset[str]:
    """Return the gNBs that a change of these controls touches."""
    touched: set[str] = set()
    for control in controls:
        touched |= {g for g, members in description.gnbs.items() if control in members} or description.gnbs.keys()
    return frozenset(touched)


def healthy_gnbs(description: BackendDescription, windows: Windows) -> frozenset[str]:
    """Return the gNBs that were alive in the latest window, and those of which nothing tells whether they are."""

    def is_alive(metric: str) -> bool:
        column = windows.metrics.get(metric)
        return column is not None and len(column) > 0 and math.isfinite(column[-1]) and bool(column[-1] > 0)

    return frozenset(g for g in description.gnbs if all(is_alive(m) for m in description.gnb_metrics.get(g, ())))


def spacing_reason(last_change_s_ago: float | None, min_spacing_s: float) -> list[Reason]:
    """Return that the last change is too short ago, if it is; also where that is not a sensible number."""
    if last_change_s_ago is None or last_change_s_ago >= min_spacing_s:
        return []
    text = f"the testbed was changed {last_change_s_ago:.4g} s ago, {min_spacing_s:g} s must lie between two changes"
    facts = {"ago_s": repr(last_change_s_ago), "spacing_s": repr(min_spacing_s)}
    return [Reason(code=ReasonCode.TOO_SOON, text=text, facts=facts)]
