"""Tags pictures: chooses labels by their probabilities, writes them into XMP side-cars, and removes them again.

No picture is changed. Each side-car is replaced atomically, so that a crash leaves the old one or the new one.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE, S_ISLNK, S_IWUSR

from araclip.core import atomic
from araclip.core.display import Log
from araclip.core.files import open_regular
from araclip.errors import InputError
from araclip.evaluation.zeroshot import label_probabilities, readable_vectors
from araclip.models.encoder_base import Encoder, Vectors
from araclip.pictures.captions import SIDECAR_ENDINGS, group_sidecars
from araclip.pictures.keywords import HIERARCHY, RECORD, SUBJECT, keywords_of, with_keywords, without_keywords
from araclip.pictures.metadata import MAX_XMP_BYTES, xmp_properties
from araclip.text.labels import Label

LEAST = 0.5  # least probability at which a label is written, if neither the caller nor the label states one
LANGUAGES = {"ar": (True, False), "en": (False, True), "both": (True, True)}


@dataclass(frozen=True)
class Tagged:
    """The keywords that `tag` adds, or without `write` would add, to a picture's side-car (an XMP file beside it).

    `labels`: all labels chosen, also those that the side-car had: Arabic name → probability.
    """

    picture: Path
    sidecar: Path
    keywords: tuple[str, ...]
    labels: dict[str, float]
    is_new: bool  #: true if the picture had no side-car (XMP file beside it) before


def tag(
    model: Encoder,
    pictures: Sequence[Path],
    labels: Sequence[Label],
    *,
    write: bool = False,
    least: float | None = None,
    language: str = "both",
    short_names: bool = False,
    vectors: Mapping[str, Vectors] | None = None,
    skip: Log = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    label_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Tagged]:
    """Choose each picture's labels; yield the keywords that its side-car, the XMP file beside it, lacks.

    With `write`, these keywords are first added to the side-car. A picture whose side-car lacks no keyword is left out.

    Args:
        least: a label is chosen if its probability reaches this value and the label's own least probability, if it has
            one. None: only the label's own least probability counts, or LEAST for a label that has none.
        language: the names that are written: ar, en or both.
        short_names: name new side-cars IMG.xmp, as Lightroom does, instead of IMG.jpg.xmp.
        vectors: the model's vectors (D,) by path, such as `BaseGallery.vectors` returns; pictures that have one are not
            encoded.
        skip: called with a line for each picture or side-car that cannot be read or written.
        progress: called with the numbers of pictures encoded and of all pictures.
        label_progress: called with the numbers of the labels' prompts encoded and of all prompts.

    Raises:
        InputError: there are fewer than two labels. ModelMismatch: the model's vectors are wrong.
    """
    readable, found = readable_vectors(model, pictures, skip, progress, vectors)
    names = [each.arabic for each in labels]
    shares = label_probabilities(model, readable, names, other=True, image_vectors=found, progress=label_progress)
    limits = [(each.least or LEAST) if least is None else max(least, each.least or 0) for each in labels]
    listings = {folder: [path.name for path in folder.iterdir()] for folder in {path.parent for path in readable}}
    beside = {folder: group_sidecars(listed) for folder, listed in listings.items()}
    files = (folder / name for folder, listed in listings.items() for name in listed)
    namesakes = Counter(path.with_suffix("") for path in files if not path.name.lower().endswith(SIDECAR_ENDINGS))
    for picture, row in zip(readable, shares.tolist(), strict=True):
        chosen = {
            each: share
            for each, share, limit in sorted(zip(labels, row, limits, strict=False), key=lambda entry: -entry[1])
            if share >= limit and not each.competes_only
        }
        if not chosen:
            continue
        sidecar = picture
        try:
            alone = namesakes[picture.with_suffix("")] == 1
            sidecar = sidecar_of(picture, beside[picture.parent], short=short_names, alone=alone)
            before = _read_sidecar(sidecar)
            new = with_keywords(before, _make_keywords(chosen, *LANGUAGES[language]), str(sidecar))
            if new == before:
                continue
            known = set(keywords_of(before, str(sidecar))[SUBJECT] if before else ())
            if write:
                _write_sidecar(sidecar, new)
        except (InputError, OSError) as error:
            skip(_describe_error(sidecar, error))
            continue
        keywords = tuple(each for each in keywords_of(new, str(sidecar))[SUBJECT] if each not in known)
        yield Tagged(picture, sidecar, keywords, {label.arabic: p for label, p in chosen.items()}, before is None)


def untag(folder: Path, *, skip: Log = lambda line: None) -> Iterator[tuple[Path, bool]]:
    """Remove what `tag` wrote into the side-cars (XMP files beside pictures) below a folder.

    Yield each side-car changed, and whether the whole file was removed. Keywords that were there before `tag`, and
    everything that other programs wrote, stay.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):  # links are followed, each folder is visited once
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for sidecar in (Path(place, name) for name in sorted(names) if name.lower().endswith(".xmp")):
            try:
                before = _read_sidecar(sidecar)
                if before is None or RECORD.encode() not in before:
                    continue
                new = without_keywords(before, str(sidecar))
                if new is None:
                    atomic.unlink(sidecar)
                elif new == before:
                    continue
                else:
                    _write_sidecar(sidecar, new)
            except (InputError, OSError) as error:
                skip(_describe_error(sidecar, error))
                continue
            yield sidecar, new is None


