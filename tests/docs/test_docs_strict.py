"""The site's build refuses what would mislead a reader. `make test-docs` runs these, which need the extra docs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.skipif("ARACLIP_DOCS" not in os.environ, reason="make test-docs runs these")
PAGE = """# Page

[a link](nowhere.md), [an anchor](#not-here), [a file](../nothing.txt)

```python
from araclip.core.atomic import step
```
"""


def test_broken_links_and_undocumented_names_end_the_build(tmp_path: Path) -> None:
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


def test_a_recipes_key_has_the_comment_on_its_line_or_above_it() -> None:
    page = Path(os.environ["ARACLIP_DOCS"], "recipe-keys.html").read_text(encoding="utf-8")
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in page.split("<tr")]
    said = {key: " ".join(row) for row in rows for key in ("logit_bias", "hard_negatives", "image_size") if key in row}
    assert "sigmoid loss needs" in said["logit_bias"] and "pieces" not in said["logit_bias"]
    assert "How many hard negatives" in said["hard_negatives"]
    assert "side of the input pictures" in said["image_size"]
