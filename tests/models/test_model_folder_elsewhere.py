"""Model folders in the hands of transformers' own classes, and foreign ones in those of AraCLIPModel."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertModel, CLIPModel, CLIPProcessor, SiglipModel

import tiny
import tiny_hf
from araclip import AraCLIP, AraCLIPModel, AraCLIPProcessor
from araclip.errors import ModelMismatch
from araclip.models import folder as model_folder
from araclip.models.folder import read_config, write_config
from araclip.training.export.export import export

pytestmark = pytest.mark.usefixtures("traced_quickly")

TEXTS = ["قِطّةٌ ســوداء على طاولة", "a CAT"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `araclip export` writes them today: format 2, text normalised by the tokenizer itself."""
    folder = tmp_path_factory.mktemp("exported")
    saved = tiny_hf.saved(folder / "saved", tiny_hf.model_of_distinct_weights(), tiny_hf.tiny_processor())
    export(saved, folder / "model", weights="float32")
    return folder / "model"


@pytest.mark.parametrize("kind", [CLIPModel, SiglipModel, BertModel, AutoModel])
def test_transformers_classes_refuse_a_model_folder_by_names(exported: Path, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"AraCLIP\.load .* AraCLIPModel\.from_pretrained and AraCLIPProcessor"):
        kind.from_pretrained(exported)


def test_clips_processor_reads_a_model_folder_as_its_own_does(exported: Path) -> None:
    theirs, ours = CLIPProcessor.from_pretrained(exported), AraCLIPProcessor.from_pretrained(exported)
    for text in TEXTS:
        assert theirs(text=text)["input_ids"] == ours(text=text)["input_ids"][0]
        assert AutoTokenizer.from_pretrained(exported)(text)["input_ids"] == ours(text=text)["input_ids"][0]
    picture = tiny_hf.picture()
    pixels = [kind(images=picture, return_tensors="pt")["pixel_values"].numpy() for kind in (theirs, ours)]
    np.testing.assert_allclose(*pixels, atol=0.02)  # two of transformers' resizers


def test_the_readmes_snippet_runs_with_an_exported_folder(exported: Path) -> None:
    model, processor = AraCLIPModel.from_pretrained(exported), AraCLIPProcessor.from_pretrained(exported)
    inputs = processor(text=TEXTS[0], images=tiny_hf.picture(), return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    assert outputs.logits_per_image.shape == (1, 1)
    np.testing.assert_allclose(outputs.text_embeds[0], AraCLIP(exported).encode_text(TEXTS[0]), atol=1e-4)


def test_a_pulled_folder_of_another_kind_names_araclip_load(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "pulled"))
    config = tiny.read_config(folder)
    tiny.write_config(folder, {**config, "source": {"id": "google/siglip2", "kind": "transformers"}})
    with pytest.raises(ModelMismatch, match=r"graphs of google/siglip2, .* AraCLIP\.load, which needs no PyTorch"):
        AraCLIPModel.from_pretrained(folder)
    with pytest.raises(ModelMismatch, match=r"no AraCLIPProcessor\. Use it with AraCLIP\.load"):
        AraCLIPProcessor.from_pretrained(folder)
    write_config(folder, read_config(folder))
    with pytest.raises(ValueError, match=r"AraCLIP\.load .* AraCLIPModel"):
        CLIPModel.from_pretrained(folder)
    pixels = CLIPProcessor.from_pretrained(folder)(images=tiny_hf.picture(), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, tiny.SIZE, tiny.SIZE)
    assert AraCLIP(folder).encode_text(TEXTS).shape == (2, 8)
    assert json.loads((folder / "config.json").read_text())["model_type"] == model_folder.SENTENCE
