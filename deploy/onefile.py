"""AraCLIP as one file that needs no Python, built for the system on which this runs: `python deploy/onefile.py`.

Run in an environment with AraCLIP and PyInstaller 6: the file is dist/araclip, on Windows dist/araclip.exe. PyInstaller
runs this script again as the program's first module. There, no interpreter is beside the program: what AraCLIP starts
as `python -P -m MODULE`, the processes that decode, arrives here as arguments.
"""

import multiprocessing
import runpy
import sys
from pathlib import Path


def build() -> None:
    """Build the file."""
    import apsw
    from PyInstaller.__main__ import run

    extension = Path(apsw.__file__).parent / "sqlite_extra_binaries" / "cksumvfs.*"  # PyInstaller takes lib*.so alone
    packages = (
        "araclip",
        "apsw",
        "symspellpy",
        "snowballstemmer",
        "hijridate",
    )  # their data, and what is imported by name
    run([
        "--noconfirm", "--onefile", "--name", "araclip", "--copy-metadata", "araclip",
        "--add-binary", f"{extension}:apsw/sqlite_extra_binaries",
        *(part for name in packages for part in ("--collect-all", name)), __file__,
    ])  # fmt: skip


def main() -> None:
    """Run the command line, or the module of a child process."""
    multiprocessing.freeze_support()
    if sys.argv[1:3] == ["-P", "-m"]:
        module, sys.argv = sys.argv[3], sys.argv[3:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    from araclip.cli import main as run

    run()


if __name__ == "__main__":
    main() if getattr(sys, "frozen", False) else build()
