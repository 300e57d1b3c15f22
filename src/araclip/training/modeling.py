"""The two towers: Arabic (or English) text and pictures, each with a linear projection into the shared space."""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize as unit
from transformers import BertModel

MAX_TOKENS = 32  # 99.9 % of the captions have fewer; longer text is cut


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Padded ids and mask, (B, T) each. Text must have passed `arabic.normalize`."""
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    encodings = tokenizer.encode_batch(list(texts))
    return torch.tensor([e.ids for e in encodings]), torch.tensor([e.attention_mask for e in encodings])


class TextTower(nn.Module):
    """A transformer encoder, masked mean pooling, a linear projection."""

    def __init__(self, encoder: BertModel, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(encoder.config.hidden_size, width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, H)
        weight = mask.unsqueeze(-1).to(tokens.dtype)
        pooled = (tokens * weight).sum(dim=1) / weight.sum(dim=1)  # (B, H)
        return unit(self.projection(pooled), dim=-1)  # (B, D)

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], chunk: int = 32) -> Tensor:
        """(B, D) in the order of `texts`; sorted by length inside, so that short texts are not padded to long ones."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [
            self(*tokenize(tokenizer, [texts[i] for i in order[start : start + chunk]]))
            for start in range(0, len(order), chunk)
        ]
        place = torch.empty(len(order), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[place]


class ImageTower(nn.Module):
    """A timm EfficientNet, its first stages (the stem) frozen, a linear projection."""

    cnn: Any  # convolutions and stages by timm's names
    STEM_STAGES = 3  # the 1/2 to 1/8 resolution stages: 70 % of the time, generic edges and textures

    def __init__(self, cnn: nn.Module, width: int) -> None:
        super().__init__()
        self.cnn = cnn
        self.projection = nn.Linear(self.cnn.num_features, width)

    def stem(self, pixels: Tensor) -> Tensor:
        """uint8 (B, S, S, 3) → (B, 48, S/8, S/8)."""
        x: Tensor = pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        x = self.cnn.bn1(self.cnn.conv_stem(x))
        for stage in self.cnn.blocks[: self.STEM_STAGES]:
            x = stage(x)
        return x

    def after_stem(self, x: Tensor) -> Tensor:
        """(B, 48, h, w) → (B, D)."""
        for stage in self.cnn.blocks[self.STEM_STAGES :]:
            x = stage(x)
        pooled = self.cnn.bn2(self.cnn.conv_head(x)).mean(dim=(2, 3))  # (B, 1280)
        return unit(self.projection(pooled), dim=-1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.after_stem(self.stem(pixels))

    def train(self, mode: bool = True) -> "ImageTower":
        super().train(mode)
        for layer in self.cnn.modules():  # BatchNorm keeps its ImageNet statistics: batches here are small
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self
