"""Teachers of every kind, tiny and random, and a cache that survives kills, damage and other teachers."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.functional import normalize as l2_normalize
from transformers import (
    CONFIG_MAPPING,
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipTextModel,
)

try:
    from transformers import Siglip2Tokenizer
except ImportError:  # transformers 5.0, which takes Gemma's
    from transformers import GemmaTokenizer as Siglip2Tokenizer

from araclip import AraCLIP
from araclip.errors import DataError, GalleryLocked, ModelMismatch, ModelNotFound, RecipeError, TeacherMismatch
from araclip.text.normalization import normalize
from araclip.training.teachers.teacher import load_teacher, teacher_vectors
from counting_teacher import MANY, Counting
from tiny_hf import saved, tiny_model, tiny_processor
from warm import Warm

pytestmark = pytest.mark.usefixtures("seeded")

TEXTS = ["a red cat", "a dog on a table", "cat", "a a a a a a a a a a a a a a a a a a a a a a a a"]
LAYERS: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
TEXT: dict[str, Any] = {
    **LAYERS, "vocab_size": 32, "max_position_embeddings": 12, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
VISION: dict[str, Any] = {**LAYERS, "image_size": 16, "patch_size": 8}


def tokenizer(folder: Path) -> None:
    words = ["<unk>", "<pad>", "<s>", "</s>", "a", "red", "cat", "dog", "on", "table", "Cat"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def written(model: Any, folder: Path) -> Any:
    """A model of transformers, saved with the tokenizer."""
    model.save_pretrained(folder)
    tokenizer(folder)
    return model.eval()


def clip(folder: Path) -> CLIPModel:
    return written(CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)), folder)


def siglip(folder: Path) -> SiglipModel:
    config = SiglipConfig(text_config={**TEXT, "projection_size": 8}, vision_config=VISION)
    return written(SiglipModel(config), folder)


def siglip_text(folder: Path) -> SiglipTextModel:
    return written(SiglipTextModel(SiglipTextConfig(**TEXT, projection_size=8)), folder)


def siglip2(folder: Path) -> Siglip2Model:
    """With letters as its vocabulary: transformers gives SigLIP 2 its own tokenizer, which splits at no space."""
    vision = {**LAYERS, "num_patches": 4, "patch_size": 8}
    model = Siglip2Model(Siglip2Config(text_config={**TEXT, "projection_size": 8}, vision_config=vision))
    model.save_pretrained(folder)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "a", "c", "d", "e", "r", "t"]
    Siglip2Tokenizer({word: i for i, word in enumerate(words)}).save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def open_clip_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MODEL/FILE of a model that open_clip knows by name while this module runs."""
    folder = tmp_path_factory.mktemp("open_clip")
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "araclip-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("araclip-tiny").state_dict(), folder / "weights.pt")
    yield f"araclip-tiny/{folder}/weights.pt"
    from open_clip import factory

    factory._MODEL_CONFIG_PATHS.remove(folder)
    factory._rescan_model_configs()


# ------------------------------------------------------------------ kinds of teachers


def test_open_clip_teaches_what_open_clip_encodes(open_clip_place: str) -> None:
    teacher = load_teacher(f"open_clip:{open_clip_place}")
    model = open_clip.create_model("araclip-tiny", pretrained=open_clip_place.partition("/")[2])
    with torch.inference_mode():
        wanted = model.eval().encode_text(open_clip.get_tokenizer("araclip-tiny")(TEXTS), normalize=True).numpy()
    np.testing.assert_allclose(teacher.encode(TEXTS), wanted, atol=1e-6)
    assert teacher.width == 8


def test_an_open_clip_folder_teaches_too(open_clip_place: str, tmp_path: Path) -> None:
    weights = Path(open_clip_place.partition("/")[2])
    config = json.loads((weights.parent / "araclip-tiny.json").read_text())
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    shutil.copy(weights, tmp_path / "open_clip_pytorch_model.bin")
    teacher = load_teacher(f"open_clip:local-dir:{tmp_path}")
    by_name = load_teacher(f"open_clip:{open_clip_place}")
    np.testing.assert_allclose(teacher.encode(TEXTS), by_name.encode(TEXTS), atol=1e-6)
    assert teacher.fingerprint == by_name.fingerprint


