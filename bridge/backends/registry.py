"""Which backend the agent works with: the one that its own configuration names, and no other is ever imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata

from bridge.backends.base import Backend
from bridge.backends.bounded import BoundedBackend
from bridge.backends.emulated import make_backend as make_emulated
from col.errors import InputError

__all__ = ["GROUP", "BackendFactory", "load_backend"]

GROUP = "rantwin.backends"
"""The entry point group in which a package offers a `BackendFactory` under a name."""

BackendFactory = Callable[[Mapping[str, object], float], Backend]
"""Takes the `[backend]` table of the agent's configuration (without `name`) and the longest time of a call [s]."""


def _make_docker(config: Mapping[str, object], call_timeout_s: float) -> Backend:
    from bridge.backends.docker import make_backend  # the others do without its packages

    return make_backend(config, call_timeout_s)


_BUILT_IN: Mapping[str, BackendFactory] = {"emulated": make_emulated, "docker": _make_docker}
"""They bound their calls themselves, and no other package can take their names."""


def load_backend(name: str, config: Mapping[str, object], call_timeout_s: float) -> Backend:
    """Return the backend of that name; one from another package has its calls bounded from outside.

    Raises:
        InputError: there is none of that name, two packages offer it, it cannot be loaded, or its configuration is
            wrong.
    """
    own = {key: value for key, value in config.items() if key != "name"}
    if (built_in := _BUILT_IN.get(name)) is not None:
        return built_in(own, call_timeout_s)
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if not found:
        offered = sorted({*_BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))})
        raise InputError(f"no such backend; installed are {', '.join(offered)}", key="backend.name", value=name)
    if len({entry.value for entry in found}) > 1:
        raise InputError("more than one package offers this backend", key="backend.name", value=name)
    try:
        factory: BackendFactory = found[0].load()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise InputError(f"cannot be loaded ({text})", key="backend.name", value=name) from error
    return BoundedBackend(factory(own, call_timeout_s), call_timeout_s)
