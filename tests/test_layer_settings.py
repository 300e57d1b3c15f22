"""Labels of published models follow what settings say of layers without weights, and stay where nothing is unusual."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

import tiny_published
from araclip import AraCLIP, open_gallery
from araclip.errors import WidthMismatch
from araclip.peers.layer_settings import unusual_settings

pytestmark = pytest.mark.usefixtures("small_models", "seeded")
Settings = dict[str, Any]


def changed(path: Path, change: Callable[[Settings], object]) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
@pytest.mark.parametrize(
    "change", [{"hidden_act": "gelu"}, {"num_attention_heads": 4}, {"layer_norm_eps": 0.001}], ids=str
)
def test_the_label_of_a_model_of_transformers_follows_its_layers(tmp_path: Path, part: str, change: Settings) -> None:
    tiny_published.write_clip(tmp_path)
    before = AraCLIP.load(tmp_path).label
    changed(tmp_path / "config.json", lambda config: config[part].update(attention_dropout=0.1))  # of training
    assert AraCLIP.load(tmp_path).label == before
    changed(tmp_path / "config.json", lambda config: config[part].update(change))
    assert AraCLIP.load(tmp_path).label != before


@pytest.mark.parametrize(
    ("part", "change"),
    [("model_cfg", {"quick_gelu": True}), ("text_cfg", {"heads": 4}), ("text_cfg", {"pool_type": "last"}),
     ("text_cfg", {"no_causal_mask": True}), ("vision_cfg", {"pool_type": "avg"}), ("vision_cfg", {"head_width": 16})],
    ids=str,
)  # fmt: skip
def test_a_gallery_is_not_searched_with_the_same_weights_in_other_layers_of_open_clip(
    tmp_path: Path, part: str, change: Settings
) -> None:
    tiny_published.write_clip_of_open_clip(tmp_path / "model")
    with open_gallery(tmp_path / "gallery", model=AraCLIP.load(tmp_path / "model"), create=True):
        pass

    def change_it(content: Settings) -> None:
        model = content["model_cfg"]
        (model if part == "model_cfg" else model[part]).update(change)

    changed(tmp_path / "model" / "open_clip_config.json", change_it)
    with pytest.raises(WidthMismatch, match=r"holds .*model@.*reembed"):
        open_gallery(tmp_path / "gallery", model=AraCLIP.load(tmp_path / "model"))


def test_the_label_of_a_model_of_sentence_transformers_follows_pooling_and_activation(tmp_path: Path) -> None:
    spec = tiny_published.write_multilingual_clip(tmp_path)
    labels = {AraCLIP.load(spec).label}
    tanh = {"activation_function": "torch.nn.modules.activation.Tanh"}
    changed(tmp_path / "text" / "2_Dense" / "config.json", lambda config: config.update(tanh))
    labels.add(AraCLIP.load(spec).label)
    first = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    changed(tmp_path / "text" / "1_Pooling" / "config.json", lambda config: config.update(first))
    labels.add(AraCLIP.load(spec).label)
    assert len(labels) == 3


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP2-256", "ViT-SO400M-16-SigLIP-i18n-256", "ViT-H-14", "ViT-B-32"])
def test_models_as_they_are_published_keep_their_labels(name: str) -> None:
    with torch.device("meta"):
        model = open_clip.create_model(name, load_weights=False, device="meta")
    assert unusual_settings(model) == []
