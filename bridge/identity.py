"""Who asks: the authenticated identity of a peer and its role."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["AGENT", "Identity", "Role"]


class Role(StrEnum):
    """What a peer may do: a viewer reads, an operator changes the testbed as well."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A peer: its name (of the certificate, of the token, or `uid 1000` on a Unix socket) and how that was proved."""

    name: str
    role: Role
    proof: str

    @property
    def may_operate(self) -> bool:
        """Whether it may change the testbed."""
        return self.role is Role.OPERATOR


AGENT = Identity(name="agent", role=Role.OPERATOR, proof="itself")
"""The agent acting on its own: timers, watchdog, recovery."""
