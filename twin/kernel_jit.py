"""How the functions of the kernel are compiled, and where what was compiled is kept.

Without numba, or with `NUMBA_DISABLE_JIT=1`, they stay plain Python and give the same numbers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["inlined", "jit"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _cache_folder() -> Path | None:
    """Return a folder of the user's own, named by the content of the kernel, None if there can be none.

    numba looks only at the file of the outermost function to see whether a cache is stale; the kernel has several.
    """
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("kernel*.py")):
        digest.update(file.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "rantwin" / f"kernel-{digest.hexdigest()[:12]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if folder.stat().st_uid == os.getuid() else None


def _compiler() -> Callable[..., Any]:
    try:
        import numba
    except ImportError:  # numba is only a matter of speed
        return lambda **_: lambda function: function
    if "NUMBA_CACHE_DIR" not in os.environ and (folder := _cache_folder()) is not None:
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return cast(Callable[..., Any], numba.njit)


_njit = _compiler()


def jit(function: _F) -> _F:
    """Compile a function; what was compiled is kept for the next process.

    It works on arrays that its caller keeps and makes none, so nothing needs to count who refers to them (`_nrt`): that
    took more than half of the time.
    """
    return cast(_F, _njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function))


def inlined(function: _F) -> _F:
    """Make a function part of its callers: a call with a dozen arrays costs as much as its work."""
    return cast(_F, _njit(forceinline=True, cache=True, error_model="numpy", _nrt=False)(function))
