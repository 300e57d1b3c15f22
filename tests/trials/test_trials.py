"""The long trials of galleries still run, in small: whoever changes what they ask of a gallery sees it at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = {
    "kills": ["--kills", "4"],
    "copies": ["--copies", "3"],
    "gallery_damage": ["--megabytes", "1", "--damages", "12"],
    "checks_beside_writers": ["--rounds", "6"],
}


@pytest.mark.skipif(sys.platform == "win32", reason="forks and kills processes")
@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_of_galleries_has_no_fault(name: str, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "trials" / f"{name}.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script), *TRIALS[name]],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
