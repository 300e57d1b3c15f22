"""Model folders of strangers: whatever their files ask for, no code of theirs runs, and each refusal is ours."""

import builtins
import contextlib
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

import tiny_hf
from araclip import AraCLIP, AraCLIPModel, AraCLIPProcessor
from araclip.errors import AraCLIPError, ModelMismatch
from araclip.training.failures import failures
from araclip.training.model import foreign, saved_models, towers
from araclip.training.teachers.teacher import load_teacher
from hostile_inputs import write_altclip, write_clip, write_sentence_transformers
from tiny_peers import write_araclip, write_mclip, write_nllb_clip, write_older_araclip

pytestmark = pytest.mark.usefixtures("small_models")

LAYERS = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**LAYERS, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 1}
VISION = {**LAYERS, "image_size": 16, "patch_size": 8}
AUTO_MAP = {
    "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoImageProcessor": "evil.Evil",
    "AutoProcessor": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"],
}  # fmt: skip


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that hostile code would write; whatever a library asks on the terminal is answered with yes."""
    monkeypatch.setattr(builtins, "input", lambda prompt="": "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "it ran"


class Pickled:
    """Writes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.marker, "pickle")


def poison(folder: Path, marker: Path) -> Path:
    """Put evil.py into a folder, and an auto_map that names it into each file of settings."""
    (folder / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).write_text('code')\nclass Evil: pass\n", "utf-8"
    )
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            edit(folder / name, lambda content: content.update(auto_map=AUTO_MAP))
    return folder


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def tried(marker: Path, *loads: Callable[[], Any]) -> list[AraCLIPError | None]:
    """The refusal of each load, or None where it found a way without the folder's code, which never ran."""
    refusals: list[AraCLIPError | None] = []
    for load in loads:
        try:
            load().encode_text(["cat"])
            refusals.append(None)
        except AraCLIPError as error:
            assert "\n" not in str(error)
            refusals.append(error)
        assert not marker.exists()
    return refusals


# ------------------------------------------------------------------ code beside the weights


def test_a_folder_of_open_clip_cannot_switch_on_its_own_code(tmp_path: Path, marker: Path) -> None:
    write_nllb_clip(tmp_path / "nllb")
    poison(tmp_path / "nllb", marker)
    edit(
        tmp_path / "nllb" / "open_clip_config.json",
        lambda c: c["model_cfg"]["text_cfg"].update(tokenizer_kwargs={"trust_remote_code": True}),
    )
    location = f"open_clip:local-dir:{tmp_path / 'nllb'}"
    loads = [lambda: AraCLIP.load(tmp_path / "nllb"), lambda: AraCLIP.load(location), lambda: _Teacher(location)]
    for refusal in tried(marker, *loads):
        assert refusal and "open_clip_config.json" in str(refusal) and "trust_remote_code" in str(refusal)


