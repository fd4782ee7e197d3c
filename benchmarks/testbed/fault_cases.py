"""Everything that goes wrong between a promotion's apply and its end, by name.

Each case gets a world whose testbed is at its confirmed configuration and returns what has to be in force afterwards,
and when the cause of a rollback was.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.testbed import fault_agent as agent
from benchmarks.testbed import fault_controller as controller
from benchmarks.testbed import fault_lab as lab
from benchmarks.testbed import fault_testbed as testbed
from benchmarks.testbed.trial import Case

__all__ = ["CASES", "LAB_CASES"]

_OF_THE_BRIDGE: Mapping[str, Case] = {
    "agent killed while planned": agent.agent_killed_while_planned,
    "agent killed in apply": agent.agent_killed_in_apply,
    "agent killed while unknown": agent.agent_killed_while_unknown,
    "agent killed while watching": agent.agent_killed_while_watching,
    "agent killed after pass": agent.agent_killed_after_pass,
    "agent killed while rolling back": agent.agent_killed_while_rolling_back,
    "agent killed after confirm": agent.agent_killed_after_confirm,
    "controller killed while watching": controller.controller_killed_while_watching,
    "controller killed after pass": controller.controller_killed_after_pass,
    "connection cut and restored": controller.connection_cut_and_restored,
    "connection cut for good": controller.connection_cut_for_good,
    "answer to apply lost": controller.answer_to_apply_lost,
    "requests duplicated": controller.requests_duplicated,
    "requests reordered": controller.requests_reordered,
    "two controllers": controller.two_controllers,
    "disk full": agent.disk_full,
    "wall clock stepped": agent.wall_clock_stepped_on,
    "wall clock stepped, controller silent": agent.wall_clock_stepped_back_and_controller_silent,
    "violation": testbed.violation,
    "somebody else interferes": testbed.somebody_else_interferes,
}
"""Of whatever stands behind the agent."""

CASES: Mapping[str, Case] = {
    **_OF_THE_BRIDGE,
    "acknowledged without effect": testbed.misbehaves("ack_without_effect", 1),
    "partial effect": testbed.misbehaves("partial_effect", 1, pair=True),
    "refused": testbed.misbehaves("refuse", 1),
    "hangs in apply": testbed.misbehaves("hang", {"count": 1, "seconds": 3.0, "requests": ["apply"]}),
    "crashes before apply": testbed.misbehaves("crash_before_apply", 1),
    "crashes after apply": testbed.misbehaves("crash_after_apply", 1),
    "freezes": testbed.misbehaves("freeze", True, before=False),
    "missing values": testbed.misbehaves("nan", True, before=False),
    "lost windows": testbed.misbehaves("lost_windows", 3, before=False),
    "late windows": testbed.misbehaves("late_windows", {"windows": 2}, before=False),
    "testbed's answer lost": testbed.holds_in_spite_of("reply_lost", 1),
    "duplicated windows": testbed.holds_in_spite_of("duplicate_windows", True),
}
"""All cases of the emulated testbed by name."""

LAB_CASES: Mapping[str, Case] = {
    **_OF_THE_BRIDGE,
    "acknowledged without effect": testbed.misbehaves("ack_without_effect", 1),
    "partial effect": testbed.misbehaves("ack_without_effect", 1, pair=True),
    "refused": testbed.misbehaves("refuse", 1),
    "hangs in apply": testbed.misbehaves("hang", {"count": 1, "seconds": 3.0}),
    "engine's answer lost": testbed.holds_in_spite_of("reply_lost", 1),
    "engine killed before it applies": lab.engine_killed_in("crash_before_apply"),
    "engine killed after it applied": lab.engine_killed_in("crash_after_apply"),
    "engine killed while watching": lab.engine_killed_while_watching,
    "engine killed while rolling back": lab.engine_killed_while_rolling_back,
    "engine and agent killed": lab.engine_and_agent_killed,
    "engine stands still": lab.engine_stands_still,
    "DU killed": lab.killed("du_1"),
    "CU killed": lab.killed("cu_1"),
    "DU frozen": testbed.misbehaves("freeze", True, before=False),
    "core frozen": testbed.misbehaves("nan", True, before=False),
}
"""All cases of real containers by name. Windows are recorded by the agent there: none comes late, twice or never."""
