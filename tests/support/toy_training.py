"""A toy world to train in: coloured shapes with English and Arabic names, towers of a few thousand weights."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    TimmWrapperConfig,
    TimmWrapperModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from araclip.cli import app, main
from araclip.evaluation.sets import read_pictures
from araclip.training.loop.run_folder import TIME_FIELDS, SilentReporter
from araclip.training.recipe.recipe import Recipe, read_recipe
from araclip.training.stages.dispatch import run_stage
from tiny_hf import tiny_tokenizer

SIZE = 32  # pixels of a picture
COLOURS = {
    "red": ("حمراء", (220, 30, 30)),
    "green": ("خضراء", (30, 180, 40)),
    "blue": ("زرقاء", (30, 60, 220)),
    "black": ("سوداء", (10, 10, 10)),
}
SHAPES = {"circle": "دائرة", "bar": "عارضة", "frame": "نافذة"}
NAMES = [
    (f"{colour} {shape}", f"{ar_shape} {COLOURS[colour][0]}")
    for colour in COLOURS
    for shape, ar_shape in SHAPES.items()
]
WORDS = ("a", "on", "white", "هنا", "على", "أبيض", *" ".join(f"{en} {ar}" for en, ar in NAMES).split())
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
TRAINING, DEV = 4, 1  # pictures of each name

LEARNING = """
steps = 40
batch = 16
chunk = 8
lr_text = 3e-3
lr_head = 3e-3
log_every = 1
checkpoint_every = 3
dev = {{ folder = "shapes" }}
"""
RECIPE = """
name = "toy"
stages = ["teacher", "linear", "distill", "finetune"]
data = "{world}"

[model]
text = "{world}/bert"
vision = "teacher"
projection_dim = 16
max_tokens = 12

[teacher]
kind = "finetune"
model = {{ text = "{world}/still-bert", vision = "{world}/cnn", projection_dim = 16, max_tokens = 12, logit_scale = 2 }}
languages = {{ english = 1 }}
pictures = [{{ folder = "shapes", split = "train" }}]
image = {{ train = "partial", frozen_blocks = 2, cache = "maps" }}
steps = 60
batch = 24
lr_text = 3e-3
lr_image = 3e-3
lr_head = 3e-3
log_every = 5
checkpoint_every = 50
dev = {{ folder = "shapes", captions = ["caption_en"] }}

[captions]
model = {{ text = "{world}/bert", projection_dim = 16, max_tokens = 12, logit_scale = 2 }}
pictures = [{{ folder = "shapes", split = "train" }}]
{learning}
[linear]
teacher = "teacher"
rows = 48
sources = [{{ path = "pairs.tsv" }}]
dev = {{ folder = "shapes" }}

[distill]
teacher = "teacher"
sources = [{{ path = "pairs.tsv", noise = 0.2 }}, {{ path = "pairs.tsv", direction = "en-en", weight = 0.2 }}]
{learning}
[finetune]
pictures = [{{ folder = "shapes", split = "train" }}]
image = {{ train = "partial", frozen_blocks = 2, cache = "maps" }}
lr_image = 3e-3
{learning}""".replace("{learning}", LEARNING)


def make_world(folder: Path) -> Path:
    """Towers, a picture set with a train and a dev split, parallel text."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    for name, dropout in (("bert", 0.1), ("still-bert", 0.0)):
        layers: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = BertConfig(
            vocab_size=len(SPECIAL) + len(set(WORDS)), intermediate_size=48, max_position_embeddings=16,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, initializer_range=0.1, **layers,
        )  # fmt: skip
        BertModel(config, add_pooling_layer=False).save_pretrained(folder / name)
        tiny_tokenizer(WORDS, SPECIAL).save_pretrained(folder / name)
    processor = ViTImageProcessor(size={"height": SIZE, "width": SIZE}, do_convert_rgb=True)
    vit = ViTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, image_size=SIZE, patch_size=8
    )
    ViTModel(vit, add_pooling_layer=False).save_pretrained(folder / "vit")
    processor.save_pretrained(folder / "vit")
    write_pictures(folder / "shapes")
    cnn = TimmWrapperModel(
        TimmWrapperConfig(
            architecture="test_efficientnet",
            num_labels=0,
            do_pooling=True,
            pretrained_cfg={"input_size": (3, SIZE, SIZE), "mean": (0.5,) * 3, "std": (0.5,) * 3},
        )
    ).train()
    pictures = [Image.open(path) for path in sorted((folder / "shapes").glob("*.png"))]
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    for layer in cnn.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():  # its BatchNorms get to know pictures, as those of a trained tower do
        cnn(pixel_values=pixels)
    cnn.eval().save_pretrained(folder / "cnn")
    rows = [row for en, ar in NAMES for row in ((en, ar), (f"a {en} on white", f"هنا {ar} على أبيض"))]
    (folder / "pairs.tsv").write_text("en\tar\n" + "".join(f"{en}\t{ar}\n" for en, ar in rows), encoding="utf-8")
    return folder