def test_a_text_tower_for_open_clip_to_fetch_runs_no_code(tmp_path: Path, marker: Path) -> None:
    write_nllb_clip(tmp_path / "nllb")
    poison(tmp_path / "nllb", marker)
    edit(tmp_path / "nllb" / "config.json", lambda c: c.update(model_type="evil"))
    edit(tmp_path / "nllb" / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    assert all(tried(marker, lambda: AraCLIP.load(tmp_path / "nllb")))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("write", [write_clip, write_altclip, write_sentence_transformers])
def test_a_folder_of_transformers_runs_no_code(
    tmp_path: Path, marker: Path, write: Callable[[Path], Path], known: bool
) -> None:
    folder = poison(write(tmp_path / "model"), marker)
    if not known:
        edit(folder / "config.json", lambda c: c.update(model_type="evil"))
        edit(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    kinds = ("transformers", "altclip", "sentence-transformers")
    loads = [lambda: AraCLIP.load(folder), *(lambda kind=kind: AraCLIP.load(f"{kind}:{folder}") for kind in kinds)]
    loads += [lambda: _Teacher(f"transformers:{folder}")]
    refusals = tried(marker, *loads)
    assert known or all(refusals)
    if not known:
        own = refusals[2 if write is write_sentence_transformers else 0]
        assert isinstance(own, ModelMismatch) and re.search(
            r"asks to run its own code \(auto_map\).*is never run here\. Name a model whose classes", str(own)
        )


def test_a_folder_of_settings_for_code_alone_is_refused(tmp_path: Path, marker: Path) -> None:
    folder = poison(write_clip(tmp_path / "model"), marker)
    edit(folder / "config.json", lambda c: c.pop("model_type"))
    with pytest.raises(ModelMismatch, match=r"asks to run its own code \(auto_map\)"):
        AraCLIP.load(folder)
    edit(folder / "config.json", lambda c: c.update(model_type="clip"))
    edit(folder / "preprocessor_config.json", lambda c: c.update(image_processor_type="Evil"))
    with pytest.raises(ModelMismatch, match=r"asks to run its own code \(auto_map\)"):
        AraCLIP.load(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("modules.json", lambda c: c[0].update(type="evil.Evil")),
        ("modules.json", lambda c: c[1].update(type="sentence_transformers.util.misc.importlib")),
        ("modules.json", lambda c: c[1].update(path="../elsewhere")),
        ("modules.json", lambda c: c[1].update(path="../")),
        ("modules.json", lambda c: c[1].update(path="./..")),
        ("modules.json", lambda c: c[1].update(path="0_Text/deeper")),
        ("sentence_bert_config.json", lambda c: c.update(tokenizer_args={"trust_remote_code": True})),
        ("sentence_bert_config.json", lambda c: c.update(model_args={"attn_implementation": "owner/kernel"})),
        ("config.json", lambda c: c.update(attn_implementation="owner/kernel")),
        ("2_Dense/config.json", lambda c: c.update(activation_function="evil.Evil")),
        ("2_Dense/config.json", lambda c: c.update(activation_function="torch.hub.os")),
    ],
)
def test_what_sentence_transformers_would_import_is_on_a_list(
    tmp_path: Path, marker: Path, path: str, change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = poison(write_sentence_transformers(tmp_path / "st"), marker)
    monkeypatch.syspath_prepend(folder)
    edit(folder / path, change)
    (refusal,) = tried(marker, lambda: AraCLIP.load(f"sentence-transformers:{folder}"))
    assert refusal and Path(path).name in str(refusal)


GROWING = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
EXPLOSIVE = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    "change",
    [{"normalizer": {"type": "Sequence", "normalizers": [GROWING] * 11}}, {"pre_tokenizer": EXPLOSIVE}],
    ids=["a text of 100 GB", "for ever"],
)
@pytest.mark.parametrize("write", [write_clip, write_sentence_transformers, write_nllb_clip])
def test_a_tokenizer_of_endless_texts_is_refused_in_any_layout(
    tmp_path: Path, marker: Path, write: Callable[[Path], Any], change: dict[str, Any]
) -> None:
    write(tmp_path / "model")
    for path in (tmp_path / "model").rglob("tokenizer.json"):
        edit(path, lambda content: content.update(change))
    (refusal,) = tried(marker, lambda: AraCLIP.load(tmp_path / "model"))
    assert refusal and "tokenizer.json" in str(refusal)


def test_a_tokenizer_of_the_hub_is_checked_once_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tiny_hf.tiny_tokenizer().backend_tokenizer.save(str(path))
    foreign.check_tokens(PreTrainedTokenizerFast(tokenizer_file=str(path)), "org/name")
    edit(path, lambda content: content.update(pre_tokenizer=EXPLOSIVE))
    with pytest.raises(AraCLIPError, match=r"org/name: the regular expression .* repeats a repetition"):
        foreign.check_tokens(PreTrainedTokenizerFast(tokenizer_file=str(path)), "org/name")


def test_special_tokens_name_no_file_elsewhere_as_the_vocabulary(tmp_path: Path, marker: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    (tmp_path / "secret.txt").write_text("a secret\n[UNK]\n", "utf-8")
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class="BertTokenizer"))
    edit(folder / "special_tokens_map.json", lambda c: c.update(vocab_file=str(tmp_path / "secret.txt")))
    (refusal,) = tried(marker, lambda: AraCLIP.load(f"transformers:{folder}"))
    assert refusal and "special_tokens_map.json: vocab_file" in str(refusal)


@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("ConvNextImageProcessor", "crop_pct", 1e-5, "expected at least 0.1"),  # pictures 100,000 times as large
        ("CLIPImageProcessor", "pad_size", {"height": 16, "width": 10**9}, "expected at most 4096 pixels"),
        ("Siglip2ImageProcessor", "max_num_patches", 10**9, "expected at most 4096 pixels"),
        ("Siglip2ImageProcessor", "patch_size", 10**6, "expected at most 4096 pixels"),
    ],
)
def test_an_image_processor_of_pictures_of_any_size_is_refused(
    tmp_path: Path, kind: str, key: str, value: object, message: str
) -> None:
    folder = write_clip(tmp_path / "clip")
    edit(
        folder / "preprocessor_config.json", lambda content: content.update({"image_processor_type": kind, key: value})
    )
    with pytest.raises(ModelMismatch, match=rf"preprocessor_config\.json: {key}.* is .*{message}"):
        AraCLIP.load(folder)


@pytest.mark.parametrize("place", ["/dev/zero", "../other/model.safetensors", 3])
def test_an_index_of_weights_names_files_beside_it(place: object, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"logit_scale": place}}), "utf-8")
    with pytest.raises(ModelMismatch, match=r"weight_map\.logit_scale is .*expected the name of a file beside it"):
        AraCLIP.load(folder)