def test_clip_teaches_its_projected_vectors(tmp_path: Path) -> None:
    model = clip(tmp_path)
    inputs = AutoTokenizer.from_pretrained(tmp_path)(
        TEXTS, padding=True, truncation=True, max_length=12, return_tensors="pt"
    )
    with torch.inference_mode():
        pooled = model.text_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).pooler_output
        wanted = l2_normalize(model.text_projection(pooled), dim=-1).numpy()
    teacher = load_teacher(f"transformers:{tmp_path}")
    np.testing.assert_allclose(teacher.encode(TEXTS), wanted, atol=1e-6)
    assert teacher.width == 8


def test_a_clip_text_tower_saved_alone_keeps_its_projection(tmp_path: Path) -> None:
    model = written(CLIPTextModelWithProjection(CLIPTextConfig(**TEXT, projection_dim=8)), tmp_path)
    inputs = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        wanted = l2_normalize(model(input_ids=inputs["input_ids"]).text_embeds, dim=-1).numpy()
    np.testing.assert_allclose(load_teacher(f"transformers:{tmp_path}").encode(TEXTS[:1]), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (siglip, [[2, 4, 5, 6, 3, *[1] * 7], [2, 6, 3, *[1] * 9]]),  # <s> a red cat </s>, <s> cat </s>
        (siglip_text, [[2, 4, 5, 6, 3, *[1] * 7], [2, 6, 3, *[1] * 9]]),
        (siglip2, [[6, 5, 10, 9, 8, 5, 7, 6, 11, 0, 0, 0], [7, 6, 11, *[0] * 9]]),  # a ▁ r e d ▁ c a t, c a t
    ],
)
def test_siglip_sees_padded_lower_case_without_mask(
    kind: Callable[[Path], Any], ids: list[list[int]], tmp_path: Path
) -> None:
    model = kind(tmp_path)
    if model.config.model_type not in CONFIG_MAPPING:
        pytest.skip("transformers 5.0 loads no text tower of SigLIP by itself")
    with torch.inference_mode():
        tower = getattr(model, "text_model", model)
        wanted = l2_normalize(tower(input_ids=torch.tensor(ids)).pooler_output, dim=-1).numpy()
    teacher = load_teacher(f"transformers:{tmp_path}")
    np.testing.assert_allclose(teacher.encode(["A red CAT", "Cat"]), wanted, atol=1e-6)
    assert teacher.width == 8


def test_an_araclip_model_teaches_normalised_arabic(tmp_path: Path) -> None:
    model, processor = tiny_model(), tiny_processor()
    teacher = load_teacher(f"araclip:{saved(tmp_path, model, processor)}")
    with torch.inference_mode():
        inputs = processor(text=["قطة على طاولة", "كلب"], return_tensors="pt")
        wanted = l2_normalize(model.get_text_features(**inputs).pooler_output, dim=-1).numpy()
    np.testing.assert_allclose(teacher.encode(["قِطّة على طاولـــة", "كلب"]), wanted, atol=1e-6)
    assert teacher.width == 8


def test_a_model_folder_with_onnx_graphs_teaches(tiny_model: Path) -> None:
    teacher = load_teacher(f"araclip:{tiny_model}")
    np.testing.assert_array_equal(teacher.encode(["قطة", "red"]), AraCLIP.load(tiny_model).encode_text(["قطة", "red"]))
    assert teacher.width == AraCLIP.load(tiny_model).width


