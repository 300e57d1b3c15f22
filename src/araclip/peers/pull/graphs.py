"""The two towers of a published model as modules that ONNX can express: raw input → vector of unit length."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import ModelMismatch


class TextGraph(nn.Module):
    """(B, T) ids, and the mask where the tower takes one → (B, D) of unit length.

    Args:
        model: holds the tower's weights. encode: ids (and mask) → (B, D), of the model.
        language: the first token of a text, where it hangs on the text's script.
    """

    rows: Tensor | None

    def __init__(self, model: nn.Module, encode: Callable[..., Tensor], language: "Language | None" = None) -> None:
        super().__init__()
        self.model, self.encode, self.language = model, encode, language
        self.register_buffer("rows", None)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        ids = input_ids if self.rows is None else self.rows[input_ids]  # (B, T), as the published model numbers them
        if self.language is not None:
            ids = self.language(ids)
        inputs = (ids,) if attention_mask is None else (ids, attention_mask)
        return l2_normalize(self.encode(*inputs).to(torch.float32), dim=-1)

    def cut(self, rows: NDArray[np.int64], ids: Tensor) -> None:
        """Keep these rows of the table of tokens only; ids are those of the cut tokenizer from now on.

        Args:
            rows: (n,) the old id of each new one. ids: (1, T) old ids of a text, to find the table by.

        Raises:
            ModelMismatch: the tower has no such table, or a smaller one.
        """
        parent, name, table = self._table(ids)
        if int(rows.max()) >= table.num_embeddings:
            raise ModelMismatch(
                f"the tokenizer has an id {rows.max()}, but the table of tokens {table.num_embeddings} rows. "
                "Tokenizer and weights belong to different models: copy the model's folder again."
            )
        setattr(parent, name, CutTable(table, torch.from_numpy(rows)))
        self.rows = torch.from_numpy(rows)

    def _table(self, ids: Tensor) -> tuple[nn.Module, str, nn.Embedding]:
        """The embedding that is given the ids themselves, with the module that holds it."""
        given: list[nn.Module] = []
        found = [module for module in self.model.modules() if isinstance(module, nn.Embedding)]

        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].shape == ids.shape and inputs[0].equal(ids):
                given.append(module)

        hooks = [module.register_forward_pre_hook(note) for module in found]
        try:
            with torch.inference_mode():
                self.encode(*(ids, torch.ones_like(ids))[: 1 + self.takes_mask])
        finally:
            for hook in hooks:
                hook.remove()
        tables = list(dict.fromkeys(given))
        if len(tables) != 1:
            raise ModelMismatch(f"the text tower has {len(tables)} tables of tokens, expected one. Keep all languages.")
        (table,) = tables
        for parent in self.model.modules():
            for name, child in parent.named_children():
                if child is table:
                    return parent, name, table  # type: ignore[return-value]
        raise AssertionError("a table without a parent")

    takes_mask: bool = False


class CutTable(nn.Module):
    """A table of tokens of which some rows are left; takes the old ids.

    Args:
        rows: (n,) the old id of each row that stays. `table` keeps only those.
    """

    positions: Tensor

    def __init__(self, table: nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        positions = torch.zeros(table.num_embeddings, dtype=torch.int32)
        positions[rows] = torch.arange(len(rows), dtype=torch.int32)
        self.register_buffer("positions", positions)
        table.weight = nn.Parameter(table.weight.detach()[rows], requires_grad=False)
        table.num_embeddings, table.padding_idx = len(rows), None
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.table(self.positions[ids])
        return found

    @property
    def weight(self) -> Tensor:
        """Of the rows that are left."""
        return self.table.weight


class Language(nn.Module):
    """The first token of a text by its script: `arabic` where one of its tokens has Arabic letters, `other` elsewhere.

    The tokenizer writes `arabic` before every text. NLLB's encoder is read at this token.

    Args:
        pieces: (V,) bool, the ids of pieces with Arabic letters.
    """

    pieces: Tensor

    def __init__(self, pieces: NDArray[np.bool_], arabic: int, other: int) -> None:
        super().__init__()
        self.register_buffer("pieces", torch.from_numpy(pieces))
        self.arabic, self.other = arabic, other

    def forward(self, ids: Tensor) -> Tensor:
        found = self.pieces[ids[:, 1:]].to(torch.int32).amax(dim=1, keepdim=True)  # (B, 1), 1 where a text is Arabic
        first = torch.where(found > 0, self.arabic, self.other).to(ids.dtype)
        return torch.cat([first, ids[:, 1:]], dim=1)


class ImageGraph(nn.Module):
    """uint8 (B, S, S, 3) → (B, D) of unit length: scaling, then the image tower.

    Args:
        model: holds the tower's weights. encode: scaled pixels (B, 3, S, S) → (B, D), of the model.
        mean, std: for each channel, of values from 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, encode: Callable[[Tensor], Tensor], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.model, self.encode = model, encode
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - self.mean) / self.std  # (B, 3, S, S)
        return l2_normalize(self.encode(x).to(torch.float32), dim=-1)

    def forget_texts(self) -> None:
        """Let go of the text tower of a model that holds both; its text graph is written."""
        for module in [*self.modules()]:
            for name in ("text_model", "text_projection"):
                if name in module._modules:
                    module._modules[name] = nn.Identity()
