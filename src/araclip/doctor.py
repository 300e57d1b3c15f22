"""`araclip doctor`: find the facts that a bug report needs, without a user's pictures, queries or folders.

Each line is a fact with a mark: fine, worth a look, or broken. Paths are left out: where a folder matters, its purpose
is named. An unused GPU mostly has one of four causes: the build of ONNX Runtime for the CPU, two builds that overwrite
each other's files, missing CUDA libraries, PyTorch's build for the CPU. One line names the builds of ONNX Runtime; each
other cause has a line of its own.
"""

import ctypes
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import psutil

from araclip import __version__
from araclip.core.display import counted, shown
from araclip.core.installed_models import bundled, installed
from araclip.core.libraries import count_gpus, nvidia_driver
from araclip.core.paths import data_home
from araclip.errors import AraCLIPError, GalleryNotFound, InputError
from araclip.gallery import locations
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.locations import Address
from araclip.models import devices
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import check_hash, read_config
from araclip.pictures.ocr.engines import find_engine as find_ocr

Mark = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One fact about an installation: its subject, the fact, whether it is fine (`mark`), and what to do if not."""

    about: str
    fact: str
    mark: Mark = "ok"
    remedy: str = ""


def block(findings: list[Finding]) -> str:
    """Return the findings as lines to paste into a bug report."""
    marks: dict[Mark, str] = {"ok": " ", "note": "·", "fault": "!"}
    width = max(len(finding.about) for finding in findings)
    lines = [f"{marks[each.mark]} {each.about:<{width}}  {shown(each.fact)}" for each in findings]
    return "\n".join(
        line + (f"  → {each.remedy}" if each.remedy and each.mark != "ok" else "")
        for line, each in zip(lines, findings, strict=True)
    )


def version(name: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
FOR_CUDA = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"
TRIED = 64  # pictures that a device encodes when it is tried
NAME_LENGTH = 256
COMPUTE_CAPABILITY = (75, 76)  # CUdevice_attribute of the compute capability: major, minor


def accelerators() -> Iterator[Finding]:
    """Yield findings about GPUs: which ones there are, and whether ONNX Runtime and PyTorch can compute on them."""
    gpus = _gpus()
    yield Finding("gpu", "; ".join(gpus) or "no NVIDIA GPU and driver; the CPU computes")
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    yield _builds(bool(gpus), "CUDAExecutionProvider" in providers)
    yield Finding("onnxruntime providers", ", ".join(providers))
    here = devices.available()
    yield Finding("devices", ", ".join(here))
    if devices.CUDA in here:
        yield _trial(devices.CUDA)
    if torch := _torch():
        release, cuda = torch
        idle = bool(gpus) and cuda is None
        yield Finding(
            "pytorch", f"{release}, {f'CUDA {cuda}' if cuda else 'for the CPU'}", "note" if idle else "ok",
            "Training and peers use the GPU with PyTorch's build for CUDA: its installation page has the command."
            if idle
            else "",
        )  # fmt: skip


def _gpus() -> list[str]:
    """Return name, memory, compute capability and the driver's CUDA release for each GPU; empty without a driver."""
    try:
        driver = nvidia_driver()
        count, release = count_gpus(driver), ctypes.c_int(0)
        driver.cuDriverGetVersion(ctypes.byref(release))
        cuda = f"driver for CUDA {release.value // 1000}.{release.value % 1000 // 10}"
        return [f"{_gpu(driver, number)}, {cuda}" for number in range(count)]
    except (OSError, AttributeError):  # no GPU can be used: the driver is missing, or lacks these functions
        return []


def _gpu(driver: ctypes.CDLL, number: int) -> str:
    name, memory = ctypes.create_string_buffer(NAME_LENGTH), ctypes.c_size_t(0)
    device = ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, NAME_LENGTH, device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    digits = []
    for attribute in COMPUTE_CAPABILITY:
        value = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        digits.append(value.value)
    label = name.value.decode("utf-8", "replace")
    return f"{label}, {memory.value / 1e9:.0f} GB, compute capability {'.'.join(map(str, digits))}"


