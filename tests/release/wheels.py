"""Every core dependency has a wheel on every platform that we name: pip resolves them for each, and lists them.

    python tests/release/wheels.py [--python 3.11 --python 3.14]

Needs the package index. Nothing is installed. Exit code 1 where a platform has no complete set.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
LINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
PLATFORMS = {  # tags that pip takes; macOS: a tag stands for all earlier versions, too
    "Windows x86-64": ["win_amd64"],
    "macOS arm64": ["macosx_14_0_arm64"],
    "macOS x86-64": ["macosx_14_0_x86_64"],
    "Linux x86-64": [f"{tag}_x86_64" for tag in LINUX],
    "Linux arm64": [f"{tag}_aarch64" for tag in LINUX],
}
WITHOUT = {("macOS x86-64", "3.14")}  # the last ONNX Runtime for it is 1.23.2, older than Python 3.14
SHOWN = ("onnxruntime", "faiss-cpu", "numpy", "pillow", "tokenizers")


def resolved(tags: list[str], python: str, wanted: list[str]) -> dict[str, str] | str:
    """Name → version of all that would be installed, or pip's complaint."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        command += ["--ignore-installed", "--only-binary=:all:", "--python-version", python, "--target", place]
        command += [part for tag in tags for part in ("--platform", tag)] + [
            "--report",
            f"{place}/report.json",
            *wanted,
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            return said.stderr.strip().splitlines()[-1]
        report = json.loads(Path(place, "report.json").read_text(encoding="utf-8"))
    return {each["metadata"]["name"].lower(): each["metadata"]["version"] for each in report["install"]}


def main() -> int:
    """Print a table of platforms; 1 if any of them lacks a wheel."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", action="append", help="a version of Python; again for more (3.11 and 3.14)")
    pythons = options.parse_args().python or ["3.11", "3.14"]
    wanted = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    print("| platform | Python | packages | " + " | ".join(SHOWN) + " |")
    print("|---" * (3 + len(SHOWN)) + "|")
    missing = 0
    for platform, tags in PLATFORMS.items():
        for python in (python for python in pythons if (platform, python) not in WITHOUT):
            found = resolved(tags, python, wanted)
            missing += isinstance(found, str)
            cells = (
                found if isinstance(found, str) else f"{len(found)} | " + " | ".join(found.get(n, "–") for n in SHOWN)
            )
            print(f"| {platform} | {python} | {cells} |", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
