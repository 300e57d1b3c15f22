"""The tests that need neither PyTorch nor a package of the extras: what any platform can run after a core install.

    python tests/core_tests.py [PYTEST OPTIONS]

`make test-lowest` runs them with the lowest versions of the dependencies, the workflows on Windows, macOS and ARM.
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXTRAS = ("_contract", "_remote", "_openai")  # test packages of extras: qdrant-edge-py, schemathesis, openai
OTHERS = (
    "arguments", "atomic", "bounded_json", "bundled_model", "classify_command", "cli", "cli_gallery", "cli_stop",
    "client", "decode_limits", "display", "duplicates", "encoder", "images", "normalization", "platforms", "query",
    "reembed", "scan_index", "upgrades", "watch",
)  # fmt: skip
SAMPLES = "not the_demo_gives"  # the sample pictures need the extra demo


def core_tests() -> list[str]:
    """The paths of the test files, sorted."""
    galleries = [path for path in HERE.glob("test_gallery*.py") if not path.stem.endswith(EXTRAS)]
    servers = [path for path in HERE.glob("test_server_*.py") if not path.stem.endswith(EXTRAS)]
    return sorted(str(path) for path in [*galleries, *servers, *(HERE / f"test_{name}.py" for name in OTHERS)])


if __name__ == "__main__":
    sys.exit(pytest.main(["-k", SAMPLES, *sys.argv[1:], *core_tests()]))
