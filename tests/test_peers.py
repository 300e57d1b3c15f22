"""Systems of others behind one contract: their vectors are those of their own code, and hostile files do not run."""

import json
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize as unit
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    AutoImageProcessor,
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
)

import tiny_hf
from araclip import AraCLIP
from araclip.encoder import Encoder
from araclip.errors import InputError, ModelMismatch, ModelNotFound, UnreadableImage
from araclip.peers import registry
from araclip.peers.translation import Translated
from tiny_peers import BERT, TEXTS, small_open_clip, write_araclip, write_mclip, write_older_araclip

LAYERS: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
TEXT: dict[str, Any] = {**LAYERS, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 0}
VISION: dict[str, Any] = {**LAYERS, "image_size": 16, "patch_size": 8}
CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with small_open_clip(tmp_path_factory.mktemp("open_clip")):
        yield


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MODEL/FILE of a tiny CLIP of open_clip."""
    path = tmp_path_factory.mktemp("clip") / "weights.pt"
    torch.manual_seed(1)
    torch.save(open_clip.create_model("araclip-tiny-clip", load_weights=False).state_dict(), path)
    return f"araclip-tiny-clip/{path}"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path | Image.Image]:
    """Two files and a picture in memory; their names and modes are such as people have."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "قطة [1].png")
    tiny_hf.picture((20, 90, 200)).save(tmp_path / "b.png")
    return [tmp_path / "قطة [1].png", tmp_path / "b.png", tiny_hf.picture(90, "L")]


def rgb(pictures: list[Path | Image.Image]) -> list[Image.Image]:
    return [(p if isinstance(p, Image.Image) else Image.open(p)).convert("RGB") for p in pictures]


def tokens(folder: Path, texts: list[str] = TEXTS, **how: Any) -> dict[str, Any]:
    return dict(AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **{"padding": True, **how}))


