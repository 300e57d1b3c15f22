"""AraCLIP as published → a saved AraCLIPModel, or the model folder that AraCLIP.load takes."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from araclip import atomic
from araclip.errors import InputError
from araclip.model_folder import existing_folder
from araclip.paths import user_path
from araclip.peers import model_registry
from araclip.peers.loading import layout
from araclip.peers.published_araclip import IMAGE_MODEL, PublishedAraCLIP, read_published
from araclip.peers.weight_files import folder_of
from araclip.training.export.export import export
from araclip.training.export.model_card import About
from araclip.training.model.hub_files import CARD, model_card

Log = Callable[[str], None]
_CARD_END = "## Trained on, measured, limits, licence"


@dataclass(frozen=True)
class Converted:
    """What was written: its folder and D, whether it has an image tower, and whether it holds ONNX graphs."""

    folder: Path
    width: int
    has_images: bool
    onnx: bool


def convert(
    source: str, out: Path, *, head: Path | None = None, image: str | None = None, onnx: bool = False,
    log: Log = lambda line: None,
) -> Converted:  # fmt: skip
    """Read AraCLIP as published and save it with its tokenizer as an AraCLIPModel, without the English tower.

    `out` is written atomically. Texts pass `araclip.normalize` from now on; otherwise vectors are as published.

    Args:
        source: a registry name, hub id or folder, in either published layout.
        out: folder to write; absent or empty, or, with `onnx`, an earlier model folder, which is replaced.
        head: the pickled head of an older text encoder, if it does not lie beside it. It is never executed.
        image: the image tower of an older text encoder, such as "ViT-B-16-SigLIP-512/webli" of open_clip; without it
            the result encodes texts only.
        onnx: write a model folder of float32 graphs, which must give the model's vectors, see `parity`.
        log: takes a line as each step is done.

    Raises:
        InputError: the source is another kind of model, there is something at `out`, or `onnx` without image tower.
        ModelNotFound, ModelMismatch: see `published_araclip.read_published`.
        ExportRejected: a graph's vectors differ from the model's.
    """
    out = user_path(out).resolve()
    if not onnx and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name another folder, or move it away.")
    peer = model_registry.BY_NAME.get(source)
    folder = folder_of(source, peer.location if peer else source.removeprefix("araclip:"))
    kind = layout(folder)
    if kind != "araclip" and head is None:
        raise InputError(
            f"{source} is no AraCLIP as published ({kind or 'no known layout'}). A text encoder needs its pickled head "
            "beside it, or --head; other systems need no conversion: AraCLIP.load takes them as they are."
        )
    published = read_published(source, folder, head, image)
    log(f"{source} read: every tensor was used")
    if onnx and published.size is None:
        raise InputError(f"{source} has no image tower, a model folder needs one: --image-tower {IMAGE_MODEL}/webli.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if onnx:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
            _save(Path(beside), published, source)
            export(Path(beside), out, weights="float32", about=_about(source), log=log)
    else:
        atomic.write_folder(out, lambda temporary: _save(temporary, published, source))
    return Converted(out, published.model.config.projection_dim, published.size is not None, onnx)


def _save(folder: Path, published: PublishedAraCLIP, source: str) -> None:
    about = _about(source)
    card = model_card(published.model.config).split(_CARD_END)[0]
    data = "\n".join(f"- {line}" for line in about.training_data)
    text = f"{card}{_CARD_END}\n\n{about.notes}\n\nLicence: {about.license}. Trained on:\n\n{data}\n"
    (folder / CARD).write_text(text, encoding="utf-8")
    published.model.save_pretrained(folder)
    published.processor().save_pretrained(folder)


def _about(source: str) -> About:
    named = folder.name if (folder := existing_folder(source)) else source  # no paths of this machine on a card
    return About(
        license="not stated by its authors; ask them before you use the weights for more than research",
        training_data=(
            "text tower: 2 million captions of CC3M, CC12M and SBU, written by BLIP and translated by opus-mt-en-ar",
            "image tower: WebLI (SigLIP ViT-B/16 at 512 pixels, Apache-2.0)",
        ),
        notes=(
            f"AraCLIP as published ({model_registry.ARACLIP_PAPER}), converted from `{named}` by `araclip "
            "convert`: the weights are the authors', the English text tower is left out. Texts pass "
            "`araclip.normalize` first, as those of the published code do not; AraBERT v2 expects segmented words, "
            "which neither gives it."
        ),
        text_tower="AraBERT v2 base, fine-tuned",
        image_tower=IMAGE_MODEL,
    )
