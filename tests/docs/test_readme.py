"""README.md: its Python snippets pass `mypy --strict`, as they would for somebody who installed araclip."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRONG = "from araclip import AraCLIP\nAraCLIP.load(3)\nAraCLIP.load().encode_text(3)\n"
CONFIG = """[mypy]
strict = True
[mypy-araclip.*]
follow_imports = silent
[mypy-faiss.*,onnxruntime.*,psutil.*,safetensors.*,timm.*,torch.*,transformers.*]
follow_imports = skip
ignore_missing_imports = True
"""  # what is skipped takes a minute to read and says nothing of our types


def test_the_snippets_pass_mypy_strict_and_a_wrong_type_does_not(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    files = [f"snippet_{number}.py" for number in range(len(snippets))]
    for name, text in zip([*files, "wrong.py", "mypy.ini"], [*snippets, WRONG, CONFIG], strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *files, "wrong.py"]
    source = str(ROOT / "src")  # mypy refuses a path of site-packages, which an installed package has
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": source}, capture_output=True, text=True, check=False
    )
    errors = [line for line in ran.stdout.splitlines() if ": error:" in line]
    assert len(files) >= 2
    assert [line.partition(": error:")[0] for line in errors] == ["wrong.py:2", "wrong.py:3"], ran.stdout + ran.stderr
