"""Memory and time of a contrastive training step with GradCache, on the CPU, and its gradients against the plain ones.

    python benchmarks/gradcache.py --batch 4096 --tokens 16 --chunk 32 --compare 64

One step of a text tower of BERT-base's size (12 layers of 768, a vocabulary of 64,000 as AraBERT v02 has, dropout on)
against locked image vectors (LiT): forward, backward, AdamW. Weights are random, which changes neither memory nor time.
The step runs in a process of its own, so that its peak resident memory is that of training and of nothing else; the
comparison runs in another. `--peer` adds the plain computation, all rows in one graph, in a third.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize
from transformers import BertConfig, BertModel

from araclip.training.loop.gradcache import cached_backward, seeded
from araclip.training.loop.train_loop import Part, parameter_groups
from araclip.training.losses import contrastive_loss

VOCABULARY, WIDTH, SEED = 64_000, 512, 0


class TextTower(nn.Module):
    """Token ids (B, T), all of them real → unit vectors (B, D)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.encoder = BertModel(BertConfig(vocab_size=VOCABULARY), add_pooling_layer=False)
        self.projection = nn.Linear(self.encoder.config.hidden_size, WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(14.3).log())

    def forward(self, ids: Tensor) -> Tensor:
        tokens = self.encoder(input_ids=ids).last_hidden_state  # (B, T, H)
        return l2_normalize(self.projection(tokens.mean(dim=1)), dim=-1)


def step(tower: TextTower, ids: Tensor, images: Tensor, chunk: int) -> float:
    """Gradients of one batch; `chunk` of the batch's size is the plain computation."""
    return cached_backward(
        [ids.split(chunk)],
        [tower],
        lambda texts: contrastive_loss(texts, images, tower.log_scale),
        backward=Tensor.backward,
        seed=SEED,
    )


def batch_of(rows: int, tokens: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(SEED)
    return torch.randint(5, VOCABULARY, (rows, tokens)), l2_normalize(torch.randn(rows, WIDTH), dim=-1)


def measure(rows: int, tokens: int, chunk: int) -> dict[str, Any]:
    tower = TextTower().train()
    optimizer = torch.optim.AdamW(parameter_groups([Part(tower, 1e-5)], weight_decay=0.01))
    ids, images = batch_of(rows, tokens)
    start = time.perf_counter()
    loss = step(tower, ids, images, chunk)
    optimizer.step()
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes(), "loss": loss}


def compare(rows: int, tokens: int, chunk: int) -> dict[str, Any]:
    """Largest difference between the gradients of a parameter, as part of that parameter's largest plain gradient."""
    tower = TextTower().train()
    ids, images = batch_of(rows, tokens)
    cached_loss = step(tower, ids, images, chunk)
    cached = {name: p.grad.clone() for name, p in tower.named_parameters() if p.grad is not None}
    tower.zero_grad()
    embeddings = []
    for i, part in enumerate(ids.split(chunk)):
        with seeded(SEED, 0, i):  # the masks the chunks drew; the graph is that of the whole batch
            embeddings.append(tower(part))
    loss = contrastive_loss(torch.cat(embeddings), images, tower.log_scale)
    loss.backward()
    worst = ("", 0.0)
    for name, p in tower.named_parameters():
        if p.grad is not None:
            difference = ((cached[name] - p.grad).abs().max() / p.grad.abs().max().clamp_min(1e-12)).item()
            # The gradient of a key's bias is zero in exact arithmetic (softmax ignores a shift): only noise to compare.
            if not name.endswith("key.bias"):
                worst = max(worst, (name, difference), key=lambda row: row[1])
    return {"loss": loss.item(), "cached_loss": cached_loss, "worst": worst}


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def in_a_fresh_process(job: str, rows: int, tokens: int, chunk: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--job", job, "--batch", str(rows), "--tokens", str(tokens)]
    done = subprocess.run([*command, "--chunk", str(chunk)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096, help="rows of the batch")
    parser.add_argument("--tokens", type=int, default=16, help="tokens a row")
    parser.add_argument("--chunk", type=int, default=32, help="rows in a graph at a time")
    parser.add_argument("--compare", type=int, default=0, metavar="ROWS", help="compare gradients on so many rows")
    parser.add_argument("--peer", action="store_true", help="measure the plain computation too")
    parser.add_argument("--job", choices=("measure", "compare"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = measure if options.job == "measure" else compare
        print(json.dumps(job(options.batch, options.tokens, options.chunk)))
        return
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    rows = [("GradCache", options.chunk)] + [("plain", options.batch)] * options.peer
    for name, chunk in rows:
        found = in_a_fresh_process("measure", options.batch, options.tokens, chunk)
        print(
            f"{name}: batch {options.batch:,} × {options.tokens} tokens, {chunk:,} at a time: "
            f"peak {found['peak_bytes'] / 1e9:.2f} GB, {found['seconds']:.0f} s a step, loss {found['loss']:.4f}"
        )
    if options.compare:
        chunk = min(options.chunk, max(1, options.compare // 4))
        found = in_a_fresh_process("compare", options.compare, options.tokens, chunk)
        name, difference = found["worst"]
        print(
            f"gradients, {options.compare} rows, {chunk} at a time, against the plain ones: "
            f"loss {found['cached_loss']:.6f} and {found['loss']:.6f}; "
            f"largest difference {difference:.1e} of the largest gradient, at {name}"
        )


if __name__ == "__main__":
    main()
