"""What strangers may hand to training and evaluation, whole and tiny: how each is written, and how it is read."""

import json
import lzma
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    AutoModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

import pictures
import tiny_hf
from araclip import AraCLIP
from araclip.evaluation.published_sets import load_dataset
from araclip.evaluation.zeroshot import imagenet, read_templates
from araclip.training.data import text
from araclip.training.data.concepts import read_concepts
from araclip.training.data.pictures import PictureMixture, PictureSource
from araclip.training.data.text import read_pairs
from araclip.training.loop.run_folder import SilentReporter
from araclip.training.recipe.recipe import read_recipe
from araclip.training.stages import starting_model
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.starting_model import StageContext
from araclip.training.teachers.teacher import load_teacher
from tiny_peers import CLIP, write_araclip, write_mclip, write_nllb_clip, write_older_araclip

LAYERS: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT: dict[str, Any] = {**LAYERS, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 1}
VISION: dict[str, Any] = {**LAYERS, "image_size": 16, "patch_size": 8}
ARABIC = "قطة جالسة"


@dataclass(frozen=True)
class Kind:
    """One kind of input: `write` makes it in a folder that is there, `read` uses it through a public door.

    damaged: patterns of the files to damage.
    """

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    damaged: tuple[str, ...] = ("*.json", "*/config.json", "*.safetensors", "*.bin", "*.pickle")


def encode(model: Any) -> None:
    """A text and, where there is a tower for it, a picture."""
    model.encode_text([ARABIC, "a cat"])
    model.encode_image([tiny_hf.picture()])


# ------------------------------------------------------------------ model folders


def write_open_clip(folder: Path) -> None:
    """A plain CLIP of open_clip as a folder."""
    config = {"model_cfg": CLIP, "preprocess_cfg": {"size": 16, "mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(open_clip.model.CLIP(**CLIP).state_dict(), folder / "open_clip_pytorch_model.bin")


def write_clip(folder: Path) -> Path:
    """CLIP of transformers."""
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    tiny_hf.tiny_tokenizer().save_pretrained(folder)
    return folder


def write_altclip(folder: Path) -> Path:
    """AltCLIP of transformers."""
    config = AltCLIPConfig(text_config={**TEXT, "project_dim": 12}, vision_config=VISION, projection_dim=8)
    AltCLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    tiny_hf.tiny_tokenizer().save_pretrained(folder)
    return folder


def write_siglip(folder: Path) -> None:
    """SigLIP of transformers."""
    text = {**TEXT, "projection_size": 16, "max_position_embeddings": 9}
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    tiny_hf.tiny_tokenizer().save_pretrained(folder)


def write_sentence_transformers(folder: Path) -> Path:
    """A text tower, pooling and a dense layer of sentence-transformers."""
    AutoModel.from_config(tiny_hf.tiny_config().text_config).save_pretrained(folder)
    tiny_hf.tiny_tokenizer().save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Dense")
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}), "utf-8")
    for name, config in (
        ("1_Pooling", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}),
        ("2_Dense", {"in_features": 16, "out_features": 8, "activation_function": "torch.nn.modules.linear.Identity"}),
    ):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config), "utf-8")
    dense = {"linear.weight": torch.ones(8, 16), "linear.bias": torch.ones(8)}
    torch.save(dense, folder / "2_Dense" / "pytorch_model.bin")
    return folder


def write_mclip_whole(folder: Path) -> None:
    """M-CLIP with its base model inside, and the weights of its image tower."""
    write_mclip(folder / "model")
    torch.save(open_clip.model.CLIP(**CLIP).state_dict(), folder / "image.pt")


def write_saved(image: str) -> Callable[[Path], Any]:
    """A saved AraCLIPModel."""
    return lambda folder: tiny_hf.saved(folder, tiny_hf.tiny_model(image=image), tiny_hf.tiny_processor())


def read_mclip(folder: Path) -> None:
    """The text tower beside open_clip's."""
    encode(AraCLIP.load(f"m-clip:{folder / 'model'}+open_clip:araclip-tiny-clip/{folder / 'image.pt'}"))


def read_older(folder: Path) -> None:
    """The older text encoder, as `araclip pull --trainable` reads it."""
    from araclip.peers.published_araclip import read_published

    read_published("older", folder)


def read_model(folder: Path) -> None:
    """`AraCLIP.load`."""
    encode(AraCLIP.load(folder))


def read_text_model(folder: Path) -> None:
    """`AraCLIP.load` of a model without images."""
    AraCLIP.load(folder).encode_text([ARABIC, "a cat"])


