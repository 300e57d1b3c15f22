"""The site's build refuses what would mislead a reader. `make test-docs` runs these, which need the extra docs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = pytest.mark.skipif("ARACLIP_DOCS" not in os.environ, reason="make test-docs runs these")
PAGE = """# Page

[a link](nowhere.md), [an anchor](#not-here), [a file](../nothing.txt)

```python
from araclip.core.atomic import step
```
"""


def test_broken_links_missing_anchors_and_undocumented_names_end_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "site", docs / "site")
    shutil.copy(DOCS / "conf.py", docs)
    (docs / "index.md").write_text(PAGE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(docs),
        str(tmp_path / "site"),
    ]
    source = os.pathsep.join([str(DOCS.parent / "src"), os.environ.get("PYTHONPATH", "")])
    built = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert built.returncode != 0
    for fault in ("'nowhere.md'", "'not-here'", "'../nothing.txt'"):
        assert any(fault in line and "not found" in line for line in built.stderr.splitlines()), fault
    assert "the public name araclip.core.atomic.step is not in the Python reference" in built.stderr
    assert "the public name araclip.Gallery is not in the Python reference" in built.stderr
