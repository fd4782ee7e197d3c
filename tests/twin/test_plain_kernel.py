"""Without its compiler the kernel gives the same numbers; the choice is made on import, hence other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import streams
from twin.dataplane import DataPlane
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
    """Return counters and packets of two throttled cells over a short span, cut into calls."""
    cells = [CellParameters(), CellParameters(n_ue=2, grant_policy=GrantPolicy.BATCH, buffer_packets=20)]
    plane = DataPlane(cells, streams(9), du_factor=np.array([1.0, 1.05]), log_packets=500)
    for cell, (load, du, cu) in enumerate([(10.0, 0.6, 0.4), (20.0, 0.5, 0.45)]):
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