def read_towers(folder: Path) -> None:
    """[model] text and vision of a recipe, and its teacher."""
    for model in (f'text = "{folder}"\nvision = "{folder}"', f'text = "{folder}"'):
        _start(folder, f"[model]\n{model}\nprojection_dim = 8\nmax_tokens = 12\n")
    load_teacher(f"transformers:{folder}").encode([ARABIC])


def read_start(folder: Path) -> None:
    """A stage's `start`, and an `araclip:` teacher."""
    _start(folder, f'[captions]\nstart = "{folder}"\n')
    load_teacher(f"araclip:{folder}").encode([ARABIC])


def _start(folder: Path, text: str) -> None:
    recipe = folder.parent / "start.toml"
    recipe.write_text(text if "[captions]" in text else f"{text}\n[captions]\n", "utf-8")
    read = read_recipe(recipe)
    starting_model.start_of(read.stages["captions"], StageContext(read, "captions", folder.parent / "runs"))  # type: ignore[arg-type]


# ------------------------------------------------------------------ data


def write_set(folder: Path) -> None:
    """A picture set in our form."""
    lines = []
    for number in range(4):
        pictures.solid(folder / f"{number}.png", (number * 40, 90, 20))
        lines.append(
            {"image": f"{number}.png", "split": "train", "caption_ar": [f"{ARABIC} {number}"],
             "caption_en": f"{number}",
             "dialect": "Gulf"}
        )  # fmt: skip
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def read_set(folder: Path) -> None:
    """As evaluation and training read it."""
    found = load_dataset(folder, caption_field="caption_ar")
    assert found.fingerprint and found.queries()
    PictureMixture([PictureSource(folder)], 0, languages={"arabic": 1.0, "english": 1.0}).batch(0, 2)


def write_coco(folder: Path) -> None:
    """COCO's annotations."""
    pictures.solid(folder / "1.jpg")
    content = {"images": [{"id": 7, "file_name": "1.jpg"}], "annotations": [{"image_id": 7, "caption": ARABIC}]}
    (folder / "captions_val.json").write_text(json.dumps(content), "utf-8")


def write_karpathy(folder: Path) -> None:
    """Karpathy's splits."""
    pictures.solid(folder / "1.jpg")
    content = {"images": [{"filename": "1.jpg", "split": "test", "sentences": [{"raw": ARABIC}]}]}
    (folder / "dataset_coco.json").write_text(json.dumps(content), "utf-8")


def write_crossmodal(folder: Path) -> None:
    """Crossmodal-3600's list."""
    pictures.solid(folder / "images" / "1.jpg")
    (folder / "captions.jsonl").write_text(json.dumps({"image/key": "1", "ar": {"caption": [ARABIC]}}) + "\n", "utf-8")


def write_classes(folder: Path) -> None:
    """ImageNet's folders, Arabic names, and templates."""
    for name in ("n1", "n2"):
        pictures.solid(folder / "val" / name / "1.jpg")
    (folder / "names.json").write_text(json.dumps({"AR": [[0, 1], ["قطة", "كلب"]]}), "utf-8")
    (folder / "templates.json").write_text(json.dumps({"AR": ["صورة {}", "رسم {c}"]}), "utf-8")


def read_classes(folder: Path) -> None:
    """As zero-shot classification reads them."""
    imagenet(folder / "val", folder / "names.json")
    read_templates(folder / "templates.json")


def write_text(folder: Path) -> None:
    """Parallel text in every form, with templates."""
    import pyarrow
    import pyarrow.parquet

    rows = [("a cat", "قطة"), ("a dog", "كلب")]
    table = "en\tar\tsplit\n" + "".join(f"{en}\t{ar}\ttrain\n" for en, ar in rows)
    (folder / "a.tsv").write_text(table, "utf-8")
    (folder / "b.tsv.xz").write_bytes(lzma.compress(table.encode()))
    (folder / "c.jsonl").write_text("".join(json.dumps({"en": en, "ar": ar}) + "\n" for en, ar in rows), "utf-8")
    columns = {"en": [en for en, _ in rows], "ar": [ar for _, ar in rows]}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "d.parquet")
    (folder / "templates.json").write_text(json.dumps(["صورة {}", "رسم {c}"]), "utf-8")


def read_text(folder: Path) -> None:
    """As distillation reads them."""
    for path in sorted(folder.iterdir()):
        if path.name != "templates.json":
            list(read_pairs(path))
    text.read_templates(folder / "templates.json")


def write_concepts(folder: Path) -> None:
    """Concepts with their classifier."""
    np.savez(folder / "c.npz", features=np.ones((2, 4)), weight=np.ones((2, 4)), bias=np.zeros(2))
    names = {"names_en": [["cat"], ["dog"]], "names_ar": [["قطة"], ["كلب"]]}
    (folder / "c.json").write_text(json.dumps(names), "utf-8")