def sidecar_of(picture: Path, beside: Mapping[str, list[str]], *, short: bool, alone: bool) -> Path:
    """Return the path of a picture's XMP side-car to write: the existing one, or a new one, named IMG.xmp if `short`.

    IMG.xmp may belong to another picture, such as IMG.CR2. So it is used only if no other picture has this name
    (`alone`), and if it does not say itself that it belongs to a file with another suffix, as Lightroom's side-cars do.
    `beside`: the side-cars in the picture's folder, from `group_sidecars`.
    """

    def existing(beginning: str) -> Path | None:
        found = (name for name in beside.get(beginning, ()) if name.lower().endswith(".xmp"))
        return next(map(picture.with_name, found), None)

    own, shared = existing(picture.name), existing(picture.stem)
    new = picture.with_name(f"{picture.name}.xmp")
    if own or not alone or not (short or shared):
        return own or new
    shared = shared or picture.with_suffix(".xmp")
    content = _read_sidecar(shared)
    suffixes = xmp_properties(content, str(shared)).get("photoshop:SidecarForExtension") if content else None
    return shared if suffixes is None or suffixes[0].lower() == picture.suffix[1:].lower() else new


def _make_keywords(labels: "dict[Label, float]", arabic: bool, english: bool) -> dict[str, list[str]]:
    """Return keywords for an XMP side-car: under SUBJECT the labels' names, under HIERARCHY the paths GROUP|NAME.

    `arabic`: True to write the Arabic names. `english`: True to write the English names.
    """
    flat, paths = [], []
    for label in labels:
        names = [(label.arabic, label.group)] * arabic + [(label.english, label.group_english)] * english
        flat += [name for name, _ in names if name]
        paths += [f"{group}|{name}" for name, group in names if name and group]
    return {SUBJECT: flat, HIERARCHY: paths}


def _read_sidecar(sidecar: Path) -> bytes | None:
    """Return the bytes of a side-car (XMP file beside a picture); None if there is none.

    Raises:
        InputError: the side-car is a link or read-only. OSError: the side-car cannot be read.
    """
    try:
        mode = sidecar.lstat().st_mode
    except FileNotFoundError:
        return None
    if S_ISLNK(mode):
        raise InputError(f"{sidecar}: a link, and not followed. Replace it by the file that it leads to.")
    if not mode & S_IWUSR:
        raise InputError(f"{sidecar}: read-only. Allow writing, or leave it as it is.")
    with open_regular(sidecar) as file:
        return file.read(MAX_XMP_BYTES + 1)


def _write_sidecar(sidecar: Path, content: bytes) -> None:
    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)
        if sidecar.exists():
            temporary.chmod(S_IMODE(sidecar.stat().st_mode))

    atomic.write(sidecar, fill)


def _describe_error(path: Path, error: Exception) -> str:
    return f"{path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
