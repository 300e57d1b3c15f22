"""Print what `make release-check` installs: the extra `release`, without the package and its tests."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

if __name__ == "__main__":
    print(*tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["release"])