def write_tar(folder: Path) -> None:
    """WebDataset."""
    picture = pictures.solid(folder / "one.jpg")
    (folder / "one.txt").write_text(ARABIC, "utf-8")
    (folder / "one.json").write_text(json.dumps({"caption_ar": ARABIC}), "utf-8")
    with tarfile.open(folder / "x.tar", "w") as tar:
        for path in (picture, folder / "one.txt", folder / "one.json"):
            tar.add(path, path.name)
    with tarfile.open(folder / "y.tar.gz", "w:gz") as tar:
        tar.add(picture, picture.name)


def read_tar(folder: Path) -> None:
    """Both shards."""
    load_dataset(folder / "x.tar", unpack_to=folder / "u")
    load_dataset(folder / "y.tar.gz", unpack_to=folder / "u", caption_field="key")


def write_saved_set(folder: Path) -> None:
    """A data set of Hugging Face."""
    import datasets

    rows = {
        "caption_ar": [ARABIC],
        "image": [{"bytes": pictures.solid(folder / "p.png").read_bytes(), "path": "a.png"}],
    }
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(folder)


def read_saved_set(folder: Path) -> None:
    """As evaluation reads it."""
    load_dataset(folder, unpack_to=folder / "u", caption_field="caption_ar")


# ------------------------------------------------------------------ recipes and runs


def run_of(folder: Path) -> Path:
    """A stage of two steps with a checkpoint, its towers beside it."""
    from toy_training import make_world

    return make_world(folder / "world") if not (folder / "world").exists() else folder / "world"


RUN = """name = "r"
data = "{data}"
[model]
text = "{data}/bert"
projection_dim = 16
max_tokens = 12
[captions]
pictures = [{{ folder = "shapes", split = "train" }}]
steps = {steps}
batch = 8
chunk = 8
eval_every = 2
patience = 5
ema = 0.9
checkpoint_every = 2
dev = {{ folder = "shapes" }}
"""


def write_run(folder: Path) -> None:
    """A run that was stopped after its second checkpoint."""
    world = run_of(folder)
    (folder / "r.toml").write_text(RUN.format(data=world, steps=6), "utf-8")
    run_stage(read_recipe(folder / "r.toml"), "captions", folder / "runs", SilentReporter())
    run = folder / "runs" / "captions"
    (run / "result.json").unlink()
    for path in run.glob("step-000006.pt"):
        path.unlink()


def read_run(folder: Path) -> None:
    """The same command again."""
    run_stage(read_recipe(folder / "r.toml"), "captions", folder / "runs", SilentReporter())


KINDS: Mapping[str, Kind] = {
    "araclip": Kind(write_araclip, read_model),
    "older": Kind(write_older_araclip, read_older),
    "m-clip": Kind(write_mclip_whole, read_mclip, ("model/*.json", "model/*.bin", "model-base/*.json", "image.pt")),
    "open_clip": Kind(write_open_clip, read_model),
    "nllb-clip": Kind(write_nllb_clip, read_model),
    "clip": Kind(write_clip, read_model),
    "altclip": Kind(write_altclip, read_model),
    "siglip": Kind(write_siglip, read_model),
    "sentence-transformers": Kind(
        write_sentence_transformers, read_text_model, ("*.json", "*/config.json", "*.safetensors", "*/*.bin")
    ),
    "saved": Kind(write_saved("vit"), read_model),
    "saved timm": Kind(write_saved("timm vit"), read_model, ("config.json",)),
    "towers": Kind(write_clip, read_towers),
    "start": Kind(write_saved("vit"), read_start, ("*.json", "*.safetensors")),
    "set": Kind(write_set, read_set, ("captions.jsonl", "0.png")),
    "coco": Kind(write_coco, lambda folder: load_dataset("coco-ar", path=folder), ("*.json",)),
    "karpathy": Kind(write_karpathy, lambda folder: load_dataset("coco-ar", path=folder, split="test"), ("*.json",)),
    "crossmodal": Kind(write_crossmodal, lambda folder: load_dataset("xm3600-ar", path=folder), ("*.jsonl",)),
    "classes": Kind(write_classes, read_classes, ("*.json",)),
    "text": Kind(write_text, read_text, ("*.*",)),
    "concepts": Kind(write_concepts, lambda folder: read_concepts(folder / "c", ("arabic",), 4), ("c.*",)),
    "tar": Kind(write_tar, read_tar, ("x.tar", "y.tar.gz")),
    "saved set": Kind(write_saved_set, read_saved_set, ("*.json", "*.arrow")),
    "run": Kind(write_run, read_run, ("runs/captions/*.json*", "runs/captions/*.pt")),
}
