"""Reads AraCLIP as published, in either of its two layouts, into our AraCLIPModel.

`Arabic-Clip/araclip` holds one state dict: `text_model.transformer.` (BERT), `text_model.clip_head.` (a linear layer)
and `clip_model.` (open_clip's ViT-B-16-SigLIP-512; its English tower `text.` is not used). The older repositories
hold only the BERT, with the head beside it as a pickle; their image tower comes from open_clip. Text: the mean of the
last hidden states passes the head. Picture: squashed to a square, scaled with mean and deviation 0.5.
`make_trainable` saves the model as an AraCLIPModel, which can be trained further and exported.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor

from araclip.core import atomic
from araclip.core.display import Log
from araclip.core.paths import user_path
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP, Encoder
from araclip.models.folder import existing_folder
from araclip.peers import model_registry
from araclip.peers.libraries import open_clip_pictures
from araclip.peers.request import HEADS, KINDS, Request, find_heads, kind_of_folder
from araclip.peers.torch_encoder import ImageTower, TorchEncoder, make_image_tower, make_preparer
from araclip.peers.weight_files import check_fit, is_saved_model, local_folder, read_head, read_json, read_state
from araclip.training.export.model_card import About
from araclip.training.failures import failures
from araclip.training.model import foreign
from araclip.training.model.configuration import AraCLIPConfig
from araclip.training.model.foreign import on_pillow, tokenizer_at
from araclip.training.model.hub_files import CARD, model_card
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.preprocessing import square_processor
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.teachers.text_encoders import (
    Inputs,
    TextEncoder,
    araclip_text,
    open_clip_model,
    positions,
    token_inputs,
)

IMAGE_MODEL = "ViT-B-16-SigLIP-512"
TOKENIZER = "Arabic-Clip/bert-base-arabertv2-ViT-B-16-SigLIP-512-epoch-155-trained-2M"
HALF = [0.5, 0.5, 0.5]  # mean, and also standard deviation, by which each channel's pixels are normalised
_TEXT, _HEAD, _IMAGE = "text_model.transformer.", "text_model.clip_head.", "clip_model."
_NAMES = (  # beginning of our name of a weight → beginning of the published name
    ("text_model.", _TEXT),
    ("text_projection.", _HEAD),
    ("vision_model.timm_model.", f"{_IMAGE}visual.trunk."),
    ("logit_", f"{_IMAGE}logit_"),
)
_UNUSED_TENSORS = (f"{_IMAGE}text.", f"{_TEXT}pooler.", ".position_ids")


@dataclass(frozen=True)
class PublishedAraCLIP:
    """A published checkpoint as an AraCLIPModel, its tokenizer, and the side of its pictures (None: no image tower)."""

    model: AraCLIPModel
    tokenizer: Any
    size: int | None

    def processor(self) -> AraCLIPProcessor:
        """Make an AraCLIPProcessor; it normalises text before the tokenizer, which the published code does not."""
        square = square_processor(self.size, self.size, HALF, HALF) if self.size else None
        return AraCLIPProcessor(square, self.tokenizer, self.model.config.max_tokens, reduction="exact")


def read_published(name: str, folder: Path, head: Path | None = None, image: str | None = None) -> PublishedAraCLIP:
    """Read a published AraCLIP checkpoint from a folder: the whole model, or an older text encoder with its head.

    Args:
        name: the model's name in messages.
        head: the pickled head of an older text encoder, if the pickle does not lie beside the encoder.
        image: open_clip's name of the image tower for an older text encoder; None reads the text tower alone.
    """
    foreign.check_folder(folder)
    raw = read_json(folder / "config.json")
    state = read_state(folder)
    if "transformer_cfg" in raw:
        if head or image:
            raise ModelMismatch(f"{folder} holds its own head and image tower. Leave out the other ones.")
        text, has_images = raw["transformer_cfg"], True
    else:
        text, has_images = raw, image is not None
        state = {f"{_TEXT}{key.removeprefix('bert.')}": tensor for key, tensor in state.items()}
        state |= _read_head_tensors(folder, head)
        if image is not None:
            model = open_clip_model(f"{name}, image tower {image}", image.removeprefix("open_clip:"))
            state |= {f"{_IMAGE}{key}": tensor for key, tensor in model.state_dict().items()}
    if f"{_HEAD}weight" not in state or state[f"{_HEAD}weight"].ndim != 2:
        raise ModelMismatch(f"{folder}: {_HEAD}weight, the head, is missing or no matrix. Copy the whole folder again.")
    width = int(raw.get("out_features", state[f"{_HEAD}weight"].shape[0]))
    config = _make_config(folder, text, width, has_images)
    model = _load_weights(config, state, folder)
    size = open_clip.get_model_config(IMAGE_MODEL)["vision_cfg"]["image_size"] if has_images else None
    beside = any((folder / file).is_file() for file in ("tokenizer.json", "vocab.txt"))
    location = folder if beside else str(raw.get("tokenizer_repo_id_or_path") or TOKENIZER)
    with failures(name, f"put the tokenizer.json of {TOKENIZER} into {folder}"):
        tokenizer = tokenizer_at(location, config.text_config)
    return PublishedAraCLIP(model, tokenizer, size)


def load_published(request: Request) -> Encoder:
    """Load a published AraCLIP checkpoint, a saved AraCLIPModel or an exported one (a model folder) as an encoder.

    A published checkpoint gets texts that are not normalised.
    """
    if model_folder.names_model_folder(request.location):
        return AraCLIP(model_folder.find(request.location), threads=request.threads, device=request.device)
    folder = local_folder(request.name, request.location)
    if read_json(folder / "config.json").get("model_type") == "araclip":
        text, pictures = _load_saved_model(request.name, folder, request.device)
    else:
        published = read_published(request.name, folder)
        araclip, longest = published.model, published.model.config.max_tokens
        text = TextEncoder(
            "araclip as published", araclip, token_inputs(published.tokenizer, longest),
            lambda inputs: araclip.get_text_features(**inputs).pooler_output, published.tokenizer, longest,
        )  # fmt: skip
        pictures = _make_image_tower(published, request.device)
    if request.image and pictures is None:
        model = open_clip_model(f"{request.name}, image tower {request.image}", request.image)
        pictures = open_clip_pictures(model, request.device)
    if pictures is None:
        raise ModelNotFound(f"{request.name} has no image tower. Name one: {KINDS['araclip'].way}.")
    return TorchEncoder(request, text, pictures)


def _make_config(folder: Path, text: Any, width: int, has_images: bool) -> AraCLIPConfig:
    vision = open_clip.get_model_config(IMAGE_MODEL)["vision_cfg"] if has_images else None
    with failures(f"{folder / 'config.json'} describes no BERT: it", "copy the folder again", ModelMismatch):
        config = AraCLIPConfig(
            text_config={**text, "model_type": "bert"},
            vision_config=vision and {
                "model_type": "timm_wrapper", "architecture": vision["timm_model_name"], "do_pooling": True,
                "model_args": {"img_size": vision["image_size"], "global_pool": vision["timm_pool"]},
            },
            projection_dim=width, vision_projection="identity", logit_bias_init=-10.0 if has_images else None,
        )  # fmt: skip
        # The published code cuts no text and fails on texts with more tokens than positions; this model cuts them.
        config.max_tokens = positions(config.text_config)
    return config


def _load_weights(config: AraCLIPConfig, state: Mapping[str, Tensor], folder: Path) -> AraCLIPModel:
    built = failures(folder / "config.json", "copy the folder again", ModelMismatch, cannot="be built")
    with built, torch.device("meta"):  # builds the model without memory for its weights
        empty = AraCLIPModel(config).state_dict()
    has_images = config.vision_config is not None
    theirs = {
        ours: their_start + ours.removeprefix(start)
        for start, their_start in _NAMES
        for ours in empty if ours.startswith(start) and (has_images or start != "logit_")
    }  # fmt: skip
    check_fit(state, {theirs[ours]: empty[ours] for ours in theirs}, folder, _UNUSED_TENSORS)
    with failures(folder / "config.json", "copy the folder again", ModelMismatch, cannot="be built"):
        model = AraCLIPModel(config)
        found = {ours: state[name].float() for ours, name in theirs.items()}
        # assign=True: the weights of a safetensors file stay memory-mapped and are not copied
        model.load_state_dict({**model.state_dict(), **found}, assign=True)
    model.eval()
    return model


def _read_head_tensors(folder: Path, head: Path | None) -> dict[str, Tensor]:
    if head is None:
        found = find_heads(folder)
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise ModelNotFound(
                f"{folder} is a text encoder; its head, one file {' or '.join(HEADS)}, is needed, found {names}. "
                "Put it there, or name it (--head)."
            )
        (head,) = found
    elif not head.is_file():
        raise ModelNotFound(f"{head}: no such file. Name the pickled head of the text encoder.")
    weight, bias = read_head(head)
    return {f"{_HEAD}weight": torch.from_numpy(weight), f"{_HEAD}bias": torch.from_numpy(bias)}


def _make_image_tower(published: PublishedAraCLIP, device: str) -> ImageTower | None:
    model, side = published.model, published.size
    if side is None:
        return None

    def prepare(picture: Image.Image) -> Inputs:
        square = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), np.float32)  # (side, side, 3)
        return {"pixel_values": torch.from_numpy((square / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]}

    return _wrap_image_tower(model, prepare, device, published.processor().image_processor)


def _load_saved_model(name: str, folder: Path, device: str) -> tuple[TextEncoder, ImageTower | None]:
    text = araclip_text(name, folder)
    processor = AraCLIPProcessor.from_pretrained(folder)
    if processor.image_processor is None:
        return text, None

    # our own code prepares pictures if the processor's settings fit an ImageTransform; otherwise the processor does
    processor.image_processor = on_pillow(processor.image_processor)
    transform = None
    with suppress(ModelMismatch):
        transform = processor.preprocessing.transform

    pictures = _wrap_image_tower(text.model, make_preparer(processor), device, processor.image_processor)
    return text, replace(pictures, transform=transform)


def _wrap_image_tower(model: Any, prepare: Callable[[Image.Image], Inputs], device: str, settings: Any) -> ImageTower:
    return make_image_tower(
        model, prepare, lambda inputs: model.get_image_features(**inputs).pooler_output, device, settings
    )


_CARD_END = "## Trained on, measured, limits, licence"


@dataclass(frozen=True)
class Trainable:
    """The result of `make_trainable`: the folder written, the width D, and whether the model has an image tower."""

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
        source: a registry name, hub id or folder: of the whole model, or of an older text encoder (see the module).
        out: folder to write; absent or empty.
        head: the pickle with the projection of an older text encoder, if the file does not lie beside the encoder. Only
            tensors are read from the pickle; no code in the pickle is executed.
        image: the image tower of an older text encoder, such as "ViT-B-16-SigLIP-512/webli" of open_clip; without it
            the result encodes texts only.
        log: called with a line once the weights are read.
    """
    out = user_path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name another folder, or move it away.")
    if isinstance(source, Request):
        name, location = source.name, source.location
    else:
        peer = model_registry.BY_NAME.get(source)
        name, location = source, peer.location if peer else source.removeprefix("araclip:")
    folder = local_folder(name, location)
    kind = kind_of_folder(folder)
    if kind == "araclip" and head is None and is_saved_model(folder):
        raise InputError(f"{name} is a saved AraCLIPModel already, which trains and can be exported as it is.")
    if kind != "araclip" and head is None:
        raise InputError(
            f"{name} is no AraCLIP as published ({kind or 'no known layout'}). A text encoder needs its pickled head "
            "beside it, or --head; other systems are pulled to search with, without --trainable."
        )
    published = read_published(name, folder, head, image)
    log(f"{name} read: every tensor was used")
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(out, lambda temporary: _save_trainable(temporary, published, name))
    return Trainable(out, published.model.config.projection_dim, published.size is not None)


def _save_trainable(folder: Path, published: PublishedAraCLIP, source: str) -> None:
    about = _make_about(source)
    card = model_card(published.model.config).split(_CARD_END)[0]
    data = "\n".join(f"- {line}" for line in about.training_data)
    text = f"{card}{_CARD_END}\n\n{about.notes}\n\nLicence: {about.license}. Trained on:\n\n{data}\n"
    (folder / CARD).write_text(text, encoding="utf-8")
    published.model.save_pretrained(folder)
    published.processor().save_pretrained(folder)


def _make_about(source: str) -> About:
    named = folder.name if (folder := existing_folder(source)) else source  # the card must not name a local path
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
