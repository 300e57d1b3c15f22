"""The versions that tests run with besides those of constraints.txt.

    python tests/versions.py lowest FOLDER   # writes FOLDER/lowest-requirements.txt and FOLDER/lowest-constraints.txt
    python tests/versions.py oldest FOLDER
    python tests/versions.py newer           # lists what this environment has in a newer version than constraints.txt

lowest: each core dependency in the lowest version that pyproject.toml and this Python allow. oldest: the oldest
transformers. All else has the version of constraints.txt, but for what these need in an older one.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

PROJECT = Path(__file__).parents[1]
# Where the bound has no wheel for a later Python 3: the first release that has one.
FIRST_WHEELS = {"numpy": {13: "2.1", 14: "2.3.2"}}
LOWEST_NEED = ["click==8.1.8", "coloredlogs==15.0.1", "humanfriendly==10.0", "pydantic-core==2.27.0"]
OLDEST = ["transformers[hub-kernels]==5.0.0"]  # it cannot import the `kernels` that newer ones bring
OLDEST_NEED = ["huggingface-hub==1.33.0", "kernels==0.10.5", "tokenizers==0.22.2", "typer-slim==0.24.0"]


def lowest(project: Path = PROJECT) -> list[str]:
    """`name==version` of each core dependency, for the Python that runs."""
    file = project / "pyproject.toml"
    dependencies = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", dependency) for dependency in dependencies]
    missing = [dependency for dependency, bound in zip(dependencies, bounds, strict=True) if not bound]
    if missing:
        raise SystemExit(f"{file}: {', '.join(missing)}: name>=version is needed, so that the lowest can be tried.")
    minor = sys.version_info.minor
    return [f"{bound[1]}=={FIRST_WHEELS.get(bound[1], {}).get(minor, bound[2])}" for bound in bounds if bound]


def name_of(requirement: str) -> str:
    """The package's name as an index spells it: pi_heif>=1 → pi-heif."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def pins() -> list[str]:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def write(folder: Path, kind: str, requirements: list[str], need: list[str]) -> None:
    own = {name_of(requirement) for requirement in [*requirements, *need]}
    others = [pin for pin in pins() if name_of(pin) not in own]
    (folder / f"{kind}-requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    (folder / f"{kind}-constraints.txt").write_text("\n".join([*need, *others]) + "\n", encoding="utf-8")


def newer() -> Iterable[str]:
    """`name pinned → installed` of each package whose pinned version, for this Python and system, is an older one."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    here = [pin for pin in map(Requirement, pins()) if not pin.marker or pin.marker.evaluate()]
    pinned = {name_of(pin.name): str(pin.specifier).removeprefix("==") for pin in here}
    for found in sorted(distributions(), key=lambda found: name_of(found.name)):
        before = pinned.get(name_of(found.name), found.version)
        if Version(Version(found.version).public) > Version(before):
            yield f"{name_of(found.name)} {before} → {found.version}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lowest", folder]:
            write(Path(folder), "lowest", lowest(), LOWEST_NEED)
        case ["oldest", folder]:
            write(Path(folder), "oldest", OLDEST, OLDEST_NEED)
        case ["newer"]:
            sys.stdout.write("\n".join(["newer than constraints.txt:", *newer(), ""]))
        case _:
            raise SystemExit(__doc__)
