"""AraCLIP as published → a saved AraCLIPModel, which trains and can be exported."""

from dataclasses import dataclass
from pathlib import Path

from araclip import atomic
from araclip.display import Log
from araclip.errors import InputError
from araclip.models.folder import existing_folder
from araclip.paths import user_path
from araclip.peers import model_registry
from araclip.peers.loading import Request, layout
from araclip.peers.published_araclip import IMAGE_MODEL, PublishedAraCLIP, read_published
from araclip.peers.weight_files import folder_of, is_saved
from araclip.training.export.model_card import About
from araclip.training.model.hub_files import CARD, model_card

_CARD_END = "## Trained on, measured, limits, licence"


@dataclass(frozen=True)
class Trainable:
    """What was written: its folder, D, and whether it has an image tower."""

    folder: Path
    width: int
    has_images: bool


def make_trainable(
    source: str | Request, out: Path, *, head: Path | None = None, image: str | None = None,
    log: Log = lambda line: None,
) -> Trainable:  # fmt: skip
    """Read AraCLIP as published and save it with its tokenizer as an AraCLIPModel, without the English tower.

    `out` is written atomically. Texts pass `araclip.normalize` from now on; otherwise vectors are as published.

    Args:
        source: a registry name, hub id or folder, in either published layout.
        out: folder to write; absent or empty.
        head: the pickled head of an older text encoder, if it does not lie beside it. It is never executed.
        image: the image tower of an older text encoder, such as "ViT-B-16-SigLIP-512/webli" of open_clip; without it
            the result encodes texts only.
        log: takes a line as each step is done.

    Raises:
        InputError: the source is another kind of model, or there is something at `out`.
        ModelNotFound, ModelMismatch: see `published_araclip.read_published`.
    """
    out = user_path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name another folder, or move it away.")
    if isinstance(source, Request):
        name, location = source.name, source.location
    else:
        peer = model_registry.BY_NAME.get(source)
        name, location = source, peer.location if peer else source.removeprefix("araclip:")
    folder = folder_of(name, location)
    kind = layout(folder)
    if kind == "araclip" and head is None and is_saved(folder):
        raise InputError(f"{name} is a saved AraCLIPModel already, which trains and can be exported as it is.")
    if kind != "araclip" and head is None:
        raise InputError(
            f"{name} is no AraCLIP as published ({kind or 'no known layout'}). A text encoder needs its pickled head "
            "beside it, or --head; other systems are pulled to search with, without --trainable."
        )
    published = read_published(name, folder, head, image)
    log(f"{name} read: every tensor was used")
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(out, lambda temporary: _save(temporary, published, name))
    return Trainable(out, published.model.config.projection_dim, published.size is not None)


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
            "pull --trainable`: the weights are the authors', the English text tower is left out. Texts pass "
            "`araclip.normalize` first, as those of the published code do not; AraBERT v2 expects segmented words, "
            "which neither gives it."
        ),
        text_tower="AraBERT v2 base, fine-tuned",
        image_tower=IMAGE_MODEL,
    )
