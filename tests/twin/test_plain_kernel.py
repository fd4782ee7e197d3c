"""Without its compiler the kernel gives the same numbers; the choice is made on import, hence other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import streams
from twin.cfs_burst import CfsBurst
from twin.dataplane import DataPlane
from twin.link_noise import Distribution, LinkNoise
from twin.lock_step import LockStep
from twin.parameters import CellParameters, GrantPolicy

SLOTS = (170, 130)

SCRIPT = """
import sys
{before}
from tests.twin.test_plain_kernel import figures
import numpy as np
np.savez(sys.argv[1], compiled="numba" in sys.modules and sys.modules["numba"] is not None, **figures())
"""


def figures() -> dict[str, np.ndarray]:
    """Return counters and packets of throttled cells over a short span, cut into calls.

    Two have CUs of their own; two share one, one of them in lock-step, over links with noise.
    """
    noise = LinkNoise(jitter_ms=0.1, distribution=Distribution.PARETONORMAL, correlation=0.3, loss=0.01, to_bad=0.01)
    noisy = CellParameters(midhaul_noise=noise, backhaul_noise=noise, burst=CfsBurst(burst_du_ms=10.0))
    cells = [
        CellParameters(),
        CellParameters(n_ue=2, grant_policy=GrantPolicy.BATCH, buffer_packets=20),
        noisy,
        replace(noisy, lock_step=LockStep(), fronthaul_noise=LinkNoise(jitter_ms=0.05)),
    ]
    factors = np.array([1.0, 1.05, 1.0, 1.0])
    plane = DataPlane(cells, streams(9), du_factor=factors, log_packets=500, cu_of=[0, 1, 2, 2])
    setups = [(10.0, 0.6, 0.4), (20.0, 0.5, 0.45), (10.0, 0.5, 0.6), (8.0, 0.6, 0.6)]
    for cell, (load, du, cu) in enumerate(setups):
        plane.set_load(cell, dl_mbps=load, ul_mbps=load / 2)
        plane.set_quota(cell, du_cores=du, cu_cores=cu)
    for slots in SLOTS:
        plane.advance(slots)
    out = dict(plane.take_counters().columns)
    for cell in range(len(cells)):
        log = plane.packet_log(cell)
        out |= {f"down_{cell}": log.downlink, f"up_{cell}": log.uplink}
    return out


@pytest.mark.parametrize(
    ("before", "environment"),
    [("", {"NUMBA_DISABLE_JIT": "1"}), ("sys.modules['numba'] = None", {})],
    ids=["compiler-switched-off", "no-compiler-installed"],
)
def test_plain_path_gives_the_numbers_of_the_compiled_one(
    before: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "figures.npz"
    subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before), str(file)],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, **environment},
        check=True,
    )
    plain, compiled = np.load(file), figures()

    assert set(plain.files) - {"compiled"} == set(compiled)
    assert compiled["packets_dl"].min() > 50
    assert compiled["stall_ms_du"].min() > 0
    for name, values in compiled.items():
        np.testing.assert_allclose(plain[name], values, rtol=1e-9, atol=1e-9, err_msg=name)
