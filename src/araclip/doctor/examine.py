"""What a report of a fault needs to know of an installation, and nothing of a user's pictures, queries or folders.

Each line is a fact with a mark: fine, worth a look, or broken. Paths are left out: where a folder matters, it is named
by its purpose.
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path

import psutil

from araclip import __version__
from araclip.display import counted, shown
from araclip.doctor.accelerators import accelerators
from araclip.doctor.finding import Finding
from araclip.doctor.installed_packages import version
from araclip.errors import AraCLIPError, GalleryNotFound, InputError
from araclip.gallery import locations
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.locations import Address
from araclip.installed_models import bundled, installed
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import check_hash, read_config
from araclip.ocr.engines import find as find_ocr
from araclip.user_data import data_home

LITTLE_SPACE = 1_000_000_000  # bytes; a gallery of 100,000 pictures takes about a tenth
LITTLE_MEMORY = 1_000_000_000
QUICKLY_READ = 1_000_000_000  # bytes of a model, whose hashes take two seconds then


def examine(gallery: locations.Location | None = None) -> list[Finding]:
    """All findings; a gallery of a folder is read, by default that of the working folder or the one indexed last."""
    findings = [*_machine(), *_packages(), *accelerators(), *_ocr(), *_data_folder(), *_models()]
    return findings + _guarded("gallery", lambda: list(_gallery(gallery)))


def _guarded(about: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look finds; an error of ours or of the system is a finding of its own, without its paths."""
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
    """Versions of what AraCLIP needs, and which extras are installed whole."""
    needed: dict[str, list[str]] = {}  # "" for the core, else the extra
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
    except metadata.PackageNotFoundError:  # run from its source, not installed
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
        damages = list(catalog.damages())
        remedy = "Run: araclip repair" if damages else ""
        yield Finding("gallery's rows", counted(len(damages), "fault"), "fault" if damages else "ok", remedy)
