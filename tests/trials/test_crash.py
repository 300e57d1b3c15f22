"""Nothing is lost when a gallery's owner is killed: thirty trials of tests/crash/trials.py, which runs any number."""

import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = Path(__file__).parents[1] / "crash" / "trials.py"


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills with SIGKILL")
def test_a_gallery_killed_at_thirty_points_loses_nothing() -> None:
    command = [sys.executable, str(TRIALS), "--trials", "30", "--seed", "7"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 of them wrong" in told.stdout
