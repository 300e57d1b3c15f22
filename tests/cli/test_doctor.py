"""What araclip doctor tells of an installation, and what it never tells."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from araclip import __version__, doctor
from araclip.doctor import Finding
from araclip.gallery import locations
from catalog_file import damage
from command_line import Run


def test_it_tells_versions_devices_models_and_the_gallery(
    run: Run,
    folder: Path,
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


def test_without_a_gallery_it_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    said = run("doctor", model=False)
    assert said.code == 0
    assert "none yet  → Index a folder" in said.out


def test_a_pulled_model_with_a_flipped_bit_is_a_fault(
    run: Run,
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


def test_a_damaged_gallery_is_a_fault_with_a_remedy(run: Run, folder: Path) -> None:
    run("index", str(folder))
    catalog = locations.gallery_of(folder) / "catalog.sqlite"
    damage(catalog.parent, "UPDATE files SET size = size + 1")
    shutil.copyfile(catalog, catalog.with_name("copy"))
    catalog.with_name("copy").replace(catalog)  # another file is checked whole when it is opened
    said = run("doctor", "--json", model=False)
    faults = [finding for finding in json.loads(said.out)["findings"] if finding["mark"] == "fault"]
    assert said.code == 1
    assert faults[0]["about"].startswith("gallery")
    assert "araclip repair" in faults[0]["remedy"]
    assert str(folder) not in said.out


class TwoGpus:
    """NVIDIA's driver as far as it is asked, with two GPUs."""

    def cuInit(self, flags: int) -> int:
        return flags

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def cuDriverGetVersion(self, release: Any) -> int:
        release._obj.value = 12080
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:
        name.value = b"NVIDIA T4"[: length - 1] if device.value == 0 else b"NVIDIA A10"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:
        memory._obj.value = 16_000_000_000 + device.value
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = {75: 7, 76: 5 + device.value}[attribute]
        return 0


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "nvidia_driver", TwoGpus)


def found() -> dict[str, Finding]:
    return {each.about: each for each in doctor.accelerators()}


@pytest.mark.usefixtures("gpus")
def test_gpus_are_named_and_idle_ones_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", {"onnxruntime": "1.30.0", "torch": "2.9.0"}.get)
    monkeypatch.setattr(doctor, "_torch", lambda: ("2.9.0+cpu", None))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    said = found()
    assert said["gpu"].fact == (
        "NVIDIA T4, 16 GB, compute capability 7.5, driver for CUDA 12.8; "
        "NVIDIA A10, 16 GB, compute capability 7.6, driver for CUDA 12.8"
    )
    assert said["onnxruntime builds"].mark == said["pytorch"].mark == "note"
    assert "pip install 'onnxruntime-gpu" in said["onnxruntime builds"].remedy
    assert "trial on cuda" not in said


def test_two_builds_of_onnx_runtime_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.30.0"}.get)
    builds = found()["onnxruntime builds"]
    assert builds.mark == "fault"
    assert builds.remedy.startswith("They overwrite each other's files: pip uninstall onnxruntime onnxruntime-gpu")


@pytest.mark.usefixtures("gpus")
def test_a_gpu_without_cuda_s_libraries_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("they may be here")
    monkeypatch.setattr("araclip.models.devices.available", lambda: ["cpu", "cuda"])
    trial = found()["trial on cuda"]
    assert trial.mark == "fault"
    assert "cannot load CUDA's libraries" in trial.fact


@pytest.mark.parametrize(
    ("text", "built"),
    [("cuda: Optional[str] = None\n", None), ("cuda: Optional[str] = '12.8'\n", "12.8"), ("cuda = '11.8'\n", "11.8")],
)
def test_pytorch_s_build_is_read_and_not_imported(
    text: str, built: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torch-2.9.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0+here\n")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.9.0+here'\n{text}")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert doctor._torch() == ("2.9.0+here", built)
