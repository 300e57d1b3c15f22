"""What araclip doctor tells of an installation, and what it never tells."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from araclip import __version__
from araclip.gallery import locations
from test_cli import Run, folder, run  # noqa: F401  (fixtures)


def test_it_tells_versions_devices_models_and_the_gallery_without_a_path(
    run: Run,  # noqa: F811
    folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("index", str(folder))
    monkeypatch.setenv("ARACLIP_TOKEN_READ", "a-secret-of-this-test-alone")
    said = run("doctor", model=False)
    assert said.code == 0
    for words in (
        __version__,
        "onnxruntime",
        "CPUExecutionProvider",
        "araclip-mini",
        "3 pictures in 3 files",
        "0 faults",
    ):
        assert words in said.out, words
    for secret in (str(tmp_path), str(Path.home()), folder.name, "أحمر", "a-secret-of-this-test-alone"):
        assert secret not in said.out, secret


def test_without_a_gallery_it_says_how_to_make_one(run: Run, tmp_path: Path) -> None:  # noqa: F811
    said = run("doctor", model=False)
    assert said.code == 0
    assert "none yet  → Index a folder" in said.out


def test_a_pulled_model_with_a_flipped_bit_is_a_fault_and_the_bundled_one_is_whole(
    run: Run,  # noqa: F811
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    pulled = tmp_path / "data" / "models" / "نموذج"
    shutil.copytree(tiny_model, pulled)
    content = bytearray((pulled / "image.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (pulled / "image.onnx").write_bytes(content)
    said = run("doctor", "--json", model=False)
    models = {each["about"]: each for each in json.loads(said.out)["findings"] if each["about"].startswith("model ")}
    assert said.code == 1
    assert models["model نموذج"]["mark"] == "fault" and "ModelMismatch" in models["model نموذج"]["fact"]
    assert "every file as its config says" in models["model araclip-mini"]["fact"]


def test_a_damaged_gallery_is_a_fault_with_a_remedy(run: Run, folder: Path) -> None:  # noqa: F811
    run("index", str(folder))
    catalog = locations.gallery_of(folder) / "catalog.sqlite"
    with sqlite3.connect(catalog) as database:
        database.execute("DROP TRIGGER IF EXISTS files_crc_updated")
        database.execute("UPDATE files SET crc = crc + 1")
    database.close()
    said = run("doctor", "--json", model=False)
    faults = [finding for finding in json.loads(said.out)["findings"] if finding["mark"] == "fault"]
    assert said.code == 1
    assert faults[0]["about"].startswith("gallery")
    assert "araclip repair" in faults[0]["remedy"]
    assert str(folder) not in said.out
