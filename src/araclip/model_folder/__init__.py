"""The model folder: its files, and the checks that they belong together.

    config.json      the fields of ModelConfig
    tokenizer.json   Hugging Face tokenizers
    text.onnx        input_ids and, where config.json declares it, attention_mask: (B, T) int64 → embedding (B, D)
    image.onnx       pixels (B, S, S, 3) uint8 RGB → embedding (B, D) float32, unit length
    text.onnx.data, image.onnx.data     weights of graphs above 2 GB, where there are any
    README.md        the model card

Pooling, projection, pixel scaling and L2 normalisation are inside the graphs, so no caller can get them wrong.
"""

from araclip.model_folder.config import (
    DATA_FILES,
    FORMAT,
    HASHED,
    INTERPOLATIONS,
    NO_NORMALIZER,
    PADDINGS,
    RESIZES,
    WEIGHTS,
    ImageConfig,
    ModelConfig,
    TextConfig,
)
from araclip.model_folder.finding import DEFAULT_MODEL, existing_folder, find, is_ours
from araclip.model_folder.reading import PARTS, check_hash, read_config, sha256
from araclip.model_folder.writing import IMAGE_PROCESSOR, hashes, write_config, write_image_processor
from araclip.text.normalization import NORMALIZER_VERSION

__all__ = [
    "DATA_FILES", "DEFAULT_MODEL", "FORMAT", "HASHED", "IMAGE_PROCESSOR", "INTERPOLATIONS", "NORMALIZER_VERSION",
    "NO_NORMALIZER", "PADDINGS", "PARTS", "RESIZES", "WEIGHTS", "ImageConfig", "ModelConfig", "TextConfig",
    "check_hash", "existing_folder", "find", "hashes", "is_ours", "read_config", "sha256", "write_config",
    "write_image_processor",
]  # fmt: skip
