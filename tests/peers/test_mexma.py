"""MEXMA-SigLIP 2's layout by classes of our own: whatever its parts are named, vectors are those of the same layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize as l2_normalize
from transformers import AutoTokenizer, SiglipImageProcessor

import tiny_hf
from araclip import AraCLIP
from araclip.errors import ModelMismatch
from araclip.peers.request import parse_request
from tiny_published import PublishedMexma, write_mexma

TEXTS = ["قطة سوداء جالسة على طاولة", "a black cat", "كلب", "كلب " * 50, ""]
NAMES: list[dict[str, str]] = [
    {},
    {"text": "text_encoder", "projector": "projection", "image": "image_encoder"},
    {"text": "mexma", "projector": "proj", "image": "siglip"},
]


@pytest.mark.parametrize("names", NAMES)
def test_the_vectors_are_those_of_the_published_layers(tmp_path: Path, names: dict[str, str]) -> None:
    folder = write_mexma(tmp_path / "mexma", **names)
    published = PublishedMexma(**names).eval()
    published.load_state_dict({name: t.float() for name, t in load_file(folder / "model.safetensors").items()})
    encoder: Any = AraCLIP.load(folder)
    pictures = [tiny_hf.picture(), tiny_hf.picture((20, 90, 200))]
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, max_length=38, return_tensors="pt", return_token_type_ids=False
    )
    pixels = SiglipImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    with torch.inference_mode():
        texts = l2_normalize(published.encode_texts(**tokens), dim=-1).numpy()
        images = l2_normalize(published.encode_images(**pixels), dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_text(TEXTS), texts, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_image(pictures), images, atol=1e-5)


def test_the_registry_and_a_folder_ask_for_our_own_classes(tmp_path: Path) -> None:
    for name in ("mexma-siglip2", "visheratin/mexma-siglip2", str(write_mexma(tmp_path / "copy"))):
        request = parse_request(name)
        assert request is not None
        assert request.kind == "mexma"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("text_projector.weight"), "text_projector.weight is missing"),
        (lambda state: state.update(more=torch.zeros(3, 3, 3)), "more of (3, 3, 3) is not expected"),
        (lambda state: state.pop("text_model.embeddings.word_embeddings.weight"), "0 tensors end with"),
        (lambda state: state.update({"text_projector.weight": torch.zeros(48, 31)}), "expected (48, 32)"),
        (lambda state: state.pop("vision_model.head.probe"), "vision_model.head.probe is missing"),
        (lambda state: state.pop("text_model.encoder.layer.0.intermediate.dense.weight"), "intermediate.dense.weight"),
    ],
)
def test_a_missing_extra_or_misshapen_tensor_is_named(tmp_path: Path, change: Any, message: str) -> None:
    folder = write_mexma(tmp_path / "mexma")
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    with pytest.raises(ModelMismatch) as refused:
        AraCLIP.load(folder)
    assert message in str(refused.value)
