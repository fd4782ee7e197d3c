"""The emulated testbed: a plant in a process of its own that differs from the twin. Everything of it is EMULATED."""

from __future__ import annotations

from twin.emulated.misbehave import Misbehaviour, read_misbehaviour
from twin.emulated.settings import EmulatedSettings
from twin.emulated.supervisor import serve
from twin.live import LoadLaw

__all__ = ["EmulatedSettings", "LoadLaw", "Misbehaviour", "read_misbehaviour", "serve"]
