"""Makes a model of this project a module of sentence-transformers 6, for texts and pictures, on ONNX Runtime.

>>> from sentence_transformers import SentenceTransformer
>>> from araclip.layouts.sentence_transformers_module import AraCLIPModule
>>> model = SentenceTransformer(modules=[AraCLIPModule("araclip-mini")])
>>> model.encode(["cat.jpg"]) @ model.encode("قطة على طاولة")           # (1,) cosine; pictures are paths or PIL images

A folder that `araclip export --layout sentence-transformers` wrote names this class.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sentence_transformers.base.modality import infer_modality
from sentence_transformers.base.modules.input_module import InputModule

from araclip.errors import InputError
from araclip.layouts.layout import copy_model_folder
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP, ModelLike, as_encoder
from araclip.pictures.formats import SUFFIXES

TEXTS, PICTURES = "texts", "pictures"


class AraCLIPModule(InputModule):  # type: ignore[misc,unused-ignore]
    """Encodes texts and pictures as vectors of unit length in one space; it cannot be trained.

    Args:
        model: a name, a path or an encoder, as `AraCLIP.load` takes.
    """

    def __init__(self, model: ModelLike = model_folder.DEFAULT_MODEL) -> None:
        super().__init__()
        self.encoder = as_encoder(model)

    @property
    def modalities(self) -> list[Any]:
        return ["text", "image"]

    @property
    def max_seq_length(self) -> int | None:
        """The number of tokens at which texts are cut; None if it is not known."""
        return self.encoder.config.text.max_tokens if isinstance(self.encoder, AraCLIP) else None

    def get_embedding_dimension(self) -> int:
        return self.encoder.width

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Sort inputs into pictures (PIL images, arrays, picture paths, {"image": …}) and texts (all other strings).

        Return {TEXTS: …, PICTURES: …}, each a mapping from an input's row number to the input. `prompt` is put before
        each text. An input of another kind raises InputError.
        """
        texts: dict[int, str] = {}
        pictures: dict[int, Any] = {}
        for row, given in enumerate(inputs):
            kind = infer_modality(given)
            # sentence-transformers knows fewer suffixes: it would let scan.tif or photo.avif be encoded as a text
            if isinstance(given, str) and Path(given).suffix.lower() in SUFFIXES and Path(given).is_file():
                kind = "image"
            value = given[kind] if isinstance(given, dict) and isinstance(kind, str) else given
            if kind == "text" and isinstance(value, str):
                texts[row] = f"{prompt or ''}{value}"
            elif kind == "image":
                pictures[row] = Image.fromarray(value) if isinstance(value, np.ndarray) else value
            else:
                raise InputError(f"input {row} is a {type(given).__name__} ({kind}). Pass texts and pictures.")
        return {TEXTS: texts, PICTURES: pictures}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        rows: dict[int, Any] = {}
        for kind, encode in ((TEXTS, self.encoder.encode_text), (PICTURES, self.encoder.encode_image)):
            if given := features[kind]:
                rows.update(zip(given, encode(given.values()), strict=True))
        vectors = torch.from_numpy(np.stack([rows[row] for row in range(len(rows))]))  # one row for each input
        return {**features, "sentence_embedding": vectors}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(self.encoder, AraCLIP):
            raise InputError(f"{self.encoder.label} is no model folder and cannot be saved. Run `araclip pull` on it.")
        copy_model_folder(self.encoder, Path(output_path))

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any) -> "AraCLIPModule":
        """Load the module from a saved model: a folder or a hub id."""
        names = ("token", "cache_folder", "revision", "local_files_only")
        found = cls.load_dir_path(model_name_or_path, subfolder, **{name: kwargs.get(name) for name in names})
        return cls(str(found))