def pooled(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def same(encoder: Encoder, text: torch.Tensor, image: torch.Tensor, pictures: Any, texts: list[str] = TEXTS) -> None:
    np.testing.assert_allclose(encoder.encode_text(texts), unit(text, dim=-1).numpy(), **CLOSE)
    np.testing.assert_allclose(encoder.encode_image(pictures), unit(image, dim=-1).numpy(), **CLOSE)
    assert encoder.width == text.shape[1]


def squares(pictures: list[Path | Image.Image], side: int) -> torch.Tensor:
    """As AraCLIP's own transforms make them, through torchvision."""
    from torchvision import transforms

    square = transforms.Resize((side, side), transforms.InterpolationMode.BICUBIC, antialias=True)
    compose = transforms.Compose([square, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    return torch.stack([compose(picture) for picture in rgb(pictures)])


# ------------------------------------------------------------------ parity with the code each was published with


@torch.inference_mode()
def test_araclip_as_published(tmp_path: Path, pictures: list[Any]) -> None:
    model = write_araclip(tmp_path / "araclip")
    text = model.text_model(**tokens(tmp_path / "araclip"))
    image = model.clip_model.encode_image(squares(pictures, 160))
    same(AraCLIP.load(tmp_path / "araclip"), text, image, pictures)
    same(AraCLIP.load(f"araclip:{tmp_path / 'araclip'}"), text, image, pictures)


@torch.inference_mode()
def test_an_older_araclip_takes_its_head_from_the_pickle_and_its_image_tower_from_open_clip(
    tmp_path: Path, pictures: list[Any]
) -> None:
    model = write_older_araclip(tmp_path / "older")
    siglip = open_clip.create_model("ViT-B-16-SigLIP-512", load_weights=False).eval()
    torch.save(siglip.state_dict(), tmp_path / "siglip.pt")
    encoder = AraCLIP.load(f"araclip:{tmp_path / 'older'}+open_clip:ViT-B-16-SigLIP-512/{tmp_path / 'siglip.pt'}")
    _, transform = open_clip.create_model_from_pretrained("ViT-B-16-SigLIP-512", str(tmp_path / "siglip.pt"))
    image = siglip.encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(encoder, model(**tokens(tmp_path / "older")), image, pictures)


@torch.inference_mode()
def test_m_clip_beside_its_image_tower(tmp_path: Path, pictures: list[Any], clip_weights: str) -> None:
    model = write_mclip(tmp_path / "mclip")
    encoder = AraCLIP.load(f"m-clip:{tmp_path / 'mclip'}+open_clip:{clip_weights}")
    clip, transform = open_clip.create_model_from_pretrained(*clip_weights.split("/", 1))
    image = clip.eval().encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(encoder, model(**tokens(tmp_path / "mclip")), image, pictures)


@torch.inference_mode()
def test_altclip(tmp_path: Path, pictures: list[Any]) -> None:
    text = {**TEXT, "project_dim": 12, "pad_token_id": 1}
    AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(tmp_path)
    square = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    CLIPImageProcessor(**square).save_pretrained(tmp_path)
    tiny_hf.tiny_tokenizer().save_pretrained(tmp_path)
    model = AltCLIPModel.from_pretrained(tmp_path).eval()
    prepared = AutoImageProcessor.from_pretrained(tmp_path)(images=rgb(pictures), return_tensors="pt")
    inputs = tokens(tmp_path)
    wanted = pooled(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
    image = pooled(model.get_image_features(**prepared))
    for spec in (f"altclip:{tmp_path}", f"transformers:{tmp_path}", tmp_path):
        same(AraCLIP.load(spec), wanted, image, pictures)
    too_long = "cat " * 60  # positions start behind the padding's id: 40 of them are 38 tokens
    assert AraCLIP.load(tmp_path).encode_text([too_long]).shape == (1, 8)


@torch.inference_mode()
def test_open_clip(tmp_path: Path, pictures: list[Any], clip_weights: str) -> None:
    name, weights = clip_weights.split("/", 1)
    model, transform = open_clip.create_model_from_pretrained(name, weights)
    model.eval()
    text = model.encode_text(open_clip.get_tokenizer(name)(TEXTS))
    image = model.encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(AraCLIP.load(f"open_clip:{clip_weights}"), text, image, pictures)
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "open_clip_config.json").write_text(json.dumps(config))
    shutil.copy(weights, tmp_path / "folder" / "open_clip_pytorch_model.bin")
    same(AraCLIP.load(tmp_path / "folder"), text, image, pictures)


@torch.inference_mode()
def test_clip_of_transformers(tmp_path: Path, pictures: list[Any]) -> None:
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    tiny_hf.tiny_tokenizer().save_pretrained(tmp_path)
    model = CLIPModel.from_pretrained(tmp_path).eval()
    inputs = tokens(tmp_path)
    text = pooled(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
    prepared = AutoImageProcessor.from_pretrained(tmp_path)(images=rgb(pictures), return_tensors="pt")
    same(AraCLIP.load(tmp_path), text, pooled(model.get_image_features(**prepared)), pictures)


@torch.inference_mode()
def test_siglip_gets_lower_case_padded_to_the_full_length(tmp_path: Path, pictures: list[Any]) -> None:
    config = SiglipConfig(
        text_config={**TEXT, "projection_size": 16, "max_position_embeddings": 9}, vision_config=VISION
    )
    SiglipModel(config).save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    tiny_hf.tiny_tokenizer().save_pretrained(tmp_path)
    model = SiglipModel.from_pretrained(tmp_path).eval()
    ids = tokens(tmp_path, ["a cat", "قطة"], padding="max_length", max_length=9, truncation=True)["input_ids"]
    prepared = AutoImageProcessor.from_pretrained(tmp_path)(images=rgb(pictures), return_tensors="pt")
    image = pooled(model.get_image_features(**prepared))
    same(AraCLIP.load(tmp_path), pooled(model.get_text_features(ids)), image, pictures, ["A CAT", "قطة"])


@torch.inference_mode()
def test_a_dual_encoder_of_vit_and_bert(tmp_path: Path, pictures: list[Any]) -> None:
    towers = ViTConfig(**VISION), BertConfig(**BERT)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(*towers, projection_dim=8)
    VisionTextDualEncoderModel(config).save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    tiny_hf.tiny_tokenizer().save_pretrained(tmp_path)
    model = VisionTextDualEncoderModel.from_pretrained(tmp_path).eval()
    inputs = tokens(tmp_path)
    text = pooled(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
    prepared = AutoImageProcessor.from_pretrained(tmp_path)(images=rgb(pictures), return_tensors="pt")
    same(AraCLIP.load(tmp_path), text, pooled(model.get_image_features(**prepared)), pictures)
