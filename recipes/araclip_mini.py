"""Train araclip-mini: a straight script, one function a stage.

    pictures and pairs → stage 0 (English teacher) → stage 1 (distil) → stage 2 (fine-tune) → export

`WORK` keeps the stem cache, one checkpoint a stage and `log.jsonl`. A picture stage that was stopped goes on from its
last hundred steps (weights, optimiser and schedule; the order of the batches starts anew).
"""

import argparse
import json
import math
import random
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from model_card import TRAINING_DATA, model_card, results_table
from tokenizers import Tokenizer
from torch import Tensor, nn
from training_data import CAPTIONED, openmoji_pictures, parallel_pairs, training_pictures
from transformers import BertConfig, BertModel

from araclip import AraCLIP
from araclip.evaluation.datasets import read_pictures
from araclip.evaluation.retrieval import retrieval
from araclip.training.data import noisy, read_pairs
from araclip.training.export import export
from araclip.training.losses import affinity_loss, contrastive_loss, cosine_loss
from araclip.training.modeling import ImageTower, TextTower
from araclip.training.pretrained import load_e5, load_efficientnet_lite2, prune_vocabulary
from araclip.training.stem import cache_stem, crops

STARTS_FROM = {"teacher": "start.pt", "finetune": "distill.pt", "drawings": "finetune.pt"}

# ── loop pieces ───────────────────────────────────────────────────────────────────────────────────────────────────