def write_pictures(folder: Path) -> None:
    """A picture set of every name, each picture with two Arabic and one English caption."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    lines = []
    for english, arabic in NAMES:
        for number in range(TRAINING + DEV):
            path = f"{english.replace(' ', '-')}-{number}.png"
            draw(english, rng).save(folder / path)
            captions = {"caption_ar": [arabic, f"هنا {arabic} على أبيض"], "caption_en": [english]}
            lines.append({"image": path, "split": "train" if number < TRAINING else "dev", **captions})
    write_lines(folder, lines)


def write_lines(folder: Path, lines: Sequence[dict[str, Any]]) -> None:
    """`captions.jsonl` of a picture set."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "captions.jsonl").write_text(text, encoding="utf-8")


def draw(name: str, rng: np.random.Generator) -> Image.Image:
    """A picture of one name, its size and place by chance."""
    colour, shape = name.split()
    fill = COLOURS[colour][1]
    image = Image.new("RGB", (SIZE, SIZE), "white")
    pen = ImageDraw.Draw(image)
    side = int(rng.integers(16, 24))
    left, top = (int(rng.integers(0, SIZE - side)) for _ in "xy")
    box = (left, top, left + side, top + side)
    if shape == "circle":
        pen.ellipse(box, fill)
    elif shape == "bar":
        pen.rectangle((left, top + side // 3, left + side, top + 2 * side // 3), fill)
    else:
        pen.rectangle(box, outline=fill, width=4)
    return image


def write_negatives(world: Path, folder: Path) -> Path:
    """The training shapes in negative, a picture set of its own."""
    folder.mkdir()
    lines = []
    for picture in read_pictures(world / "shapes", ("caption_en",), (), "train"):
        ImageOps.invert(Image.open(picture.path).convert("RGB")).save(folder / picture.path.name)
        lines.append({"image": picture.path.name, "caption_en": list(picture.english), "split": "train"})
    write_lines(folder, lines)
    return folder


def recipe(world: Path, *changes: str, text: str = RECIPE) -> Recipe:
    """The toy recipe with `key=value` changes."""
    path = world / f"toy-{abs(hash(text))}.toml"
    path.write_text(text.format(world=world), encoding="utf-8")
    return read_recipe(path, changes)


class Notes(SilentReporter):
    """Keeps what a run says; at a step it may kill its own process, as kill -9 would."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.kill_at = kill_at

    def log(self, line: str) -> None:
        self.lines.append(line)

    def step_progress(self, stage: str) -> "Notes":
        return self

    def update(self, step: int, total: int, rows_per_second: float, values: dict[str, float]) -> None:
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def rows(runs: Path, stage: str) -> list[dict[str, Any]]:
    """metrics.jsonl without what the clock says."""
    lines = (runs / stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIME_FIELDS} for line in lines]


def losses(runs: Path, stage: str) -> list[float]:
    return [row["loss"] for row in rows(runs, stage) if "loss" in row]


def weights(runs: Path, stage: str) -> dict[str, Tensor]:
    return load_file(runs / stage / "model" / "model.safetensors")


# ------------------------------------------------------------------ other processes


def _forked() -> Any:
    """Processes forked from one that has imported all and runs no thread: each starts in a moment."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["toy_training", "pandas", "pyarrow.compute"])  # pandas reads the parallel text
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:  # up to Python 3.12.3 it does not look where this process does, and imports nothing without a word
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context


def _train(read: Recipe, stage: str, runs: Path, kill_at: int | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    run_stage(read, stage, runs, Notes(kill_at))


def killed(read: Recipe, stage: str, runs: Path, at: int) -> None:
    """Train in another process that is killed right after step `at`."""
    process = _forked().Process(target=_train, args=(read, stage, runs, at, {}))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@contextmanager
def beginning(arguments: list[str], said: Path) -> Iterator[Any]:
    """For a `with` block, `araclip …` in another process, whose stderr goes into a file."""
    process = _forked().Process(target=_alone, args=(arguments, said))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _alone(arguments: list[str], said: Path) -> None:
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    torch.set_num_threads(1)
    sys.argv = ["araclip", *arguments]
    main()


def together(read: Recipe, stage: str, runs: Path, processes: int) -> None:
    """Train in several processes that share each batch."""
    _group(_train, (read, stage, runs, None), processes)


def commanded(arguments: list[str], processes: int) -> None:
    """Run `araclip …` in several processes, as a launcher starts them; fails where one is still of a group after it."""
    _group(_command, (arguments,), processes)


def _command(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    app(arguments, standalone_mode=False)
    assert torch.distributed.is_initialized() is False


def _group(target: Callable[..., None], arguments: tuple[Any, ...], processes: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = []
    for rank in range(processes):
        environment = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": str(processes),
        }  # fmt: skip
        group.append(_forked().Process(target=target, args=(*arguments, environment)))
        group[-1].start()
    for process in group:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in group] == [0] * processes
