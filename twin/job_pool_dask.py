"""Jobs on a cluster through Dask's `distributed`: whoever runs a scheduler and workers has one.

Workers need the same rantwin as here, since results are to be the same: each job carries a digest of our code and is
refused where another one is installed. A lost worker's jobs are done again by the scheduler.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from col.errors import InputError, PlantError, UnreachableError

__all__ = ["DaskJobs", "code_digest"]

J = TypeVar("J")
R = TypeVar("R")

_RETRIES = 3
_PATIENCE_S = 20.0


class DaskJobs:
    """The workers of one scheduler; a context."""

    def __init__(self, address: str, *, patience_s: float = _PATIENCE_S) -> None:
        """Connect to the scheduler at `address` (`tcp://HOST:8786`; `tls://` takes its files from Dask's own settings).

        Raises:
            InputError: the package is not installed, or the address makes no sense.
            UnreachableError: nobody answers there, or it has no worker.
        """
        try:
            self._dask: Any = import_module("distributed")
        except ImportError as error:
            raise InputError("needs the package distributed: pip install rantwin[dask]", key="--dask") from error
        self._address = address
        try:
            self._client = self._dask.Client(address, timeout=patience_s, set_as_default=False)
        except ValueError as error:
            raise InputError(f"must be such as tcp://HOST:8786 ({error})", key="--dask", value=address) from error
        except (OSError, TimeoutError) as error:
            raise UnreachableError(f"no Dask scheduler answers at {address}") from error
        try:
            self._client.wait_for_workers(1, timeout=patience_s)
        except (OSError, TimeoutError) as error:
            self.close()
            raise UnreachableError(f"the Dask scheduler at {address} has no worker") from error

    def __enter__(self) -> DaskJobs:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the scheduler."""
        self.close()

    @property
    def workers(self) -> int:
        """How many jobs can be done at once now."""
        return sum(self._client.nthreads().values())

    def close(self) -> None:
        """Let go of the scheduler."""
        self._client.close()

    def results(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """See `twin.job_pool.JobPool`."""
        checked = functools.partial(_checked, code_digest(), function)
        futures = self._client.map(checked, list(jobs), pure=False, retries=_RETRIES)
        places = {future.key: place for place, future in enumerate(futures)}
        try:
            for future in self._dask.as_completed(futures, loop=self._client.loop):
                yield places[future.key], self._result(future)
                future.release()
        finally:
            self._client.cancel(futures)

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        except self._dask.KilledWorker as error:
            raise PlantError(f"a job was lost with its worker {_RETRIES} times and more: {error}") from error
        except (self._dask.client.FutureCancelledError, asyncio.CancelledError, OSError) as error:
            raise UnreachableError(f"the Dask scheduler at {self._address} is gone") from error
        except ImportError as error:
            raise PlantError(f"a Dask worker lacks what a job needs: {error}") from error


def _checked(digest: str, function: Callable[[Any], Any], job: Any) -> Any:
    if code_digest() != digest:
        raise PlantError(
            "a Dask worker has another version of rantwin than this machine: results would not be the same"
        )
    return function(job)


@functools.cache
def code_digest() -> str:
    """Return a digest of the code that results depend on: col and twin, with the data in them."""
    digest = hashlib.sha256()
    for package in ("col", "twin"):
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).rglob("*")):
                if file.suffix in (".py", ".toml", ".json") and "__pycache__" not in file.parts:
                    digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