class Log:
    def __init__(self, work: Path, stage: str) -> None:
        self.file, self.stage, self.start = work / "log.jsonl", stage, time.monotonic()

    def __call__(self, **values: float | int | str) -> None:
        row = {"stage": self.stage, "seconds": round(time.monotonic() - self.start, 1), **values}
        with self.file.open("a") as log:
            log.write(json.dumps(row) + "\n")
        print(*(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)


def epochs(rows: list[int], size: int, dice: random.Random) -> Iterator[list[int]]:
    """Batches without end; no row comes twice within an epoch."""
    while True:
        dice.shuffle(rows)
        for start in range(0, len(rows) - size + 1, size):
            yield rows[start : start + size]


def freeze_lower(text: TextTower, layers: int) -> None:
    for part in [text.encoder.embeddings, *text.encoder.encoder.layer[:layers]]:
        part.requires_grad_(False)


def optimizer_for(
    groups: list[tuple[nn.Module | nn.Parameter, float]], steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    params = []
    for part, lr in groups:
        weights = [part] if isinstance(part, nn.Parameter) else [p for p in part.parameters() if p.requires_grad]
        params.append({"params": [w for w in weights if w.ndim > 1], "lr": lr, "weight_decay": 0.05})
        params.append({"params": [w for w in weights if w.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(params, betas=(0.9, 0.98))
    warm = max(1, steps // 15)
    shape = lambda step: min((step + 1) / warm, 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)  # noqa: E731
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step(), schedule.step()
    return loss.item()


def save(file: Path, **state: object) -> None:
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(file)


class Dev:
    """Dev pictures and captions: recall while training on one caption a picture."""

    def __init__(self, data: Path, work: Path, tower: ImageTower, size: int) -> None:
        self.pictures = read_pictures(data / "flickr8k", ("caption_en",), ("caption_ar",), "dev")
        self.maps = cache_stem(tower, [p.path for p in self.pictures], size, work / "stem-dev.npy", lambda n: None)

    def recall(self, text: TextTower, tokenizer: Tokenizer, image: ImageTower, every: bool = False) -> dict[str, float]:
        out = {}
        text.eval(), image.eval()
        with torch.inference_mode():
            vectors = torch.cat(
                [
                    image.after_stem(torch.from_numpy(self.maps[s : s + 50, 0].astype(np.float32)).permute(0, 3, 1, 2))
                    for s in range(0, len(self.pictures), 50)
                ]
            )
            for language in ("english", "arabic"):
                rows = [
                    (c, i) for i, p in enumerate(self.pictures) for c in getattr(p, language)[: None if every else 1]
                ]
                queries = text.encode(tokenizer, [c for c, _ in rows])
                scores = queries @ vectors.T
                truth = scores.gather(1, torch.tensor([[i] for _, i in rows]))
                rank = (scores > truth).sum(dim=1)
                out |= {f"{language[:2]}_R@{k}": (rank < k).float().mean().item() for k in (1, 5, 10)}
        return out


def contrastive_step(text_vectors: Tensor, image_vectors: Tensor, log_scale: Tensor, texts: list[str]) -> Tensor:
    same = torch.tensor([[a == b for b in texts] for a in texts])
    return contrastive_loss(text_vectors, image_vectors, log_scale.clamp(max=math.log(100)), same)


# ── stages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def fresh_towers(recipe: dict, data: Path, work: Path) -> tuple[TextTower, Tokenizer, ImageTower]:
    torch.manual_seed(recipe["teacher"]["seed"])
    encoder, tokenizer = load_e5()
    corpus = []
    for file in sorted((data / "parallel").glob("*.tsv.xz")):
        if file.name.startswith("wikipedia"):
            continue
        corpus += [t for pair in read_pairs(file) for t in (pair.english, pair.arabic)]
    _, pictures = training_pictures(data)
    corpus += [t for p in pictures for t in p.english + p.arabic]
    pruned = work / "tokenizer.json"
    tokenizer = prune_vocabulary(encoder, tokenizer, sorted(set(corpus)))
    tokenizer.save(str(pruned))
    print("vocabulary", tokenizer.get_vocab_size(), flush=True)
    return TextTower(encoder, recipe["width"]), tokenizer, ImageTower(load_efficientnet_lite2(), recipe["width"])


def load_towers(recipe: dict, file: Path) -> tuple[TextTower, ImageTower, dict]:
    state = torch.load(file, weights_only=True)
    config = BertConfig(**state["config"])
    text = TextTower(BertModel(config, add_pooling_layer=False), recipe["width"])
    image = ImageTower(load_efficientnet_lite2(), recipe["width"])
    text.load_state_dict(state["text"]), image.load_state_dict(state["image"])
    return text, image, state


def picture_stage(stage: str, recipe: dict, data: Path, work: Path) -> None:  # noqa: PLR0915  (one straight loop)
    """Stages 0 and 2, and the drawings that follow: contrastive learning of texts with pictures."""
    r = recipe[stage]
    log = Log(work, stage)
    torch.manual_seed(r["seed"])
    dice, np_dice = random.Random(r["seed"]), np.random.default_rng(r["seed"])
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    text, image, state = load_towers(recipe, work / STARTS_FROM[stage])
    sources, pictures = training_pictures(data)
    maps = cache_stem(image, sources, recipe["image_size"], work / "stem.npy", lambda n: n % 1600 or log(pictures=n))
    if arabic := stage != "teacher":
        drawings = openmoji_pictures(data, work)
        drawn = cache_stem(
            image, [p.path for p in drawings], recipe["image_size"], work / "stem-openmoji.npy", lambda n: None
        )
        pictures, maps = pictures + drawings, np.concatenate([maps, drawn])
    dev = Dev(data, work, image, recipe["image_size"])
    usable = [i for i, p in enumerate(pictures) if (p.arabic if arabic else p.english)]
    captioned = epochs(
        [i for i in usable if pictures[i].source in ("flickr8k", *CAPTIONED)], r["batch"] - r["labelled"], dice
    )
    named = [i for i in usable if pictures[i].source not in ("flickr8k", *CAPTIONED)]
    named = [i for i in named if pictures[i].source in r.get("named_sources", [pictures[i].source])]
    labelled = epochs(named, r["labelled"], dice)
    log(pictures=len(usable))

    freeze_lower(text, r["frozen_layers"])
    image.cnn.requires_grad_(False)
    image.cnn.blocks[ImageTower.STEM_STAGES :].requires_grad_(True)
    image.cnn.conv_head.requires_grad_(True), image.cnn.bn2.requires_grad_(True)
    image.to(memory_format=torch.channels_last)
    log_scale = nn.Parameter(state.get("log_scale", torch.tensor(math.log(1 / 0.05))))
    groups = [
        (text.encoder, r["lr_text"]),
        (text.projection, r["lr_head"]),
        (image.cnn, r["lr_image"]),
        (image.projection, r["lr_head"]),
        (log_scale, 1e-3),
    ]
    optimizer, schedule = optimizer_for(groups, r["steps"])
    checkpoint, first = work / f"{stage}.partial.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        text.load_state_dict(saved["text"]), image.load_state_dict(saved["image"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        log_scale.data.copy_(saved["log_scale"])
        first = saved["step"]
    losses = []
    for step in range(first, r["steps"]):
        text.train(), image.train()
        rows = next(captioned) + next(labelled)
        texts = []
        for i in rows:
            p = pictures[i]
            in_arabic = arabic and not (p.english and dice.random() < r["english"])
            chosen = dice.choice(p.arabic if in_arabic else p.english)
            texts.append(noisy(chosen, dice) if in_arabic and dice.random() < r["noise"] else chosen)
        image_vectors = image.after_stem(
            crops(maps, rows, recipe["window"], np_dice).contiguous(memory_format=torch.channels_last)
        )
        loss = contrastive_step(text.encode(tokenizer, texts), image_vectors, log_scale, texts)
        losses.append(descend(loss, optimizer, schedule))
        if (step + 1) % 20 == 0:
            log(step=step + 1, loss=float(np.mean(losses[-20:])), scale=log_scale.exp().item())
        if (step + 1) % 100 == 0:
            save(
                checkpoint,
                text=text.state_dict(),
                image=image.state_dict(),
                optimizer=optimizer.state_dict(),
                schedule=schedule.state_dict(),
                log_scale=log_scale.data,
                step=step + 1,
            )
        if (step + 1) % 130 == 0:
            log(step=step + 1, **dev.recall(text, tokenizer, image))
    save(
        work / f"{stage}.pt",
        text=text.state_dict(),
        image=image.state_dict(),
        log_scale=log_scale.data,
        config=state["config"],
    )


def distill(recipe: dict, data: Path, work: Path) -> None:
    """Stage 1: the Arabic student learns to put an Arabic text where the teacher puts its English original."""
    r = recipe["distill"]
    log = Log(work, "distill")
    torch.manual_seed(r["seed"])
    dice = random.Random(r["seed"])
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    teacher, image, state = load_towers(recipe, work / "teacher.pt")
    student, _, _ = load_towers(recipe, work / "teacher.pt")  # the multilingual student starts as the teacher
    dev = Dev(data, work, image, recipe["image_size"])
    pairs = parallel_pairs(data, r["rows"], r["seed"])
    english = sorted({p.english for p in pairs})
    row = {e: i for i, e in enumerate(english)}
    cache = work / "teacher-vectors.npz"
    if not cache.exists():
        teacher.eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(english), 1024):
                parts.append(teacher.encode(tokenizer, english[start : start + 1024]).half().numpy())
                if start % 8192 == 0:
                    log(teacher_vectors=start)
        np.savez(cache, vectors=np.concatenate(parts), texts=np.array(english))
    cached = np.load(cache)
    if cached["texts"].tolist() != english:
        raise SystemExit(f"{cache} holds the vectors of other texts. Delete it to make them again.")
    targets = torch.from_numpy(cached["vectors"].astype(np.float32))
    log(pairs=len(pairs), english=len(english), **dev.recall(student, tokenizer, image))

    freeze_lower(student, r["frozen_layers"])
    optimizer, schedule = optimizer_for(
        [(student.encoder, r["lr_text"]), (student.projection, r["lr_head"])], r["steps"]
    )
    batches = epochs(list(range(len(pairs))), r["batch"], dice)
    losses = []
    for step in range(r["steps"]):
        student.train()
        batch = [pairs[i] for i in next(batches)]
        wanted = targets[[row[p.english] for p in batch]]
        got = student.encode(tokenizer, [noisy(p.arabic, dice) if dice.random() < 0.1 else p.arabic for p in batch])
        loss = cosine_loss(got, wanted) + r["affinity"] * affinity_loss(got, wanted)
        losses.append(descend(loss, optimizer, schedule))
        if (step + 1) % 20 == 0:
            log(step=step + 1, loss=float(np.mean(losses[-20:])))
        if (step + 1) % 150 == 0:
            log(step=step + 1, **dev.recall(student, tokenizer, image))
            save(
                work / "distill.partial.pt",
                text=student.state_dict(),
                image=image.state_dict(),
                log_scale=state["log_scale"],
                config=state["config"],
            )
    log(step=r["steps"], **dev.recall(student, tokenizer, image, every=True))
    save(
        work / "distill.pt",
        text=student.state_dict(),
        image=image.state_dict(),
        log_scale=state["log_scale"],
        config=state["config"],
    )


def export_stage(recipe: dict, data: Path, work: Path, out: Path, checkpoint: str = "finetune.pt") -> None:
    text, image, _ = load_towers(recipe, work / checkpoint)
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    about = {
        "name": "araclip-mini", "version": recipe["version"], "license": "CC-BY-NC-SA-4.0 (non-commercial research)",
        "training_data": TRAINING_DATA, "measured": {},
        "text_tower": "multilingual-e5-small, vocabulary pruned", "image_tower": "EfficientNet-Lite2",
    }  # fmt: skip
    export(text, image, tokenizer, out, about, card="", size=recipe["inference_size"])
    model = AraCLIP.load(out, threads=2)
    pictures = read_pictures(data / "flickr8k", ("caption_en",), ("caption_ar",), "dev")
    result = {language: retrieval(model, pictures, language) for language in ("arabic", "english")}
    config = json.loads((out / "config.json").read_text())
    rounded = json.loads(json.dumps(result), parse_float=lambda x: round(float(x), 4))
    config["measured"] = {"Flickr8k-Arabic dev, every caption_ar / caption_en a query, any-hit": rounded}
    (out / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    megabytes = sum(f.stat().st_size for f in out.iterdir()) / 1e6
    card = model_card(config, result, megabytes, tokenizer.get_vocab_size())
    (out / "README.md").write_text(card)
    print(results_table(result), f"\n{megabytes:.1f} MB")


def start(recipe: dict, data: Path, work: Path) -> None:
    text, _, image = fresh_towers(recipe, data, work)
    keys = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "hidden_act",
        "pad_token_id",
    )
    config = {k: getattr(text.encoder.config, k) for k in keys} | {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    save(work / "start.pt", text=text.state_dict(), image=image.state_dict(), config=config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "stages", nargs="+", choices=["start", "teacher", "distill", "finetune", "drawings", "export", "all"]
    )
    parser.add_argument("--out", type=Path, default=Path("araclip-mini"), help="the model folder that export writes")
    args = parser.parse_args()
    torch.set_num_threads(2)
    recipe = tomllib.loads(args.recipe.read_text())
    args.work.mkdir(parents=True, exist_ok=True)
    stages = ["start", "teacher", "distill", "finetune", "export"] if "all" in args.stages else args.stages
    for stage in stages:
        if stage == "start":
            start(recipe, args.data, args.work)
        elif stage == "export":
            export_stage(recipe, args.data, args.work, args.out)
        elif stage == "distill":
            distill(recipe, args.data, args.work)
        else:
            picture_stage(stage, recipe, args.data, args.work)


if __name__ == "__main__":
    main()
