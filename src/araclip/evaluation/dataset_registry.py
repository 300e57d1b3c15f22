"""The picture sets that an evaluation can name: what each is, where it comes from, how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from araclip.core.bounded_tar import is_tar
from araclip.core.paths import data_home, user_path
from araclip.errors import InputError
from araclip.evaluation.picture_sets import layouts
from araclip.evaluation.picture_sets.archives import Hub, unpack_hub, unpack_tars
from araclip.evaluation.picture_sets.datasets import LISTING, PictureSet, gather, read_set
from araclip.evaluation.picture_sets.layouts import Rows, SetFiles

CAPTION_FIELD = "caption_ar"  # the caption field of our folders, unless another is named


@dataclass(frozen=True)
class Source:
    """A published picture set with Arabic captions.

    Attributes:
        title: its name in print. read: files and split → rows; None where only the copy on the hub can be read.
        fields: caption fields it has, the first by default. splits: its splits, or None where the files decide.
        hub: the Hugging Face dataset with its pictures, where one is known; its caption column is the first field.
        license: of its captions, where we know it. note: what a reader of its numbers should know.
    """

    title: str
    read: Callable[[SetFiles, str | None], Rows] | None
    fields: tuple[str, ...] = (CAPTION_FIELD,)
    splits: tuple[str, ...] | None = None
    hub: Hub | None = None
    license: str | None = None
    note: str = ""


def _flickr(*patterns: str) -> Callable[[SetFiles, str | None], Rows]:
    return lambda files, split: layouts.flickr(files, split, patterns)


KNOWN: Mapping[str, Source] = {
    "flickr8k-ar-eljundi": Source(
        "Flickr8k-Arabic (ElJundi et al. 2020)",
        _flickr("Flickr8k.arabic.full.txt"),
        splits=("train", "dev", "test"),
        note="Three captions a picture, machine-translated, then edited by people.",
    ),
    "flickr8k-ar-rev": Source(
        "Flickr8k-Arabic-Rev",
        _flickr("*[Rr]ev*.txt"),
        splits=("train", "dev", "test"),
        license="CC0",
        note="Captions written or rewritten by people; some are generic and fit several pictures.",
    ),
    "flickr30k-ar": Source(
        "Flickr30k-Arabic",
        _flickr("*[Aa]rabic*"),
        splits=("train", "val", "test"),
        note="Machine translations of Flickr30k's captions.",
    ),
    "xtd-ar": Source(
        "XTD-Arabic",
        lambda files, split: layouts.xtd(files, "ar"),
        splits=("test",),
        note="Translations by others: XTD has no Arabic. 800 of its 1,000 pictures are of COCO train2014: check what a "
        "model was trained on.",
    ),
    "xm3600-ar": Source(
        "Crossmodal-3600, Arabic",
        lambda files, split: layouts.crossmodal(files, "ar"),
        fields=("captions",),
        splits=("test",),
        hub=Hub("mteb/xm3600", "ar"),
        license="CC BY 4.0",
        note="3,600 pictures, 7,367 captions; published numbers differ in whether they ask all captions or the first.",
    ),
    "coco-ar": Source(
        "MS-COCO-Arabic",
        layouts.coco,
        note="Machine translations of COCO's captions, in COCO's or Karpathy's form.",
    ),
    "wit-ar": Source(
        "WIT, Arabic (IGLUE's test side)",
        None,
        fields=("captions",),
        splits=("test",),
        hub=Hub("mteb/wit", "ar"),
        license="CC BY-SA 4.0",
        note="Captions of pictures in Wikipedia: many speak of what a picture means rather than of what it shows.",
    ),
}


def load_dataset(
    dataset: str | Path,
    *,
    path: Path | None = None,
    images: Path | None = None,
    split: str | None = None,
    caption_field: str | None = None,
    unpack_to: Path | None = None,
) -> PictureSet:
    """A picture set by name or path.

    Args:
        dataset: one of KNOWN; "hub:<id>" for any Hugging Face dataset; or a path: a folder with captions.jsonl, one
            saved by `datasets`, a WebDataset tar or a folder of tars (a split is then what their names begin with).
        path: folder of a KNOWN set, or its caption file; without it the set comes from the hub, where it has one.
        images: the folder of the pictures, where they do not lie with the captions; of a KNOWN set, or of our form.
        split, caption_field: by default all pictures, and caption_ar ("txt" of tars).
        unpack_to: where sets from tars and the hub are unpacked, once; the user's data directory by default.

    Raises:
        InputError: there is no such set, split or field, a row is malformed (file and line are named), or `path` or
            `images` would have no effect.
    """
    unpack_to = unpack_to or data_home() / "datasets"
    name = str(dataset)
    path, images = (place and user_path(place) for place in (path, images))
    if name in KNOWN:
        return _known_set(name, path, images, split, caption_field, unpack_to)
    if path is not None:
        raise InputError(f"'{name}' says where it lies; a path (--path) is for {', '.join(KNOWN)}. Leave it out.")
    if name.startswith("hub:"):
        _refuse(images, name)
        hub = Hub(name.removeprefix("hub:"), split or "test")
        return _from_hub(hub, hub.id, hub.split, caption_field or CAPTION_FIELD, unpack_to)
    location = user_path(dataset)
    if (location / LISTING).is_file():
        return read_set(location, caption_field or CAPTION_FIELD, split, images)
    if _is_saved_dataset(location):
        _refuse(images, name)
        return _from_hub(Hub(str(location), split), location.name, split, caption_field or CAPTION_FIELD, unpack_to)
    if location.is_dir() and (shards := [path for path in sorted(location.iterdir()) if _is_shard(path)]):
        _refuse(images, name)
        if not (tars := [path for path in shards if path.name.startswith(split or "")]):
            raise InputError(
                f"{location} has no tar of split '{split}', whose name would begin so. The first is {shards[0].name}."
            )
        return _from_tars(location.name, tars, split, caption_field or "txt", unpack_to)
    if location.is_file() and is_tar(location):
        _refuse(images, name)
        if not location.name.startswith(split or ""):
            raise InputError(f"{location} is not of split '{split}': its name would begin so. Leave the split out.")
        return _from_tars(location.name.partition(".")[0], [location], split, caption_field or "txt", unpack_to)
    raise InputError(
        f"no picture set '{dataset}': neither one of {', '.join(KNOWN)} nor a folder with {LISTING}, a saved dataset, "
        "a tar or a folder of tars. Check the spelling, or write 'hub:<id>' for a Hugging Face dataset."
    )


def _known_set(
    name: str, path: Path | None, images: Path | None, split: str | None, field: str | None, unpack_to: Path
) -> PictureSet:
    source = KNOWN[name]
    if source.splits is not None and split is not None and split not in source.splits:
        raise InputError(f"{name} has no split '{split}', it has {', '.join(source.splits)}.")
    if field is not None and field not in source.fields:
        raise InputError(f"{name} has no caption field '{field}', it has {', '.join(source.fields)}.")
    field = source.fields[0] if field is None else field
    if path is not None and source.read is not None and not _is_saved_dataset(path):
        return gather(name, split, field, source.read(SetFiles(path, images), split))
    if source.hub is None:
        raise InputError(f"we know of no hub that has {source.title} with its pictures. Pass the path where it lies.")
    _refuse(images, name)
    hub = source.hub
    if path is not None:
        hub = replace(hub, id=str(path), split=hub.split if (path / "dataset_dict.json").is_file() else None)
    return _from_hub(hub, name, split, field, unpack_to)


def _refuse(images: Path | None, name: str) -> None:
    """Refuse a folder of pictures for a set that has them inside."""
    if images is not None:
        raise InputError(f"'{name}' has its pictures inside. Leave out the folder of pictures (--images).")


def _is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` has saved a set there."""
    return any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json"))


def _is_shard(path: Path) -> bool:
    return path.name.endswith((".tar", ".tar.gz", ".tar.bz2", ".tar.xz"))


def _from_hub(hub: Hub, name: str, split: str | None, field: str, unpack_to: Path) -> PictureSet:
    return replace(read_set(unpack_hub(hub, unpack_to), field, name=name), split=split)


def _from_tars(name: str, tars: list[Path], split: str | None, field: str, unpack_to: Path) -> PictureSet:
    return replace(read_set(unpack_tars(tars, unpack_to), field, name=name), split=split)
