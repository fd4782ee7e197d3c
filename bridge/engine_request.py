"""What a request must look like before the gate is asked about it."""

from __future__ import annotations

import math
import re

from bridge.plan import PlanRequest
from bridge.settings import EngineSettings
from col.errors import InputError

__all__ = ["check_request", "check_timeout"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MOST_WINDOWS = 1_000
_MOST_TEXT = 1_000
_MOST_CONTROLS = 10_000


def check_request(request: PlanRequest, settings: EngineSettings) -> None:
    """Raise InputError unless the request is well formed and its timers are what the agent allows."""
    if not _ID.fullmatch(request.promotion_id):
        text = "must be 1 to 128 letters, digits, dots, colons, dashes or underscores"
        raise InputError(text, key="promotion_id", value=request.promotion_id[:64])
    for name, value in list(request.target.items())[:_MOST_CONTROLS]:
        if not math.isfinite(value):
            raise InputError("must be a finite number", key=f"target.{name[:64]}", value=value)
    if len(request.target) > _MOST_CONTROLS:
        raise InputError(f"names more than {_MOST_CONTROLS} controls", key="target")
    if not 0 <= request.windows <= _MOST_WINDOWS:
        raise InputError(f"must lie in [0, {_MOST_WINDOWS}]", key="windows", value=request.windows)
    if len(request.why) > _MOST_TEXT:
        raise InputError(f"longer than {_MOST_TEXT} characters", key="why")
    low, high = settings.lease_ttl_min_s, settings.lease_ttl_max_s
    if not low <= request.lease_ttl_s <= high:
        raise InputError(f"must lie in [{low:g}, {high:g}] s", key="lease_ttl_s", value=request.lease_ttl_s)
    check_timeout(request.trial_timeout_s, settings.trial_timeout_max_s)


def check_timeout(trial_timeout_s: float, most_s: float) -> None:
    """Raise InputError unless this is a deadline that the agent allows."""
    if not 0 < trial_timeout_s <= most_s:
        raise InputError(f"must lie in (0, {most_s:g}] s", key="trial_timeout_s", value=trial_timeout_s)
