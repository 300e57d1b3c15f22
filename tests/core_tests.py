"""The tests that need neither PyTorch nor a package of the extras: what any platform can run after a core install.

    python tests/core_tests.py [--of-dependencies] [PYTEST OPTIONS]

The workflows run them on Windows, macOS and ARM; `make test-lowest` with the lowest versions of the dependencies, and
--of-dependencies, without the files that are about Python, SQLite and files alone.
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXTRAS = ("server_contract", "_remote", "_openai")  # test packages of extras: schemathesis, openai
OTHERS = (
    "arguments", "atomic", "bounded_json", "bundled_model", "classify_command", "cli", "cli_gallery", "cli_stop",
    "client", "decode_limits", "display", "duplicates", "encoder", "images", "normalization", "platforms", "query",
    "reembed", "scan_index", "upgrades", "watch",
)  # fmt: skip
OF_PYTHON = (
    "atomic", "bounded_json", "cli_stop", "display", "gallery_checksums", "gallery_damage", "normalization",
    "platforms",
)  # fmt: skip
SAMPLES = "not test_the_demo"  # the sample pictures need the extra demo


def core_tests(*, without: tuple[str, ...] = ()) -> list[str]:
    """The paths of the test files, sorted."""
    galleries = [path for path in HERE.rglob("test_gallery*.py") if not path.stem.endswith(EXTRAS)]
    servers = [path for path in HERE.rglob("test_server_*.py") if not path.stem.endswith(EXTRAS)]
    every = [*galleries, *servers, *(path for name in OTHERS for path in HERE.rglob(f"test_{name}.py"))]
    return sorted(str(path) for path in every if path.stem.removeprefix("test_") not in without)


if __name__ == "__main__":
    options = [option for option in sys.argv[1:] if option != "--of-dependencies"]
    left_out = OF_PYTHON if len(options) < len(sys.argv) - 1 else ()
    sys.exit(pytest.main(["-k", SAMPLES, *options, *core_tests(without=left_out)]))
