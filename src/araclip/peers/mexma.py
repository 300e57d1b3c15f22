"""Loads MEXMA-SigLIP 2 (visheratin/mexma-siglip2) into classes of this package, without running the repository's code.

The text tower is MEXMA, an XLM-RoBERTa-large: its first token passes a linear layer into the space of the pictures.
The image tower is that of SigLIP 2 so400m/16 at 512 pixels, with attention pooling. The repository's config.json
states no sizes, so they are read from the shapes of the tensors; both towers have 16 heads. The towers are found by
the tensor names that transformers uses, after any prefix. The linear layer is the one matrix that is left.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel, XLMRobertaConfig, XLMRobertaModel

from araclip.errors import ModelMismatch
from araclip.peers.request import Request
from araclip.peers.torch_encoder import TorchEncoder, make_image_tower, make_preparer
from araclip.peers.weight_files import check_fit, local_folder, read_state
from araclip.training.failures import failures
from araclip.training.model import foreign
from araclip.training.model.foreign import image_processor_at, tokenizer_at
from araclip.training.teachers.text_encoders import TextEncoder, positions, token_inputs

HEADS = 16  # number of attention heads in both published towers
WORDS, PATCHES = "embeddings.word_embeddings.weight", "embeddings.patch_embedding.weight"
_PROJECTION = "text_projector."  # prefix of the text projection's weights in MexmaSigLIP
_UNUSED_TENSORS = ("logit_", ".position_ids", f"{_PROJECTION}bias")


class MexmaSigLIP(nn.Module):
    """MEXMA-SigLIP 2: token ids and mask (B, tokens) → vectors (B, D); pixels (B, 3, side, side) → vectors (B, D)."""

    def __init__(self, text: XLMRobertaConfig, vision: SiglipVisionConfig, bias: bool) -> None:
        super().__init__()
        self.config = vision
        self.text_model = XLMRobertaModel(text, add_pooling_layer=False)
        self.text_projector = nn.Linear(text.hidden_size, vision.hidden_size, bias=bias)
        self.vision_model = SiglipVisionModel(vision)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode B texts of T token ids, (B, T), as vectors (B, D), not of unit length."""
        # (texts, tokens, width)
        tokens = self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        projected: Tensor = self.text_projector(tokens[:, 0])
        return projected

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Encode B pictures, (B, 3, side, side), as vectors (B, D), not of unit length."""
        pooled: Tensor = self.vision_model(pixel_values=pixel_values).pooler_output
        return pooled

    def set_attn_implementation(self, name: str) -> None:
        self.text_model.set_attn_implementation(name)
        self.vision_model.set_attn_implementation(name)


def load_mexma(request: Request) -> TorchEncoder:
    """Load a folder or hub id in the layout of MEXMA-SigLIP 2."""
    folder = local_folder(request.name, request.location)
    foreign.check_folder(folder)
    model = read_model(folder)
    with failures(request.name, "its tokenizer and preprocessor_config.json must lie beside it"):
        tokenizer = tokenizer_at(folder, model.text_model.config)
        processor = image_processor_at(folder, pillow=True)
    longest = positions(model.text_model.config)
    text = TextEncoder(
        "mexma", model, token_inputs(tokenizer, longest), lambda inputs: model.get_text_features(**inputs), tokenizer,
        longest,
    )  # fmt: skip

    pictures = make_image_tower(
        model, make_preparer(processor), lambda inputs: model.get_image_features(**inputs), request.device, processor
    )
    return TorchEncoder(request, text, pictures)


def read_model(folder: Path) -> MexmaSigLIP:
    """Make the model from a folder's weights, in float32."""
    state = _rename_tensors(read_state(folder), folder)
    with failures(folder, "copy the folder again", ModelMismatch, cannot="be built"):
        # shapes: (vocabulary size, text width) and (picture width, 3, patch side, patch side)
        words, patches = state[f"text_model.{WORDS}"], state[f"vision_model.{PATCHES}"]
        text = XLMRobertaConfig(
            vocab_size=words.shape[0], hidden_size=words.shape[1], num_attention_heads=HEADS,
            num_hidden_layers=_count_layers(state, "text_model.encoder.layer."),
            intermediate_size=state["text_model.encoder.layer.0.intermediate.dense.weight"].shape[0],
            max_position_embeddings=state["text_model.embeddings.position_embeddings.weight"].shape[0],
            type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
        )  # fmt: skip
        side = round(state["vision_model.embeddings.position_embedding.weight"].shape[0] ** 0.5)
        vision = SiglipVisionConfig(
            hidden_size=patches.shape[0], patch_size=patches.shape[-1], image_size=side * patches.shape[-1],
            num_attention_heads=HEADS, num_hidden_layers=_count_layers(state, "vision_model.encoder.layers."),
            intermediate_size=state["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        )  # fmt: skip
        with torch.device("meta"):  # builds the model without memory for its weights
            empty = MexmaSigLIP(text, vision, f"{_PROJECTION}bias" in state).state_dict()
    optional = [name for name in state if name.startswith("text_model.pooler.")]
    check_fit(state, empty, folder, (*_UNUSED_TENSORS, *optional))
    with failures(folder, "copy the folder again", ModelMismatch, cannot="be built"):
        model = MexmaSigLIP(text, vision, f"{_PROJECTION}bias" in state)
        for name, parameter in model.named_parameters():  # converts bfloat16 tensors one by one, to save memory
            parameter.data.copy_(state.pop(name))
    return model.eval()


def _rename_tensors(state: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Rename published tensors to the names of MexmaSigLIP's parameters; raise ModelMismatch if a tower is missing."""
    starts = {}
    for ours, mark in (("text_model.", WORDS), ("vision_model.", PATCHES)):
        found = [name.removesuffix(mark) for name in state if name.endswith(mark)]
        if len(found) != 1:
            raise ModelMismatch(
                f"{folder}: {len(found)} tensors end with {mark}, a model of this kind has one. It is no MEXMA-SigLIP: "
                "name another kind of model."
            )
        starts[found[0]] = ours
    if any(a != b and a.startswith(b) for a in starts for b in starts):
        raise ModelMismatch(f"{folder}: one tower's tensors stand below the other's. Name another kind of model.")
    named = {}
    for name, tensor in state.items():
        start = next((start for start in starts if name.startswith(start)), None)
        if start is not None:
            named[starts[start] + name.removeprefix(start)] = tensor
        elif tensor.ndim == 2:
            named[f"{_PROJECTION}weight"] = tensor
            named |= {f"{_PROJECTION}bias": state[f"{stem}bias"]
                      for stem in [name.removesuffix("weight")] if f"{stem}bias" in state}  # fmt: skip
        elif not (tensor.ndim == 1 and name.endswith("bias")):
            named[name] = tensor
    return named


def _count_layers(state: Mapping[str, Any], start: str) -> int:
    return 1 + max(int(name.removeprefix(start).partition(".")[0]) for name in state if name.startswith(start))