def _builds(gpu: bool, cuda: bool) -> Finding:
    """Find the installed builds of ONNX Runtime. More than one is a fault, because all are the module `onnxruntime`.

    A note is given if the machine has a GPU (`gpu`) that ONNX Runtime cannot use (`cuda` false).
    """
    there = [f"{name} {release}" for name in BUILDS if (release := version(name))]
    if len(there) > 1:
        every = " ".join(build.partition(" ")[0] for build in there)
        remedy = f"They overwrite each other's files: pip uninstall {every}, then install one of them."
        return Finding("onnxruntime builds", ", ".join(there), "fault", remedy)
    idle = gpu and not cuda
    fact = ", ".join(there) or "unknown"
    return Finding("onnxruntime builds", fact, "note" if idle else "ok", f"To use the GPU: {FOR_CUDA}" if idle else "")


def _trial(device: str) -> Finding:
    """Test that the bundled model gives the same vectors on a device as on the CPU, and measure the speed of both."""
    about = f"trial on {device}"
    folder = next(iter(bundled().values()))
    side = read_config(folder).image.size
    pictures = np.random.default_rng(0).integers(0, 256, (TRIED, side, side, 3), dtype=np.uint8)
    rates = []
    try:
        for each in ("cpu", device):
            model = AraCLIP.load(folder, device=each)
            model.encode_image(list(pictures[:8]))
            begun = time.perf_counter()
            model.encode_image(list(pictures))
            rates.append(TRIED / (time.perf_counter() - begun))
    except AraCLIPError as error:  # for example: the device computes other vectors than the CPU
        remedy = f"Install CUDA's libraries beside it: {FOR_CUDA}; nvidia-smi must answer too."
        # The messages of other errors may contain the name of a folder, so only the type of such an error is shown.
        fact = shown(str(error)) if isinstance(error, InputError) else type(error).__name__
        return Finding(about, fact, "fault", remedy)
    return Finding(about, f"the CPU's vectors, {rates[1]:,.0f} pictures a second; the CPU {rates[0]:,.0f}")


def _torch() -> tuple[str, str | None] | None:
    """Return PyTorch's version and the CUDA release that it was built for; None if PyTorch is not installed.

    Of a build for the CPU, the CUDA release is None.
    """
    try:
        place = metadata.distribution("torch").locate_file("torch/version.py")
        text = Path(str(place)).read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError):
        return None
    built = re.search(r"^cuda\b[^=\n]*= '([\d.]+)'", text, re.MULTILINE)
    return version("torch") or "unknown", built[1] if built else None


# Free disk space (bytes) below which there is a note; the gallery of 100,000 pictures takes about a tenth of it.
LITTLE_SPACE = 1_000_000_000
LITTLE_MEMORY = 1_000_000_000
QUICKLY_READ = 1_000_000_000  # a model's hashes are checked up to this size in bytes, which takes two seconds


def examine(gallery: locations.Location | None = None) -> list[Finding]:
    """Return all findings about this installation and about a gallery.

    If `gallery` is None, the gallery of the working folder or of a folder above it is examined, or else the gallery
    that was indexed last.
    """
    findings = [*_machine(), *_packages(), *accelerators(), *_ocr(), *_data_folder(), *_models()]
    return findings + _guarded("gallery", lambda: list(_gallery(gallery)))


