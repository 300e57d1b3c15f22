"""Packages of the npm registry: fetched by npm without running their scripts, and read from their archives."""

import contextlib
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from araclip.errors import InputError


def fetched(package: str, folder: Path) -> Path:
    """The archive of `name@version` in `folder`; npm fetches it where it is missing, and runs none of its scripts.

    Raises:
        InputError: npm is not installed, or could not fetch it.
    """
    name, _, version = package.rpartition("@")
    archive = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if archive.is_file():
        return archive
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm is not installed; it fetches the drawings and keywords of emoji (here {package}). Install Node.js "
            f"with npm, or put the package's archive at {archive}."
        )
    part = folder / ".part"  # npm writes in place: a download cut short must not look like the archive
    part.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", str(part), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (part / archive.name).is_file():
        raise InputError(
            f"npm could not fetch {package}: {done.stderr.strip() or 'no archive came'}. Check the connection to the "
            f"registry and run this again, or put the package's archive at {archive}."
        )
    return (part / archive.name).rename(archive)


def read(archive: Path, member: str) -> bytes:
    """One file of an archive.

    Raises:
        InputError: the archive is damaged or has no such file.
    """
    with opened(archive) as package:
        file = package.extractfile(member)
        if file is None:
            raise KeyError(f"{member} is no file")
        return file.read()


@contextlib.contextmanager
def opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """An archive to read from.

    Raises:
        InputError: it is damaged, or a file that the `with` block reads is missing.
    """
    try:
        with tarfile.open(archive) as package:
            yield package
    except (KeyError, tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{archive} is damaged ({error}). Remove it and run this again; npm fetches it anew."
        ) from error