def test_architectures_of_another_type_are_no_traceback(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    edit(folder / "config.json", lambda content: content.update(architectures=3))
    with pytest.raises(AraCLIPError, match="cannot be loaded"):
        AraCLIP.load(folder)


def test_the_towers_of_a_recipe_run_no_code(tmp_path: Path, marker: Path) -> None:
    folder = poison(write_clip(tmp_path / "clip"), marker)
    for model_type in ("clip", "evil"):
        edit(folder / "config.json", lambda c, kind=model_type: c.update(model_type=kind))
        for load in (
            towers.load_text_tower,
            lambda f: towers.load_image_tower(f, False, None),
            AraCLIPProcessor.from_towers,
        ):
            with contextlib.suppress(AraCLIPError), failures("the tower", "Name another."):
                load(folder)
            assert not marker.exists()


def test_a_saved_model_and_its_processor_run_no_code(tmp_path: Path, marker: Path) -> None:
    folder = poison(tiny_hf.saved(tmp_path / "saved", tiny_hf.tiny_model(), tiny_hf.tiny_processor()), marker)
    edit(folder / "config.json", lambda c: c["text_config"].update(auto_map=AUTO_MAP))
    edit(folder / "config.json", lambda c: c["vision_config"].update(auto_map=AUTO_MAP))
    edit(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    for load in (AraCLIPModel.from_pretrained, AraCLIPProcessor.from_pretrained, saved_models.load_model, AraCLIP.load):
        with contextlib.suppress(AraCLIPError, ValueError):  # the latter is transformers' own refusal
            load(folder)
        assert not marker.exists()


def test_network_of_timm_brings_no_file_and_no_folder_of_its_own(tmp_path: Path, marker: Path) -> None:
    model = tiny_hf.tiny_model(image="timm vit")
    folder = tiny_hf.saved(tmp_path / "saved", model, tiny_hf.tiny_processor())
    torch.save({"x": Pickled(marker)}, tmp_path / "evil.pth")
    for change in (
        {"model_args": {"checkpoint_path": str(tmp_path / "evil.pth")}},
        {"model_args": {"pretrained_cfg": {"file": str(tmp_path / "evil.pth")}, "pretrained": True}},
        {"architecture": f"local-dir:{tmp_path}"},
        {"architecture": "hf-hub:owner/name"},
    ):
        shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        edit(tmp_path / "copy" / "config.json", lambda c, change=change: c["vision_config"].update(change))
        (refusal,) = tried(marker, lambda: AraCLIP.load(tmp_path / "copy"))
        assert refusal and "config.json" in str(refusal) and next(iter(change)) in str(refusal)


def test_m_clip_and_araclip_as_published_run_no_code(tmp_path: Path, marker: Path) -> None:
    write_mclip(tmp_path / "mclip")
    write_araclip(tmp_path / "araclip")
    write_older_araclip(tmp_path / "older")
    for name in ("mclip", "mclip-base", "araclip", "older"):
        poison(tmp_path / name, marker)
        edit(tmp_path / name / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    edit(tmp_path / "mclip-base" / "config.json", lambda c: c.update(model_type="evil"))
    tower = "+open_clip:ViT-B-16-SigLIP-512/none"
    refusals = tried(
        marker,
        lambda: AraCLIP.load(f"m-clip:{tmp_path / 'mclip'}{tower}"),
        lambda: AraCLIP.load(tmp_path / "araclip"),
        lambda: AraCLIP.load(f"araclip:{tmp_path / 'older'}{tower}"),
    )
    assert refusals[0] and refusals[2]


@pytest.mark.parametrize(
    "write", [write_nllb_clip, write_clip, write_sentence_transformers, write_araclip, write_mclip, write_older_araclip]
)
def test_a_pickle_in_place_of_weights_is_not_run(tmp_path: Path, marker: Path, write: Callable[[Path], Any]) -> None:
    folder = tmp_path / "model"
    write(folder)
    names = {path.name for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pickle")}
    for path in [*folder.rglob("*.safetensors"), *folder.rglob("*.bin"), *folder.rglob("*.pickle")]:
        path.unlink()
    for name in names | {"pytorch_model.bin", "open_clip_pytorch_model.bin", "head.pickle"}:
        torch.save({"x": Pickled(marker)}, folder / name)
        if name.endswith(".pickle"):
            (folder / name).write_bytes(pickle.dumps({"x": Pickled(marker)}, 2))
    (refusal,) = tried(marker, lambda: AraCLIP.load(folder))
    assert refusal


class _Teacher:
    """A recipe's teacher with an encoder's method."""

    def __init__(self, spec: str) -> None:
        self.encode_text = load_teacher(spec).encode
