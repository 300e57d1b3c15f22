"""`araclip pull --trainable`: AraCLIP as published becomes ours with every vector, or is refused and leaves nothing."""

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize as l2_normalize
from transformers import AutoTokenizer, CLIPModel

import tiny_hf
from araclip import AraCLIP
from araclip.core import atomic
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.peers.published_araclip import Trainable, make_trainable
from araclip.peers.weight_files import read_head
from araclip.pictures.images import square
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from command_line import caller
from tiny_peers import SIDE, TEXTS, WIDTH, write_araclip, write_mclip, write_older_araclip

pytestmark = pytest.mark.usefixtures("small_models", "seeded")

CLOSE = {"atol": 1e-5, "rtol": 0}
WORDS = TEXTS[:-1]  # the normaliser and an exported graph have nothing to do with an empty text


@torch.inference_mode()
def wanted_texts(text_model: Any, folder: Path) -> np.ndarray:
    tokens = AutoTokenizer.from_pretrained(folder)(WORDS, padding=True, return_tensors="pt")
    return l2_normalize(text_model(**tokens), dim=-1).numpy()


@torch.inference_mode()
def wanted_pictures(clip: Any, pictures: list[Any]) -> np.ndarray:
    pixels = np.stack([square(picture, SIDE) for picture in pictures]).astype(np.float32)  # (N, S, S, 3)
    return l2_normalize(
        clip.encode_image(torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)), dim=-1
    ).numpy()


PICTURES = [tiny_hf.picture((20, 90, 200)), tiny_hf.picture((250, 250, 10))]


def test_the_converted_model_gives_the_published_vectors(tmp_path: Path) -> None:
    published = write_araclip(tmp_path / "araclip")
    done = make_trainable(str(tmp_path / "araclip"), tmp_path / "ours")
    assert done == Trainable(tmp_path / "ours", WIDTH, True)
    texts = wanted_texts(published.text_model, tmp_path / "araclip")
    pictures = wanted_pictures(published.clip_model, PICTURES)
    shutil.rmtree(tmp_path / "araclip")  # nothing of it is needed any more
    model = AraCLIPModel.from_pretrained(tmp_path / "ours").eval()
    processor = AraCLIPProcessor.from_pretrained(tmp_path / "ours")
    with torch.inference_mode():
        out = model(**processor(text=WORDS, images=PICTURES, return_tensors="pt"))
    np.testing.assert_allclose(out.text_embeds.numpy(), texts, **CLOSE)
    np.testing.assert_allclose(out.image_embeds.numpy(), pictures, **CLOSE)
    assert float(model.logit_bias.detach()) == -10
    assert processor.max_tokens == 40  # the text tower's positions: the published code cuts at none
    assert not any("clip_model" in name or ".text." in name for name in model.state_dict())  # no English tower
    card = (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")
    assert "converted from `araclip`" in card
    assert "Not filled in yet" not in card


def test_the_projects_own_example_works_with_a_pulled_model(tmp_path: Path) -> None:
    write_araclip(tmp_path / "araclip")
    folder = make_trainable(str(tmp_path / "araclip"), tmp_path / "ours").folder
    with pytest.raises(ValueError, match=r"AraCLIPModel\.from_pretrained and AraCLIPProcessor") as told:
        CLIPModel.from_pretrained(folder)
    assert len(str(told.value).splitlines()) == 1
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))

    model = AraCLIPModel.from_pretrained(folder)  # as with CLIPModel and CLIPProcessor, but for the import line
    processor = AraCLIPProcessor.from_pretrained(folder)
    inputs = processor(text=["قطة جالسة على طاولة", "a cat"], images=image, return_tensors="pt", padding=True)
    outputs = model(**inputs)
    probabilities = outputs.logits_per_image.softmax(dim=1)

    assert probabilities.shape == (1, 2)
    published = AraCLIP.load(tmp_path / "araclip")
    np.testing.assert_allclose(outputs.image_embeds[0].detach(), published.encode_image(image), **CLOSE)
    np.testing.assert_allclose(AraCLIP.load(folder).encode_image(image), published.encode_image(image), **CLOSE)
    np.testing.assert_allclose(outputs.text_embeds[0].detach(), published.encode_text("قطة جالسة على طاولة"), **CLOSE)


