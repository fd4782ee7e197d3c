"""A controller in a process of its own, to be killed: applies a plan, keeps the lease, says what becomes of it.

`python -m benchmarks.testbed.controller ADDRESS PROMOTION DIGEST TTL_S`; a line on stdout for every state, and one more
(`verdict pass`) once the verdict is there; `refused` where the gate refuses.
"""

from __future__ import annotations

import subprocess
import sys

from bridge.client import LeaseKeeper, TestbedClient
from col.errors import RefusedError

__all__ = ["Controller"]


class Controller:
    """The process."""

    def __init__(self, address: str, promotion_id: str, digest: str, lease_ttl_s: float) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.testbed.controller"),
                *(address, promotion_id, digest, str(lease_ttl_s)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, words: str) -> bool:
        """Read what it says up to a line that begins with these words; False if it was refused or did not hold.

        Raises:
            RuntimeError: it ended before.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith((words, "refused", "rolled back")):
                return line.startswith(words)
        raise RuntimeError(f"the controller ended before {words!r}")

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def main() -> int:
    """Apply and watch until somebody ends it."""
    address, promotion_id, digest, ttl_s = sys.argv[1:]
    with TestbedClient(address) as client, LeaseKeeper(client, promotion_id, float(ttl_s)):
        try:
            print(client.apply(promotion_id, digest).state, flush=True)
        except RefusedError:
            print("refused", flush=True)
            return 1
        for promotion in client.watch(promotion_id):
            print(promotion.state, flush=True)
            if promotion.verdict is not None:
                print(f"verdict {promotion.verdict}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