def _guarded(about: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of `look`, or one finding with the name of the error if `look` raises; paths are left out."""
    try:
        return look()
    except GalleryNotFound:
        return [Finding(about, "none yet", "note", "Index a folder: araclip index FOLDER")]
    except (AraCLIPError, OSError) as error:
        return [
            Finding(about, type(error).__name__, "fault", "araclip verify says what is wrong, araclip repair mends it.")
        ]


def _machine() -> Iterator[Finding]:
    yield Finding("araclip", __version__)
    yield Finding("python", f"{platform.python_version()}, {platform.python_implementation()}, {sys.byteorder}-endian")
    yield Finding("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free, {counted(usable_cores(), 'core')} usable"
    little = memory.available < LITTLE_MEMORY
    yield Finding("memory", text, "note" if little else "ok", "Close other programs." if little else "")
    named = sorted(name for name in os.environ if name.startswith("ARACLIP_"))
    if named:
        yield Finding("environment", f"set: {', '.join(named)} (values are left out)")


def _packages() -> Iterator[Finding]:
    """Yield the versions of the packages that AraCLIP needs, and the extras whose packages are all installed."""
    needed: dict[str, list[str]] = {}  # extra, or "" for AraCLIP itself → its packages
    for line in _requirements():
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        needed.setdefault(extra[1] if extra else "", []).append(name)
    core = {name: version(name) for name in needed.pop("", [])}
    missing = [name for name, release in core.items() if release is None]
    yield Finding("packages", ", ".join(f"{name} {release}" for name, release in sorted(core.items()) if release))
    if missing:
        yield Finding("packages missing", ", ".join(missing), "fault", "Run: pip install --upgrade araclip")
    here = [extra for extra, names in sorted(needed.items()) if all(version(name) for name in names)]
    yield Finding("extras", ", ".join(here) or "none")


def _requirements() -> list[str]:
    try:
        return metadata.requires("araclip") or []
    # no requirements are known if araclip runs from its source, without being installed
    except metadata.PackageNotFoundError:
        return []


def _ocr() -> Iterator[Finding]:
    try:
        reader = find_ocr().name
    except InputError:
        reader = ""
    yield Finding("OCR", reader or "nothing that reads", "ok" if reader else "note", "Only --ocr needs it.")


def _data_folder() -> Iterator[Finding]:
    home = data_home()
    there = home
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        yield Finding("data folder", "cannot be written", "fault", "Set ARACLIP_DATA to a folder of your own.")
    free = shutil.disk_usage(there).free
    little = free < LITTLE_SPACE
    yield Finding("free space", f"{free / 1e9:.1f} GB", "note" if little else "ok", "Free some." if little else "")
    galleries = home / "galleries"
    count = sum(1 for each in galleries.iterdir() if each.is_dir()) if galleries.is_dir() else 0
    size = sum(file.stat().st_size for file in home.rglob("*") if file.is_file()) if home.is_dir() else 0
    yield Finding("data folder", f"{counted(count, 'gallery', 'galleries')}, {size / 1e6:,.0f} MB in all")


def _models() -> Iterator[Finding]:
    known = bundled()
    for name, folder in installed().items():
        about = f"model {shown(name)}"
        yield from _guarded_model(about, folder, "bundled" if name in known else "pulled")


def _guarded_model(about: str, folder: Path, state: str) -> list[Finding]:
    try:
        config = read_config(folder)
        size = sum((folder / part).stat().st_size for part in config.files)
        if size <= QUICKLY_READ:
            for part in config.files:
                check_hash(folder, config, part)
    except (AraCLIPError, OSError) as error:
        return [Finding(about, f"{state}, {type(error).__name__}", "fault", "Pull it again, or reinstall araclip.")]
    whole = "every file as its config says" if size <= QUICKLY_READ else "too large to compare each byte here"
    text = f"{state}, {config.label}, {config.width} wide, weights {config.weights}, {size / 1e6:,.0f} MB, {whole}"
    return [Finding(about, text)]


def _gallery(named: locations.Location | None) -> Iterator[Finding]:
    location = named or locations.gallery_here(Path.cwd())
    if isinstance(location, Address):
        yield Finding("gallery", "on a PostgreSQL server; araclip stats --gallery ADDRESS asks it", "note")
        return
    with closing(Catalog.open(location, None)) as catalog:
        files, pictures = catalog.counts()
        model = f"{catalog.meta('model')}@{catalog.meta('fingerprint')}"
        yield Finding("gallery", f"{counted(pictures, 'picture')} in {counted(files, 'file')}, model {shown(model)}")
        damages = list(catalog.find_damage())
        remedy = "Run: araclip repair" if damages else ""
        yield Finding("gallery's rows", counted(len(damages), "fault"), "fault" if damages else "ok", remedy)
