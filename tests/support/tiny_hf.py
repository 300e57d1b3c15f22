"""Tiny random towers of every kind, a tokenizer of forty words and a picture, for models in Hugging Face style."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import normalize as l2_normalize
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

from araclip import AraCLIPConfig, AraCLIPModel, AraCLIPProcessor

SIZE = 32  # pixels of the square
WORDS = ("قطة", "كلب", "جالسة", "على", "طاولة", "في", "بيت", "صورة", "حمراء", "سيارة", "a", "cat", "dog", "on", "table")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 64

_LAYERS: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_TEXT: dict[str, Any] = {**_LAYERS, "vocab_size": VOCABULARY, "max_position_embeddings": 64, "pad_token_id": 0}
_VISION: dict[str, Any] = {**_LAYERS, "image_size": SIZE, "patch_size": 16}

TEXT_TOWERS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_TEXT},
    "xlm-roberta": {"model_type": "xlm-roberta", **_TEXT},
    "modernbert": {
        "model_type": "modernbert", **_TEXT, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
    },
    "electra": {"model_type": "electra", **_TEXT, "embedding_size": 16},
}  # fmt: skip
IMAGE_TOWERS: dict[str, dict[str, Any]] = {
    "vit": {"model_type": "vit", **_VISION},
    "clip": {"model_type": "clip_vision_model", **_VISION, "projection_dim": 12},
    "siglip": {"model_type": "siglip_vision_model", **_VISION},
    "dinov2": {"model_type": "dinov2", **_VISION, "mlp_ratio": 2},
    "convnext": {"model_type": "convnext", "hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "image_size": SIZE},
    "swin": {
        "model_type": "swin", "image_size": SIZE, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2],
        "window_size": 4,
    },
    "timm resnet": {"model_type": "timm_wrapper", "architecture": "test_resnet"},
    "timm vit": {"model_type": "timm_wrapper", "architecture": "test_vit", "model_args": {"img_size": SIZE}},
    "timm convnext": {"model_type": "timm_wrapper", "architecture": "test_convnext"},
}  # fmt: skip


def tiny_config(text: str = "bert", image: str | None = "vit", **config: Any) -> AraCLIPConfig:
    """8-wide, of towers that stand in TEXT_TOWERS and IMAGE_TOWERS."""
    return AraCLIPConfig(
        text_config=TEXT_TOWERS[text],
        vision_config=None if image is None else IMAGE_TOWERS[image],
        **{"projection_dim": 8, **config},
    )


def tiny_model(text: str = "bert", image: str | None = "vit", **config: Any) -> AraCLIPModel:
    """A model of `tiny_config`, ready for inference."""
    return AraCLIPModel(tiny_config(text, image, **config)).eval()


def model_of_distinct_weights() -> AraCLIPModel:
    """No two weights alike, and none of zeros, which a graph stores once; the same model in every test."""
    torch.manual_seed(0)
    model = tiny_model()
    for weight in model.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    return model


def model_with_a_bank() -> AraCLIPModel:
    """A ModernBERT read at its first token, and a mirrored ResNet behind a query bank; the same model in every test."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"max_tokens": 24, "query_bank": 5, "matryoshka_dims": (4,)}
    model = tiny_model("modernbert", "timm resnet", text_pooling="cls", vision_mirror=True, **settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
        head = model.visual_projection
        head.bank.copy_(l2_normalize(torch.randn_like(head.bank), dim=-1))
        head.centre.fill_(0.1)
    return model


def model_like_mini() -> AraCLIPModel:
    """A model of araclip-mini's class: a query bank, a names part, and branches of which one is gated and routed.

    The routed branch computes for bright pictures alone; the same model in every test.
    """
    torch.manual_seed(0)
    vision = {
        "model_type": "araclip_branches", "architecture": "test_efficientnet", "branches": 4, "shared_blocks": 3,
        "hidden_size": 1024, "gated": [2], "routed": [2], "map_scales": [1.0, 1.0, 0.5, 1.0],
    }  # fmt: skip
    model = AraCLIPModel(AraCLIPConfig(
        TEXT_TOWERS["bert"], vision, projection_dim=32, vision_mirror=True, query_bank=5, names=12, name_classes=7,
        name_exclusive=4, name_features=256, name_features_shared=True, name_hidden=16,
    )).eval()  # fmt: skip
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
        head = model.visual_projection
        head.captions.bank.copy_(l2_normalize(torch.randn_like(head.captions.bank), dim=-1))
        head.directions.copy_(l2_normalize(torch.randn_like(head.directions), dim=-1))
        tower, router = model.vision_model, model.vision_model.branches[2].router
        maps = tower.shared(torch.stack([torch.full((3, SIZE, SIZE), level) for level in (1.0, -1.0)]))
        bright, dark = torch.cat([branch(maps) for branch in tower.branches[:2]], dim=1)
        router.weight.copy_(10 * l2_normalize(bright - dark, dim=0)[None])
        router.bias.copy_(-router.weight @ (bright + dark) / 2)
    return model


def bright_and_dark(rows: int) -> torch.Tensor:
    """(rows, 3, S, S) pixels of pictures that are bright and dark by turns."""
    levels = torch.tensor([1.0, -1.0]).repeat(rows)[:rows, None, None, None]
    return levels + 0.1 * torch.randn(rows, 3, SIZE, SIZE)


def tiny_tokenizer(words: Sequence[str] = WORDS, special: Sequence[str] = SPECIAL) -> PreTrainedTokenizerFast:
    """A BERT-like tokenizer of whole words."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys((*special, *words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=False)),
    )


def tiny_processor(images: bool = True, **settings: Any) -> AraCLIPProcessor:
    """Squashes to SIZE, or takes text only."""
    square = ViTImageProcessor(size={"height": SIZE, "width": SIZE}, do_convert_rgb=True) if images else None
    return AraCLIPProcessor(image_processor=square, tokenizer=tiny_tokenizer(), **settings)


def picture(colour: tuple[int, ...] | int = (200, 40, 40), mode: str = "RGB") -> Image.Image:
    """A picture of one colour with a white corner, wider than high."""
    made = Image.new(mode, (60, 40), colour)
    made.paste(Image.new(mode, (20, 10), "white"), (0, 0))
    return made


def saved(folder: Path, model: AraCLIPModel, processor: AraCLIPProcessor) -> Path:
    """The folder of both, as it would be published."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