def test_an_older_text_encoder_becomes_a_model_of_texts(tmp_path: Path) -> None:
    published = write_older_araclip(tmp_path / "older")
    done = make_trainable(str(tmp_path / "older"), tmp_path / "ours")
    assert not done.has_images
    model = AraCLIPModel.from_pretrained(tmp_path / "ours").eval()
    processor = AraCLIPProcessor.from_pretrained(tmp_path / "ours")
    with torch.inference_mode():
        found = model(**processor(text=WORDS, return_tensors="pt")).text_embeds.numpy()
    np.testing.assert_allclose(found, wanted_texts(published, tmp_path / "older"), **CLOSE)


def test_an_older_text_encoder_loads_with_a_head_from_elsewhere(tmp_path: Path) -> None:
    published = write_older_araclip(tmp_path / "older")
    siglip = open_clip.create_model("ViT-B-16-SigLIP-512", load_weights=False).eval()
    torch.save(siglip.state_dict(), tmp_path / "siglip.pt")
    (head,) = (tmp_path / "older").glob("*.pickle")
    head = head.rename(tmp_path / "head of another place.pkl")
    with pytest.raises(InputError, match=r"no AraCLIP as published \(transformers\).*--head"):
        make_trainable(str(tmp_path / "older"), tmp_path / "ours")
    image = f"ViT-B-16-SigLIP-512/{tmp_path / 'siglip.pt'}"
    assert make_trainable(str(tmp_path / "older"), tmp_path / "ours", head=head, image=image).has_images
    encoder = AraCLIP.load(tmp_path / "ours")
    np.testing.assert_allclose(encoder.encode_text(WORDS), wanted_texts(published, tmp_path / "older"), **CLOSE)
    np.testing.assert_allclose(encoder.encode_image(PICTURES), wanted_pictures(siglip, PICTURES), **CLOSE)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_in_several_files_with_an_index_are_read(tmp_path: Path, suffix: str) -> None:
    published = write_araclip(tmp_path / "araclip")
    state = load_file(tmp_path / "araclip" / "model.safetensors")
    (tmp_path / "araclip" / "model.safetensors").unlink()
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    shard = {name: f"{stem}-0000{1 + i % 2}-of-00002{suffix}" for i, name in enumerate(state)}
    for file in set(shard.values()):
        part = {name: tensor for name, tensor in state.items() if shard[name] == file}
        (save_file if suffix == ".safetensors" else torch.save)(part, tmp_path / "araclip" / file)
    index = tmp_path / "araclip" / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": shard}))
    found = AraCLIP.load(tmp_path / "araclip").encode_text(WORDS)
    np.testing.assert_allclose(found, wanted_texts(published.text_model, tmp_path / "araclip"), **CLOSE)


# ------------------------------------------------------------------ checkpoints that do not fit


TEXT_KEY = "text_model.transformer.encoder.layer.0.output.dense.weight"
IMAGE_KEY = "clip_model.visual.trunk.norm.weight"
UNUSED = {"clip_model.text.cls": torch.zeros(2), "text_model.transformer.embeddings.position_ids": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({TEXT_KEY: None}, rf"{TEXT_KEY} is missing, expected \(16, 24\)"),
        ({IMAGE_KEY: None}, rf"{IMAGE_KEY} is missing, expected \(64,\)"),
        ({TEXT_KEY: torch.zeros(16, 23)}, rf"{TEXT_KEY} is \(16, 23\), expected \(16, 24\)"),
        ({"text_model.clip_head.bias": torch.zeros(3)}, r"text_model\.clip_head\.bias is \(3,\), expected \(64,\)"),
        ({"text_model.clip_head.weight": None}, r"text_model\.clip_head\.weight, the head, is missing"),
        ({"clip_model.visual.head.w": torch.zeros(2)}, r"clip_model\.visual\.head\.w of \(2,\) is not expected"),
        ({TEXT_KEY: None, IMAGE_KEY: None}, r"is missing.*and 1 more of \d+ tensors"),
        (UNUSED, None),
    ],
)  # fmt: skip
def test_a_missing_or_misshapen_key_fails_with_its_name(
    tmp_path: Path, change: dict[str, Any], message: str | None
) -> None:
    write_araclip(tmp_path / "araclip")
    path = tmp_path / "araclip" / "model.safetensors"
    state = {name: tensor for name, tensor in {**load_file(path), **change}.items() if tensor is not None}
    save_file(state, path)
    if message is None:  # what is not used may be there
        assert make_trainable(str(tmp_path / "araclip"), tmp_path / "ours").has_images
        return
    with pytest.raises(ModelMismatch, match=message):
        make_trainable(str(tmp_path / "araclip"), tmp_path / "ours")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["araclip"]


