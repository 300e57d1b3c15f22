"""Loads M-CLIP: a multilingual text encoder, mean pooling over tokens, and a linear layer into the space of a CLIP.

The repositories hold the text tower alone (Carlsson et al. 2022). Pictures are encoded by the image tower of the CLIP
for which the text tower was trained.
"""

from typing import Any

import torch
from torch import Tensor, nn

from araclip.errors import ModelMismatch, ModelNotFound
from araclip.peers.libraries import open_clip_pictures
from araclip.peers.request import KINDS, Request
from araclip.peers.torch_encoder import TorchEncoder
from araclip.peers.weight_files import check_fit, local_folder, read_json, read_state
from araclip.training.failures import failures
from araclip.training.model import foreign, towers
from araclip.training.model.foreign import config_at, tokenizer_at
from araclip.training.teachers.text_encoders import TextEncoder, open_clip_model, positions, token_inputs

FIELDS = ("modelBase", "transformerDimensions", "numDims")


class MultilingualCLIP(nn.Module):
    """M-CLIP's text tower: ids and mask (texts, tokens) → vectors (texts, D). Layers have their published names."""

    def __init__(self, transformer: Any, width: int, projection_dim: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.LinearTransformation = nn.Linear(width, projection_dim)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        # (texts, tokens, width)
        tokens = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        projected: Tensor = self.LinearTransformation(towers.pooled_text(tokens, attention_mask, "mean"))
        return projected


def load_mclip(request: Request) -> TorchEncoder:
    """Load a text tower in M-CLIP's published layout, and the image tower that `request.image` names for open_clip."""
    if not request.image:
        raise ModelNotFound(
            f"{request.name} is a text tower, and its image tower is not known. Name it: {KINDS['m-clip'].way}, "
            "as in m-clip:FOLDER+open_clip:ViT-B-32-quickgelu/openai."
        )
    text = load_text_encoder(request.name, request.location)
    image = open_clip_model(f"{request.name}, image tower {request.image}", request.image)
    return TorchEncoder(request, text, open_clip_pictures(image, request.device))


def load_text_encoder(name: str, location: str) -> TextEncoder:
    """Load M-CLIP's text tower, with its linear head and its tokenizer, from a folder or hub id (`location`)."""
    folder = local_folder(name, location)
    foreign.check_folder(folder)
    config = read_json(folder / "config.json")
    if absent := [field for field in FIELDS if field not in config]:
        raise ModelMismatch(f"{folder / 'config.json'} has no {', '.join(absent)}, which M-CLIP's has.")
    base = str(config["modelBase"])
    with failures(name, f"its tokenizer must lie beside it, and {base} be at hand"):
        tower = config_at(base)
        tokenizer = tokenizer_at(folder, tower)
        longest = positions(tower)
    state = read_state(folder)
    with failures(folder / "config.json", "copy the model's folder again", ModelMismatch):
        with torch.device("meta"):  # builds the model without memory for its weights
            empty = MultilingualCLIP(towers.text_tower(tower), config["transformerDimensions"], config["numDims"])
        check_fit(state, empty.state_dict(), folder, ("transformer.pooler.", ".position_ids"))
        model = MultilingualCLIP(towers.text_tower(tower), config["transformerDimensions"], config["numDims"])
        model.load_state_dict({key: state[key].float() for key in empty.state_dict()}, assign=True)
    tokens = token_inputs(tokenizer, longest)
    return TextEncoder("m-clip", model, tokens, lambda inputs: model(**inputs), tokenizer, longest)
