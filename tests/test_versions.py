"""Tests run with the versions of constraints.txt, whenever they run, and CI outlasts a network that fails half-way."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import versions
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {"linux": ("Linux", "x86_64"), "darwin": ("Darwin", "arm64"), "win32": ("Windows", "AMD64")}


def wanted() -> list[Requirement]:
    """What pyproject.toml names: to build, to run, and for all extras."""
    file = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [one for extra in file["project"]["optional-dependencies"].values() for one in extra]
    named = [*file["build-system"]["requires"], *file["project"]["dependencies"], *extras]
    return [requirement for requirement in map(Requirement, named) if requirement.name != "araclip"]


def pinned(python: str, system: str) -> dict[str, str]:
    """Name → version of the pins that hold there; no name twice."""
    kernel, machine = SYSTEMS[system]
    place = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system,
             "platform_system": kernel, "platform_machine": machine}  # fmt: skip
    pins = [pin for pin in map(Requirement, versions.pins()) if not pin.marker or pin.marker.evaluate(place)]
    found = {versions.name_of(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    assert len(found) == len(pins)
    return found


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_whatever_pyproject_names_has_a_pin_in_its_range(python: str, system: str) -> None:
    pins = pinned(python, system)
    here = {"sys_platform": system}
    asked = [each for each in wanted() if not each.marker or each.marker.evaluate(here)]
    assert len(asked) > 80
    assert [str(each) for each in asked if not each.specifier.contains(pins[versions.name_of(each.name)])] == []


def test_pins_name_neither_an_index_nor_a_local_build() -> None:
    line = re.compile(r"[a-z0-9-]+==[\w.]+( ; [\w .'()=<>*!]+)?")
    assert [pin for pin in versions.pins() if not line.fullmatch(pin)] == []


def test_make_installs_nothing_without_pins() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    installs = [line for line in lines if re.search(r"\$\(PIP\).* install ", line)]
    unpinned = [line for line in installs if not re.search(r"\$\(PINS\)|-c \$\(VENV\)/\w+-constraints.txt", line)]
    assert [line.split("install ")[1] for line in unpinned] == [
        "--upgrade uv", "--dry-run --ignore-installed --no-deps --report $(VENV)/torch.json torch",  # of `make lock`
    ]  # fmt: skip
    assert len(installs) == len(unpinned) + 3


@pytest.mark.parametrize("kind", ["lowest", "oldest"])
def test_bounds_take_the_place_of_their_pins(kind: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, versions.__file__, kind, tmp_path], check=True)
    files = [tmp_path / f"{kind}-{part}.txt" for part in ("requirements", "constraints")]
    read = [file.read_text(encoding="utf-8").splitlines() for file in files]
    asked, held = ({versions.name_of(line) for line in lines} for lines in read)
    assert asked and not asked & held
    assert {versions.name_of(pin) for pin in versions.pins()} <= asked | held


FAKE_MAKE = """#!/bin/sh
echo "$*" >> calls.txt
case "$*" in *installed) test "$(wc -l < calls.txt)" -gt "$FAILURES" || {
  echo "make: *** [Makefile:7: .venv/.everything] Error 1" >&2; exit 2; };; esac
"""


@pytest.mark.skipif(os.name == "nt", reason="a script of bash")
@pytest.mark.parametrize(("failures", "tries"), [(0, 1), (2, 3), (3, 3)])
def test_ci_installs_again_where_the_network_fails(failures: int, tries: int, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "make").write_text(FAKE_MAKE)
    (tmp_path / "make").chmod(0o755)
    place = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILURES": str(failures)}
    ran = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert [call for call in calls if call.endswith("installed")] == ["-j3 installed"] * tries
    assert ("test" in calls) == (ran.returncode == 0) == (failures < 3)
    if failures == 3:
        assert "three tries" in ran.stderr.splitlines()[-1]
        assert ran.stderr.splitlines()[-1].endswith("the command that failed: make .venv/.everything")