def edit(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (edit("config.json", "{"), InputError, "no known layout"),
        (edit("config.json", "[1]"), InputError, "no known layout"),
        (lambda folder: (folder / "config.json").unlink(), InputError, "no known layout"),
        (edit("config.json", '{"transformer_cfg": 3}'), ModelMismatch, "describes no BERT"),
        (edit("config.json", '{"transformer_cfg": {"hidden_size": "x"}}'), ModelMismatch, "describes no BERT"),
        (lambda folder: (folder / "model.safetensors").unlink(), ModelNotFound, "holds no weights"),
        (edit("model.safetensors", "cut"), ModelMismatch, r"model\.safetensors cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), ModelNotFound, r"put the tokenizer\.json of Arabic-"),
    ],
)  # fmt: skip
def test_a_damaged_folder_says_what_is_wrong(
    tmp_path: Path, damage: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    write_araclip(tmp_path / "araclip")
    damage(tmp_path / "araclip")
    with pytest.raises(error, match=message):
        make_trainable(str(tmp_path / "araclip"), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_other_systems_are_not_converted(tmp_path: Path) -> None:
    write_mclip(tmp_path / "mclip")
    with pytest.raises(InputError, match=r"no AraCLIP as published \(m-clip\)"):
        make_trainable(str(tmp_path / "mclip"), tmp_path / "ours")
    write_araclip(tmp_path / "published")
    make_trainable(str(tmp_path / "published"), tmp_path / "first")
    with pytest.raises(InputError, match="first is a saved AraCLIPModel already, which trains"):
        make_trainable(str(tmp_path / "first"), tmp_path / "ours")
    with pytest.raises(ModelNotFound, match="nobody/nothing cannot be loaded"):
        make_trainable("nobody/nothing", tmp_path / "ours")


def test_nothing_there_is_replaced_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_araclip(tmp_path / "araclip")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        make_trainable(str(tmp_path / "araclip"), tmp_path / "ours")
    assert (tmp_path / "ours" / "diary.txt").read_text() == "mine"

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AraCLIPProcessor, "save_pretrained", full_disk)  # after the weights were written
    with pytest.raises(OSError, match="No space left"):
        make_trainable(str(tmp_path / "araclip"), tmp_path / "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["araclip", "ours"]


# ------------------------------------------------------------------ hostile pickles


class Hostile:
    """Unpickled by pickle, it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.mark}'",)


def test_a_hostile_head_is_refused_and_does_not_run(tmp_path: Path) -> None:
    write_older_araclip(tmp_path / "older")
    (head,) = (tmp_path / "older").glob("*.pickle")
    weight, bias = pickle.loads(head.read_bytes())
    mark = tmp_path / "it ran"
    for content in (Hostile(mark), [weight, bias, Hostile(mark)], [weight, Hostile(mark)], {"w": Hostile(mark)}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            head.write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(ModelMismatch, match=r"asks for (posix|nt|os)\.system.*was not run"):
                make_trainable(str(tmp_path / "older"), tmp_path / "ours")
            with pytest.raises(ModelMismatch, match="was not run"):
                AraCLIP.load(f"araclip:{tmp_path / 'older'}")
    assert not mark.exists()
    assert not (tmp_path / "ours").exists()


def test_hostile_weights_are_refused_and_do_not_run(tmp_path: Path) -> None:
    write_older_araclip(tmp_path / "older")
    mark = tmp_path / "it ran"
    torch.save({"embeddings.word_embeddings.weight": Hostile(mark)}, tmp_path / "older" / "pytorch_model.bin")
    with pytest.raises(ModelMismatch, match=r"pytorch_model\.bin is refused.*could run code"):
        make_trainable(str(tmp_path / "older"), tmp_path / "ours")
    assert not mark.exists()


WEIGHT, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
def test_a_head_is_read_as_pickle_would_read_it(tmp_path: Path, protocol: int, order: Any, kind: str) -> None:
    (tmp_path / "head.pickle").write_bytes(pickle.dumps([order(WEIGHT.astype(kind)), BIAS.astype(kind)], protocol))
    weight, bias = read_head(tmp_path / "head.pickle")
    np.testing.assert_array_equal(weight, WEIGHT.T)
    np.testing.assert_array_equal(bias, BIAS)


def test_a_head_that_numpy_1_wrote_is_read(tmp_path: Path) -> None:
    old = pickle.dumps([WEIGHT, BIAS], 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    (tmp_path / "head.pickle").write_bytes(old)
    np.testing.assert_array_equal(read_head(tmp_path / "head.pickle")[0], WEIGHT.T)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no pickle of two arrays"),
        (b"\x80\x04cut", "no pickle of two arrays"),
        (pickle.dumps(3), "arrays of shapes none"),
        (pickle.dumps([1, 2]), "holds a int"),
        (pickle.dumps([WEIGHT]), r"shapes \(2, 3\), expected"),
        (pickle.dumps([WEIGHT.T, BIAS]), r"shapes \(3, 2\), \(3,\), expected"),
        (pickle.dumps([WEIGHT.astype(object), BIAS]), "an array of 'O8'"),
        (pickle.dumps([WEIGHT.astype(int), BIAS]), "an array of 'i8'"),
        (pickle.dumps([WEIGHT, BIAS]).replace(b"K\x02K\x03\x86", b"K\x02K\x09\x86"), "with other bytes than that"),
        (pickle.dumps([WEIGHT, print]), r"asks for builtins\.print"),
    ],
)
def test_what_is_no_head_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "head.pickle").write_bytes(content)
    with pytest.raises(ModelMismatch, match=message):
        read_head(tmp_path / "head.pickle")


def test_two_heads_or_a_head_that_is_not_there_are_named(tmp_path: Path) -> None:
    write_older_araclip(tmp_path / "older")
    (tmp_path / "older" / "second.pkl").write_bytes(b"")
    with pytest.raises(ModelNotFound, match=r"one file \*\.pickle or \*\.pkl, is needed, found .*, second\.pkl"):
        make_trainable(str(tmp_path / "older"), tmp_path / "ours")
    with pytest.raises(ModelNotFound, match=r"none\.pickle: no such file"):
        make_trainable(str(tmp_path / "older"), tmp_path / "ours", head=tmp_path / "none.pickle")


# ------------------------------------------------------------------ the command


def test_the_command_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_araclip(tmp_path / "araclip")
    run = caller(monkeypatch, capsys, columns=400)
    source, target = tmp_path / "araclip", tmp_path / "نموذج [1]"
    ran = run("pull", source, "--trainable", "--out", target)
    assert ran.code == 0
    out = ran.out
    assert re.search(r"نموذج \[1\] holds the model: 64-wide vectors of texts and pictures", out)
    assert "araclip export" in out
    assert json.loads((target / "config.json").read_text())["model_type"] == "araclip"
    ran = run("pull", source, "--trainable", "--out", target)
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert line.startswith("araclip: ")
    assert "is there already" in line
    ran = run("pull", source, "--trainable", "--json", "--out", tmp_path / "other")
    assert ran.code == 0
    assert json.loads(ran.out) == {"folder": str(tmp_path / "other"), "width": 64, "pictures": True}
    ran = run("pull", source, "--trainable", "--weights", "float32", "--out", tmp_path / "third")
    assert ran.code == 2
    assert "--weights has no effect with --trainable" in ran.err
    ran = run("pull", source, "--trainable")
    assert ran.code == 2
    assert "--trainable needs --out" in ran.err


def test_conversion_replaces_folders_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_araclip(tmp_path / "araclip")
    written: list[Path] = []
    real = atomic.write_folder
    monkeypatch.setattr(atomic, "write_folder", lambda path, fill: (written.append(path), real(path, fill)))
    make_trainable(str(tmp_path / "araclip"), tmp_path / "ours")
    assert written == [tmp_path / "ours"]
