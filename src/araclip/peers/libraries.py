"""Loads published models with a library: open_clip, transformers (AltCLIP and others), sentence-transformers."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from araclip.errors import ModelMismatch
from araclip.models.folder import existing_folder
from araclip.peers.request import Request
from araclip.peers.torch_encoder import ImageTower, TorchEncoder, make_image_tower, make_preparer
from araclip.training.failures import failures
from araclip.training.model import foreign, towers
from araclip.training.model.foreign import check_tokens, image_processor_at, on_pillow
from araclip.training.teachers.text_encoders import Inputs, TextEncoder, open_clip_text, pooled, transformers_text


def load_open_clip(request: Request) -> TorchEncoder:
    """Load a model with open_clip: by folder, by hub id, or by a name in open_clip's list and a tag or weights file."""
    text = open_clip_text(request.name, request.location)
    return TorchEncoder(request, text, open_clip_pictures(text.model, request.device))


def open_clip_pictures(model: Any, device: str) -> ImageTower:
    """Return the image tower of an open_clip model, with the preprocessing that open_clip uses for evaluation."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    visual = model.visual
    transform = image_transform_v2(PreprocessCfg(**visual.preprocess_cfg), is_train=False)

    def features(inputs: Inputs) -> Tensor:
        return pooled_vectors(visual(inputs["image"]))

    return make_image_tower(
        visual, lambda picture: {"image": transform(picture)[None]}, features, device, visual.preprocess_cfg
    )


def pooled_vectors(output: Any) -> Tensor:
    """Take the pooled vectors (n, D) from the output of an open_clip image tower.

    Most towers return the pooled vectors alone. CoCa's tower returns a tuple: the pooled vectors, and the vectors of
    the patches, which are left out.
    """
    vectors: Tensor = output[0] if isinstance(output, tuple) else output
    return vectors


def load_transformers(request: Request) -> TorchEncoder:
    """Load a dual encoder that transformers has a class for, such as AltCLIP, with tokenizer and image processor."""
    text = transformers_text(request.name, request.location)
    model, model_type = text.model, text.model.config.model_type
    if request.kind == "altclip" != model_type:
        raise ModelMismatch(
            f"{request.name} is a model of type {model_type}, not altclip. Ask for transformers:{request.location}."
        )
    if not hasattr(model, "get_image_features"):
        raise ModelMismatch(
            f"{request.name} is a {type(model).__name__}, which has no get_image_features. "
            "Name a model with both towers."
        )
    with failures(request.name, "its preprocessor_config.json must lie beside it"):
        processor = image_processor_at(request.location, pillow=True)

    pictures = make_image_tower(
        model,
        make_preparer(processor),
        lambda inputs: pooled(model.get_image_features(**inputs)),
        request.device,
        processor,
    )
    return TorchEncoder(request, text, pictures)


def _as_dicts(texts: list[str]) -> list[dict[str, str]]:
    # If a bare text is a picture's path or address, sentence-transformers opens this picture. A text in a dict is safe.
    return [{"text": entry} for entry in texts]


class _SentenceText(TextEncoder):
    """Encodes texts by sentence-transformers' own `encode`."""

    def encode(self, texts: list[str], device: str) -> Tensor:
        return _encode(self.model, _as_dicts(texts))


def load_sentence_transformers(request: Request) -> TorchEncoder:
    """Load a multimodal model of sentence-transformers, or a text model with an image model at `request.image`."""
    text = _load_sentence_transformer(request.name, request.location, request.device)
    image = _load_sentence_transformer(request.name, request.image, request.device) if request.image else text

    # the text that sentence-transformers puts before every text
    prompt = text.prompts.get(text.default_prompt_name) or None

    def tokens(texts: list[str]) -> Inputs:
        made = text.preprocess(_as_dicts(texts), prompt=prompt)
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    return TorchEncoder(
        request,
        _SentenceText("sentence-transformers", text, tokens, text.forward, text.tokenizer, text.max_seq_length),
        ImageTower(
            image,
            lambda picture: picture,
            lambda pictures: _encode(image, list(pictures)),
            lambda picture: dict(image.preprocess([picture])),
            getattr(image[0].processor, "image_processor", image[0].processor),
        ),
    )  # fmt: skip


def _encode(model: Any, inputs: list[Any]) -> Tensor:
    vectors: Tensor = model.encode(inputs, batch_size=len(inputs), convert_to_tensor=True, show_progress_bar=False)
    return vectors


def _check_fits(folder: Path) -> None:
    """Raise ModelMismatch if a folder's transformers config describes many more numbers than its weights have."""
    path = folder / "config.json"
    if path.is_file() and "model_type" in foreign.read_settings(path, dict):
        config = foreign.config_at(folder)
        # If the model has an encoder and a decoder, nothing is checked: the folder may hold the encoder alone.
        if not config.is_encoder_decoder:
            foreign.check_fits(lambda: AutoModel.from_config(config), folder)


def _check_complete(part: Any, folder: Path, name: str) -> None:
    """Raise ModelMismatch if a folder lacks weights of a module of sentence-transformers, which then are random.

    sentence-transformers does not say which weights were missing, so transformers loads the module once more.
    """
    model = getattr(part, "model", None)
    if isinstance(model, PreTrainedModel):
        _, report = type(model).from_pretrained(
            folder, output_loading_info=True, dtype=torch.float32, trust_remote_code=False
        )
        # `pools`: this module uses its own pooler; if not, another module pools, and the pooler may lack weights
        pools = "pooler_output" in repr(getattr(part, "modality_config", None))
        spare = [key for key in report["missing_keys"] if not pools and "pooler." in key]
        towers.check_complete(model, report["missing_keys"], name, spare)


def _load_sentence_transformer(name: str, location: str, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    with failures(name, "check the path or hub id"):
        folder, revision = existing_folder(location), None
        if folder is None:  # `location` is a hub id: download the settings only
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(location, allow_patterns=["*config.json", "modules.json"]))
            revision = folder.name
        foreign.check_folder(folder)
        # each module has a folder in the format of transformers; without modules.json, the whole folder is one
        listing = folder / "modules.json"
        modules = foreign.read_settings(listing, list) if listing.is_file() else [{"path": ""}]
        places = [folder / module.get("path", "") for module in modules]
        for place in places if revision is None else ():  # a hub's model is not checked: its weights are not here yet
            _check_fits(place)
        weights = {"dtype": torch.float32}
        with foreign.code_refused(location):
            model: Any = SentenceTransformer(
                location, device=device, revision=revision, trust_remote_code=False, model_kwargs=weights
            )
        # In a folder without modules.json, sentence-transformers adds a pooling module, which has no weights to check.
        for part, place in zip(model, places, strict=False):
            _check_complete(part, place, name)
        check_tokens(getattr(model, "tokenizer", None), location)
    for part in (part for part in model if hasattr(part, "processor")):
        if hasattr(part.processor, "image_processor"):
            part.processor.image_processor = on_pillow(part.processor.image_processor)
        else:
            part.processor = on_pillow(part.processor)  # perhaps a tokenizer, which stays unchanged
    return model
