"""Makes the text vectors of a step: with a text tower that learns, or from a locked text tower's cached outputs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.core import atomic
from araclip.errors import DataError
from araclip.training.failures import failures
from araclip.training.model import towers
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.towers import freeze
from araclip.training.teachers.text_encoders import fingerprint

EVAL_BATCH = 64  # texts that pass the tower at once when no gradients are needed
SHORT = 128  # limit: tokens for plain attention; longer texts take too much memory without fused attention
Tokens = dict[str, Tensor]


def tokenized(processor: AraCLIPProcessor, texts: Sequence[str], chunk: int) -> tuple[list[Tokens], Tensor]:
    """Tokenize texts in chunks of similar length, for less padding; return the chunks and the inverse order (n,).

    Each chunk has ids and mask, (b, T) each. If `vectors` holds the vectors of all chunks one after the other,
    `vectors[inverse]` is in the order of `texts`.
    """
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    chunks = []
    for start in range(0, len(order), chunk):
        tokens = processor(text=[texts[i] for i in order[start : start + chunk]], return_tensors="pt")
        chunks.append({name: tokens[name] for name in ("input_ids", "attention_mask")})
    inverse = torch.empty(len(order), dtype=torch.long)
    inverse[torch.tensor(order)] = torch.arange(len(order))
    return chunks, inverse


def text_features(
    model: AraCLIPModel, processor: AraCLIPProcessor, texts: Sequence[str], *, bfloat16: bool = False
) -> Tensor:
    """Return the text tower's pooled output (n, width) for n texts, before the projection, without gradients.

    Leaves the model in eval mode. `bfloat16`: the tower computes in bfloat16.
    """
    device = model.logit_scale.device
    _attend_plainly(model, processor)
    chunks, inverse = tokenized(processor, texts, EVAL_BATCH)
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        parts = []
        for chunk in chunks:
            moved = {name: tensor.to(device) for name, tensor in chunk.items()}
            tokens = model.text_model(**moved).last_hidden_state  # (b, T, H)
            parts.append(towers.pooled_text(tokens, moved["attention_mask"], model.config.text_pooling).cpu())
        return torch.cat(parts)[inverse]


class LearningTexts:
    """A text tower that learns. Its lowest `frozen_layers` layers are frozen, and with them the embeddings.

    `dropout` replaces the tower's own dropout; None keeps it.
    """

    def __init__(
        self, model: AraCLIPModel, processor: AraCLIPProcessor, frozen_layers: int, dropout: float | None = None
    ) -> None:
        self.model, self.processor = model, processor
        if dropout is not None:
            for module in model.text_model.modules():
                # This sets attention's dropout rate, too: some attention layers read it from a dropout layer they hold.
                if isinstance(module, nn.Dropout):
                    module.p = dropout
        freeze(model.text_model, frozen_layers)
        _attend_plainly(model, processor)
        self.modules: list[nn.Module] = [model.text_model]

    def inputs(self, texts: Sequence[str], chunk: int) -> tuple[list[Tokens], Tensor]:
        """Return chunks of tokens and the inverse order; see `tokenized`."""
        return tokenized(self.processor, texts, chunk)

    def features(self, tokens: Tokens) -> Tensor:
        """Encode one chunk: (b, D) as the projection gives them, not of unit length."""
        device = self.model.logit_scale.device
        found: Tensor = self.model.get_text_features(**{n: t.to(device) for n, t in tokens.items()}).pooler_output
        return found

    def encode(self, tokens: Tokens) -> Tensor:
        """Encode one chunk: (b, D), rows of unit length, in float32 even under autocast."""
        return l2_normalize(self.features(tokens).float(), dim=-1)

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (n, D) of any texts, with the current weights."""
        return _project(self.model, text_features(self.model, self.processor, texts))


def _attend_plainly(model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """Use plain attention for short texts on a CPU, where fused attention makes a step a third slower.

    The setting is not saved with the model.
    """
    if processor.max_tokens <= SHORT and model.logit_scale.device.type == "cpu":
        model.text_model.set_attn_implementation("eager")


def _project(model: AraCLIPModel, features: Tensor) -> Tensor:
    vectors: Tensor = model.text_projection(features.to(model.logit_scale.device))
    return l2_normalize(vectors.float(), dim=-1)


class LockedTexts:
    """A text tower that never learns, below a projection that learns. Each text passes the tower once.

    `texts` are all texts that a batch may draw. The tower's outputs are stored in `cache`, for this and later runs.
    """

    def __init__(
        self, model: AraCLIPModel, processor: AraCLIPProcessor, texts: Sequence[str], cache: Path,
        *, bfloat16: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.processor, self.cache, self.bfloat16 = model, processor, cache, bfloat16
        model.text_model.requires_grad_(False)
        self.modules: list[nn.Module] = []
        self.rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        self.features = self._features(list(self.rows))  # (N, H)
        self._others: dict[tuple[str, ...], NDArray[np.float16]] = {}

    def inputs(self, texts: Sequence[str], chunk: int) -> tuple[list[Tensor], Tensor]:
        """Return the locked tower's stored outputs (n, width) of n texts as one chunk, and their order, 0 … n − 1."""
        found = self.features[[self.rows[text] for text in texts]].astype(np.float32)
        return [torch.from_numpy(found)], torch.arange(len(texts))

    def encode(self, features: Tensor) -> Tensor:
        """Project the tower's outputs (n, width) to vectors (n, D) of unit length, in float32 even under autocast."""
        return _project(self.model, features)

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (n, D) of any texts; their tower outputs are computed at the first call."""
        key = tuple(texts)
        if key not in self._others:
            self._others[key] = self._features(texts)
        return self.encode(torch.from_numpy(self._others[key].astype(np.float32)))

    def _features(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Return the tower's outputs (n, width); compute only outputs that no stage with this tower has stored yet."""
        # The file is named by a hash of all that decides the outputs: settings, tower, and what the tokenizer does.
        settings = repr((self.model.config.text_pooling, self.processor.max_tokens, self.bfloat16))

        def tokens(probes: list[str]) -> Tokens:
            encoded: Tokens = self.processor(text=probes, return_tensors="pt")
            return encoded

        path = self.cache / f"texts-{fingerprint(settings, self.model.text_model.state_dict(), tokens)[:16]}.npy"
        # Each record has `text`, the first eight bytes of the text's SHA-256, and `features` (width,).
        stored: NDArray[np.void] | None = None
        if path.exists():
            with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
                stored = np.load(path)
        rows = {} if stored is None else {key: row for row, key in enumerate(stored["text"].tolist())}
        keys = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        if missing:
            found = text_features(self.model, self.processor, list(missing.values()), bfloat16=self.bfloat16)
            added = np.empty(len(missing), [("text", "<u8"), ("features", "<f2", found.shape[1:])])
            added["text"], added["features"] = list(missing), found.half().numpy()
            rows |= {key: len(rows) + row for row, key in enumerate(missing)}
            stored = added if stored is None else np.concatenate([stored, added])
            self.cache.mkdir(parents=True, exist_ok=True)
            atomic.write_array(path, stored)
        assert stored is not None  # by now, every text has a stored row
        features: NDArray[np.float16] = stored["features"][[rows[key] for key in keys]]
        return features
