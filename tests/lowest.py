"""Write the lowest version of each core dependency that pyproject.toml and this Python allow: `name==version` lines.

python tests/lowest.py > lowest.txt && pip install -r lowest.txt
"""

import re
import sys
import tomllib
from pathlib import Path

# Where the bound has no wheel for a later Python 3: the first release that has one.
FIRST_WHEELS = {"numpy": {13: "2.1", 14: "2.3.2"}}
PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def lowest(project: Path) -> list[str]:
    """`name==version` of each core dependency, for the Python that runs."""
    dependencies = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", dependency) for dependency in dependencies]
    missing = [dependency for dependency, bound in zip(dependencies, bounds, strict=True) if not bound]
    if missing:
        raise SystemExit(f"{project}: {', '.join(missing)}: name>=version is needed, so that the lowest can be tried.")
    minor = sys.version_info.minor
    return [f"{bound[1]}=={FIRST_WHEELS.get(bound[1], {}).get(minor, bound[2])}" for bound in bounds if bound]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest(PROJECT)) + "\n")