@pytest.fixture(params=["open_clip", "clip", "siglip", "araclip", "onnx"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One teacher of each kind."""
    if request.param == "open_clip":
        return f"open_clip:{request.getfixturevalue('open_clip_place')}"
    if request.param == "onnx":
        return f"araclip:{request.getfixturevalue('tiny_model')}"
    if request.param == "araclip":
        return f"araclip:{saved(tmp_path, tiny_model(), tiny_processor())}"
    {"clip": clip, "siglip": siglip}[request.param](tmp_path)
    return f"transformers:{tmp_path}"


def test_every_teacher_makes_unit_rows_whatever_the_batch(spec: str) -> None:
    teacher = load_teacher(spec)
    together = teacher.encode(TEXTS)
    assert (together.dtype, together.shape) == (np.float32, (4, teacher.width))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([teacher.encode([text]) for text in TEXTS]), together, atol=1e-5)
    assert teacher.encode([]).shape == (0, teacher.width)
    assert teacher.name == spec


def test_every_teacher_has_a_fingerprint_that_stays(spec: str) -> None:
    mark = load_teacher(spec).fingerprint
    assert load_teacher(spec).fingerprint == mark
    assert len(mark) == 16


def test_the_fingerprint_follows_text_weights_and_tokens(
    tmp_path: Path,
) -> None:
    model = clip(tmp_path / "one")
    first = load_teacher(f"transformers:{tmp_path / 'one'}").fingerprint
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with torch.no_grad():
        model.visual_projection.weight += 1
        model.vision_model.post_layernorm.weight += 1
        model.logit_scale += 1
    model.save_pretrained(tmp_path / "two")
    assert load_teacher(f"transformers:{tmp_path / 'two'}").fingerprint == first
    with torch.no_grad():
        model.text_projection.weight[0, 0] += 1
    model.save_pretrained(tmp_path / "two")
    assert load_teacher(f"transformers:{tmp_path / 'two'}").fingerprint != first
    text = (tmp_path / "one" / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "one" / "tokenizer.json").write_text(text.replace('"cat": 6', '"cat": 16'), encoding="utf-8")
    assert load_teacher(f"transformers:{tmp_path / 'one'}").fingerprint != first


def test_a_teacher_in_bfloat16_is_never_taken_for_the_other(tmp_path: Path) -> None:
    model, processor = tiny_model(), tiny_processor()
    spec = f"araclip:{saved(tmp_path, model, processor)}"
    exact, short = load_teacher(spec), load_teacher(spec, bfloat16=True)
    cosines = (exact.encode(TEXTS) * short.encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.99 and not np.array_equal(exact.encode(TEXTS), short.encode(TEXTS))
    np.testing.assert_allclose(np.linalg.norm(short.encode(TEXTS), axis=1), 1, atol=1e-5)
    assert exact.fingerprint != short.fingerprint


@pytest.mark.parametrize("spec", ["", "clip", "clip:x", "open_clip", "open_clip:", ":x"])
def test_an_unknown_kind_of_teacher_lists_the_kinds(spec: str) -> None:
    with pytest.raises(RecipeError, match=r"of no known kind.*open_clip:.*transformers:.*araclip:"):
        load_teacher(spec)


def test_an_open_clip_teacher_without_weights_is_refused() -> None:
    with pytest.raises(ModelNotFound, match="expected open_clip:MODEL/PRETRAINED"):
        load_teacher("open_clip:ViT-B-32")


def test_a_model_without_text_features_is_no_teacher(tmp_path: Path) -> None:
    written(BertModel(BertConfig(**{**LAYERS, "vocab_size": 32})), tmp_path)
    with pytest.raises(ModelMismatch, match="BertModel, which has no get_text_features"):
        load_teacher(f"transformers:{tmp_path}")


@pytest.mark.parametrize("kind", [CLIPVisionModel, CLIPVisionModelWithProjection])
def test_an_image_tower_alone_is_named_as_such(kind: Any, tmp_path: Path) -> None:
    kind(CLIPVisionConfig(**LAYERS, image_size=16, patch_size=8)).save_pretrained(tmp_path)  # no tokenizer beside it
    for load in (AraCLIP.load, lambda path: load_teacher(f"transformers:{path}")):
        with pytest.raises(ModelMismatch, match=r"is an image tower alone \(CLIPVisionModel.* reads no texts\. Name a"):
            load(tmp_path)


@pytest.mark.parametrize(
    "spec",
    ["transformers:/no/where", "araclip:no-such-model", "open_clip:ViT-B-32/no-such-tag", "open_clip:none/openai"],
)
def test_a_teacher_that_is_not_there_says_so(spec: str) -> None:
    with pytest.raises(ModelNotFound):
        load_teacher(spec)


def test_an_empty_folder_is_no_teacher_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    for kind in ("transformers", "araclip", "open_clip:local-dir"):
        with pytest.raises(ModelNotFound, match=r"cannot be loaded .*Remedy"):
            load_teacher(f"{kind}:{tmp_path / 'bert'}")


# ------------------------------------------------------------------ the cache


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("shard-*"))


def test_each_distinct_text_is_encoded_once_and_found_again(tmp_path: Path) -> None:
    teacher = Counting()
    cache = teacher_vectors(teacher, [*MANY, *MANY], tmp_path, shard=10, batch=4)
    assert sorted(teacher.encoded) == sorted(MANY)
    assert len(cache) == 25
    wanted = Counting().encode(["text xx 7", "text  0", "text xx 7"])
    found = cache.lookup(["text xx 7", "text  0", "text xx 7"])
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found.dtype == np.float32
    again = Counting()
    np.testing.assert_array_equal(teacher_vectors(again, MANY, tmp_path).lookup(MANY), cache.lookup(MANY))
    assert again.encoded == []


def test_shards_are_parquet_with_vector_and_text(tmp_path: Path) -> None:
    teacher_vectors(Counting(), MANY, tmp_path, shard=10)
    assert shards(tmp_path) == ["shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"]
    table = pyarrow.parquet.read_table(tmp_path / "shard-00002.parquet")
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: halffloat>[6]"
    assert table.column("text").to_pylist() == MANY[20:]
    about = json.loads((tmp_path / "cache.json").read_text())
    assert (about["teacher"], about["fingerprint"], about["width"], about["texts"]) == (
        "counting", "counting-print", 6, 25,
    )  # fmt: skip


def test_new_texts_are_added_and_only_they_are_computed(tmp_path: Path) -> None:
    teacher_vectors(Counting(), MANY[:12], tmp_path, shard=10)
    before = json.loads((tmp_path / "cache.json").read_text())
    teacher = Counting()
    cache = teacher_vectors(teacher, ["new", *MANY[:12], "text  0 changed"], tmp_path, shard=10)
    assert sorted(teacher.encoded) == ["new", "text  0 changed"]
    assert len(shards(tmp_path)) == 3
    np.testing.assert_allclose(cache.lookup(["new"]), Counting().encode(["new"]), atol=1e-3)
    after = json.loads((tmp_path / "cache.json").read_text())
    assert (before["texts"], after["texts"]) == (12, 14)
    assert before["texts_sha256"] != after["texts_sha256"]


def test_fewer_texts_are_read_and_the_others_kept(tmp_path: Path) -> None:
    teacher_vectors(Counting(), MANY, tmp_path, shard=10)
    teacher = Counting()
    cache = teacher_vectors(teacher, MANY[5:8], tmp_path)
    assert (teacher.encoded, len(cache), cache.vectors.shape) == ([], 3, (3, 6))
    with pytest.raises(DataError, match=r"1 of 2 texts have no teacher vector here, such as 'text  0'"):
        cache.lookup([MANY[5], MANY[0]])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "no parquet": lambda whole: b"x" * len(whole),
    "a bit flipped in the data": lambda whole: whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_shard_is_noticed_and_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = teacher_vectors(Counting(), MANY, tmp_path, shard=10)
    path = tmp_path / "shard-00001.parquet"
    bytes_before = path.read_bytes()
    path.write_bytes(damage(bytes_before))
    teacher, lines = Counting(), list[str]()
    cache = teacher_vectors(teacher, MANY, tmp_path, shard=10, log=lines.append)
    assert sorted(teacher.encoded) == sorted(MANY[10:20])
    assert len(lines) == 1
    assert "shard-00001.parquet is damaged" in lines[0]
    assert "\n" not in lines[0]
    np.testing.assert_array_equal(cache.lookup(MANY), whole.lookup(MANY))
    assert path.read_bytes() == bytes_before


def test_a_single_wrong_vector_in_sound_parquet_is_noticed(tmp_path: Path) -> None:
    teacher_vectors(Counting(), MANY, tmp_path, shard=30)
    path = tmp_path / "shard-00000.parquet"
    table = pyarrow.parquet.read_table(path)
    swapped = table.column("text").to_pylist()
    swapped[3], swapped[4] = swapped[4], swapped[3]
    pyarrow.parquet.write_table(table.set_column(1, "text", [swapped]), path)
    lines = list[str]()
    teacher_vectors(Counting(), MANY, tmp_path, log=lines.append)
    assert "do not have the hash they were written with" in lines[0]


def test_without_a_log_damage_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher_vectors(Counting(), MANY, tmp_path)
    (tmp_path / "shard-00000.parquet").write_bytes(b"")
    teacher_vectors(Counting(), MANY, tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_cache_json_is_written_again(tmp_path: Path, text: str) -> None:
    teacher_vectors(Counting(), MANY, tmp_path)
    before = (tmp_path / "cache.json").read_text()
    (tmp_path / "cache.json").write_text(text)
    teacher, lines = Counting(), list[str]()
    teacher_vectors(teacher, [*MANY, "more"], tmp_path, log=lines.append)
    assert teacher.encoded == ["more"]
    assert "cache.json is damaged" in lines[0]
    assert json.loads((tmp_path / "cache.json").read_text())["fingerprint"] == json.loads(before)["fingerprint"]


@pytest.mark.parametrize("keep_json", [True, False])
def test_another_teacher_is_refused_and_nothing_is_touched(tmp_path: Path, keep_json: bool) -> None:
    teacher_vectors(Counting(), MANY, tmp_path, shard=10)
    if not keep_json:
        (tmp_path / "cache.json").unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = Counting("other", 9)
    with pytest.raises(
        TeacherMismatch,
        match=r"6-wide vectors of counting@counting-print.*other@other-print with 9-wide.*another cache folder",
    ):
        teacher_vectors(other, [*MANY, "new"], tmp_path)
    assert other.encoded == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_cache_of_a_later_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text('{"format": 2}')
    with pytest.raises(TeacherMismatch, match="has format 2, this release reads format 1"):
        teacher_vectors(Counting(), MANY, tmp_path)


def test_progress_tells_done_total_speed_and_time_left(tmp_path: Path) -> None:
    teacher_vectors(Counting(), MANY[:5], tmp_path)
    seen = list[tuple[int, int, float, float]]()
    teacher_vectors(Counting(), MANY, tmp_path, shard=10, batch=6, progress=lambda *now: seen.append(now))
    assert [now[:2] for now in seen] == [(11, 25), (15, 25), (21, 25), (25, 25)]
    assert all(speed > 0 for _, _, speed, _ in seen)
    assert [left > 0 for _, _, _, left in seen] == [True, True, True, False]


def test_a_folder_that_another_process_fills_is_left_to_it(tmp_path: Path) -> None:
    from araclip.core.atomic import single_writer

    teacher_vectors(Counting(), MANY, tmp_path)
    with single_writer(tmp_path / ".lock"):
        assert len(teacher_vectors(Counting(), MANY, tmp_path)) == 25
        with pytest.raises(GalleryLocked, match="is being written by"):
            teacher_vectors(Counting(), [*MANY, "new"], tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from counting_teacher import MANY, Counting
from araclip.training.teachers.teacher import teacher_vectors
calls = 0
class Mortal(Counting):
    def encode(self, texts):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts)
teacher_vectors(Mortal(), MANY, Path(sys.argv[1]), shard=10, batch=5)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_goes_on_with_missing_shards(interpreter: Warm, tmp_path: Path) -> None:
    folder, straight = tmp_path / "killed", tmp_path / "straight"
    wanted = teacher_vectors(Counting(), MANY, straight, shard=10, batch=5)
    run = interpreter.start(KILLED, str(folder), "4", printed=tmp_path / "printed")
    assert run.wait() == -signal.SIGKILL
    assert shards(folder) == ["shard-00000.parquet"]
    (folder / ".shard-00001.parquet.0000.tmp").write_bytes(b"half")  # a kill within a write leaves such a file
    teacher = Counting()
    cache = teacher_vectors(teacher, MANY, folder, shard=10, batch=5)
    assert sorted(teacher.encoded) == sorted(MANY[10:])
    np.testing.assert_array_equal(cache.lookup(MANY), wanted.lookup(MANY))
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files == {file.name: file.read_bytes() for file in straight.iterdir()}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", ""], "a text to encode is ''"),
        (["a", None], "a text to encode is None"),
    ],
)
def test_texts_that_cannot_be_encoded_are_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        teacher_vectors(Counting(), texts, tmp_path)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.full((1, 6), np.nan), r"length nan for 'a', expected 1"),
        (np.full((1, 6), 3.0), r"length 7\.35 for 'a'"),
        (np.ones((1, 5)), r"shape \(1, 5\) for 1 texts, expected \(1, 6\)"),
    ],
)
def test_a_teacher_without_unit_vectors_is_refused_early(
    tmp_path: Path, vector: NDArray[np.float64], message: str
) -> None:
    class Broken(Counting):
        def encode(self, texts: list[str]) -> NDArray[np.float32]:
            return vector.astype(np.float32)

    with pytest.raises(DataError, match=message):
        teacher_vectors(Broken(), ["a"], tmp_path)
    assert shards(tmp_path) == []


def test_a_real_teacher_fills_a_cache(tiny_model: Path, tmp_path: Path) -> None:
    teacher = load_teacher(f"araclip:{tiny_model}")
    cache = teacher_vectors(teacher, ["red", "أحمر", normalize("قطة")], tmp_path)
    np.testing.assert_allclose(cache.lookup(["أحمر"]), teacher.encode(["أحمر"]), atol=1e-3)
