"""Tiny random checkpoints in the exact layouts that others publish, each with the model they were written from."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from open_clip import factory
from safetensors.torch import save_file
from timm.models import register_model
from timm.models.vision_transformer import _create_vision_transformer
from timm.models.vitamin import VitCfg, VitConvCfg
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    M2M100Config,
    M2M100Model,
    NllbTokenizer,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tiny_hf import tiny_tokenizer

TEXTS = ["قطة جالسة على طاولة", "a cat", "كلب", "سيارة حمراء في بيت a dog on a table", ""]
SIDE, WIDTH = 32, 64
BERT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 64,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
SIGLIP = {  # as open_clip's ViT-B-16-SigLIP-512, but small
    "embed_dim": WIDTH,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": SIDE, "timm_model_name": "araclip_tiny_siglip", "timm_model_pretrained": False,
        "timm_pool": "map", "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last",
    },
}  # fmt: skip
CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@register_model
def araclip_tiny_siglip(pretrained: bool = False, **options: Any) -> nn.Module:
    """SigLIP's vision transformer, without class token and pooled by attention, of one block."""
    sizes = {"img_size": SIDE, "patch_size": 16, "embed_dim": WIDTH, "depth": 1, "num_heads": 2, "mlp_ratio": 2}
    return _create_vision_transformer("test_vit", **{**sizes, "class_token": False, "global_pool": "map", **options})


@register_model
def araclip_tiny_eva(pretrained: bool = False, **options: Any) -> nn.Module:
    """EVA-02's image tower of CLIP, of two blocks."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "ref_feat_shape": (2, 2)}
    return timm.create_model("eva02_base_patch16_clip_224", **{**options, **sizes})


@register_model
def araclip_tiny_pe(pretrained: bool = False, **options: Any) -> nn.Module:
    """PE-Core's image tower, of two blocks."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "ref_feat_shape": (2, 2)}
    return timm.create_model("vit_pe_core_base_patch16_224", **{**options, **sizes, "attn_pool_num_heads": 2})


@register_model
def araclip_tiny_vitamin(pretrained: bool = False, **options: Any) -> nn.Module:
    """ViTamin's image tower: convolutions at three sizes, then two blocks."""
    convolutions = VitCfg(
        embed_dim=(8, 16, 32), depths=(1, 1, 1), stem_width=8, head_type="1d",
        conv_cfg=VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
    )  # fmt: skip
    sizes = {"img_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2, "embed_cfg": convolutions}
    return timm.create_model("vitamin_small_224", **{**options, **sizes})


@register_model
def araclip_tiny_mci(pretrained: bool = False, **options: Any) -> nn.Module:
    """MobileCLIP-B's image tower, whose stem is made of convolutions, of one block."""
    return timm.create_model("vit_base_mci_224", **{**options, "img_size": 16, "depth": 1})


@contextmanager
def small_open_clip(folder: Path) -> Iterator[None]:
    """For a `with` block, open_clip knows two more models, one of them under the name of the tower AraCLIP uses."""
    before = dict(factory._MODEL_CONFIGS)
    for name, config in (("ViT-B-16-SigLIP-512", SIGLIP), ("araclip-tiny-clip", CLIP)):
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    try:
        yield
    finally:
        factory._MODEL_CONFIG_PATHS.remove(folder)
        factory._MODEL_CONFIGS = before


class PublishedText(nn.Module):
    """The published text model: `transformer`, mean over the mask, `clip_head`."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = BertModel(BertConfig(**BERT))
        self.clip_head = nn.Linear(BERT["hidden_size"], WIDTH)

    def forward(self, **tokens: Tensor) -> Tensor:
        return self.clip_head(masked_mean(self.transformer(**tokens)[0], tokens["attention_mask"]))


class PublishedAraCLIP(nn.Module):
    """The published model: `text_model` and open_clip's `clip_model`."""

    def __init__(self) -> None:
        super().__init__()
        self.text_model = PublishedText()
        self.clip_model = open_clip.create_model("ViT-B-16-SigLIP-512", load_weights=False)


class PublishedMCLIP(nn.Module):
    """M-CLIP's: `transformer` and `LinearTransformation`."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__()
        self.transformer = XLMRobertaModel(config)
        self.LinearTransformation = nn.Linear(config.hidden_size, 8)

    def forward(self, **tokens: Tensor) -> Tensor:
        return self.LinearTransformation(masked_mean(self.transformer(**tokens)[0], tokens["attention_mask"]))


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """As M-CLIP's code and AraCLIP's write it."""
    return (tokens * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1)[:, None]


def write_araclip(folder: Path) -> PublishedAraCLIP:
    """`Arabic-Clip/araclip`: config.json of PyTorchModelHubMixin, safetensors, and the tokenizer beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model = PublishedAraCLIP().eval()
    config = {"transformer_cfg": {**BERT, "architectures": ["BertModel"]}, "in_features": 16, "out_features": WIDTH}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    tiny_tokenizer().save_pretrained(folder)
    return model


def write_older_araclip(folder: Path) -> PublishedText:
    """The older repositories: a BertModel's config.json and .bin, its tokenizer, and Keras' dense layer as a pickle."""
    folder.mkdir(parents=True, exist_ok=True)
    model = PublishedText().eval()
    model.transformer.config.save_pretrained(folder)
    state = {**model.transformer.state_dict(), "embeddings.position_ids": torch.arange(40)[None]}
    torch.save(state, folder / "pytorch_model.bin")
    weight, bias = (part.detach().numpy() for part in (model.clip_head.weight, model.clip_head.bias))
    (folder / "heads_of_the_model_155_.pickle").write_bytes(pickle.dumps([np.asfortranarray(weight.T), bias]))
    tiny_tokenizer().save_pretrained(folder)
    return model


def write_nllb_clip(folder: Path) -> None:
    """NLLB-CLIP as a folder of open_clip: M2M100's encoder, read at its first token, the language, and a linear."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"catdog قطةكلب"]
    NllbTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[]).save_pretrained(folder)
    sizes = {
        f"{part}_{size}": 2 for part in ("encoder", "decoder") for size in ("layers", "attention_heads", "ffn_dim")
    }
    M2M100Model(M2M100Config(vocab_size=300, d_model=16, max_position_embeddings=128, **sizes)).save_pretrained(folder)
    text = {
        "hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_proj_type": "linear",
        "hf_pooler_type": "cls_pooler",
    }  # fmt: skip
    config = {**CLIP, "custom_text": True, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")


def write_mclip(folder: Path) -> PublishedMCLIP:
    """M-CLIP's repositories: the base model is named in config.json, here as a folder beside, and holds no weights."""
    base = folder.with_name(f"{folder.name}-base")
    config = XLMRobertaConfig(**{**BERT, "pad_token_id": 1})
    config.save_pretrained(base)
    folder.mkdir(parents=True, exist_ok=True)
    model = PublishedMCLIP(config).eval()
    fields = {"modelBase": str(base), "transformerDimensions": 16, "numDims": 8, "model_type": "M-CLIP"}
    (folder / "config.json").write_text(json.dumps(fields))
    state = {**model.state_dict(), "transformer.embeddings.position_ids": torch.arange(40)[None]}
    torch.save(state, folder / "pytorch_model.bin")
    tiny_tokenizer().save_pretrained(folder)
    return model
