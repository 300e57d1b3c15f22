"""Published models of real size, pulled and searched with, against their own code in the same run. Weights are random.

    python benchmarks/published.py --work FOLDER [--models araclip-published siglip2-b16-256 …] [--threads 1]
                                                                                                      (extra peers)

Every step runs in a process of its own, whose peak memory is read at its end. Ours and theirs are measured in turns
(--rounds), and the best counts. Theirs: the model's own library in float32 with its own preprocessing, one item a
call (as AraCLIP's published code does it) and in batches. Seconds are both on the clock and of the processor: where
other programs run, only the second can be compared. Random weights have no outliers, so cosines say nothing about the
published ones, which are checked when they are pulled.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NAMES = ("araclip-published", "siglip2-b16-256", "nllb-siglip-base", "m-clip-b32", "altclip")
PICTURES, TEXTS, BATCH = 2, 32, 32  # pictures and texts in a batch; different texts
BUDGET = 4.0  # seconds of the processor for one number
CAPTIONS = ("قطة سوداء تنام على طاولة قرب النافذة", "رجل يركب دراجة في الشارع", "أطفال يلعبون كرة القدم على العشب",
            "غروب الشمس فوق البحر")  # fmt: skip


def pictures() -> list[Any]:
    """Smooth coloured fields of 500 × 375 pixels."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    fields = [Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in range(PICTURES)]
    return [field.resize((500, 375), Image.Resampling.BICUBIC) for field in fields]


def rate(job: Callable[[Sequence[Any]], object], items: Sequence[Any], together: int) -> dict[str, float]:
    """Items a second, on the clock and of the processor, the best of the calls that fit into BUDGET."""
    best = {"wall": 0.0, "cpu": 0.0}
    spent = 0.0
    for start in range(0, 100 * len(items), together):
        chunk = [items[(start + i) % len(items)] for i in range(together)]
        wall, cpu = time.perf_counter(), time.process_time()
        job(chunk)
        took = time.process_time() - cpu
        best = {
            "wall": max(best["wall"], together / (time.perf_counter() - wall)),
            "cpu": max(best["cpu"], together / took),
        }
        spent += took
        if start and spent > BUDGET:  # the first call warms up
            break
    return best


def encode(model: Any) -> dict[str, Any]:
    """Pictures and texts a second: one item a call, and in batches."""
    texts = [f"{caption} {i}" for i in range(TEXTS // len(CAPTIONS)) for caption in CAPTIONS]
    squares = pictures()
    return {
        "pictures alone": rate(lambda some: model.encode_image(some[0]), squares, 1),
        "pictures in batches": rate(lambda some: model.encode_image(list(some)), squares, PICTURES),
        "texts alone": rate(lambda some: model.encode_text(some[0]), texts, 1),
        "texts in batches": rate(lambda some: model.encode_text(list(some), batch_size=BATCH), texts, BATCH),
    }


def search(model: Any) -> dict[str, Any]:
    """What answering queries needs: one query is encoded, then the memory in use is read."""
    import gc

    import psutil

    model.encode_text(CAPTIONS[0])
    gc.collect()
    return {"resident MB": psutil.Process().memory_info().rss / 1e6}


def convert(spec: str, out: Path, weights: str, threads: int) -> dict[str, Any]:
    from araclip import model_folder
    from araclip.peers.pull import make_model_folder

    make_model_folder(spec, out, weights=weights, threads=threads, log=lambda line: print(line, file=sys.stderr))
    config = model_folder.read_config(out)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    return {"MB on disk": size, "weights": config.weights, "measured": config.measured}


def run_step(arguments: argparse.Namespace) -> dict[str, Any]:
    """One step, in this process."""
    step, name, work = arguments.step, arguments.models[0], arguments.work
    folder, out = work / name, work / f"{name}-pulled"
    if step == "write":
        from published_checkpoints import write  # here: of PyTorch, ours must not have a trace in memory

        write(name, folder)
        return {"MB": sum(file.stat().st_size for file in folder.iterdir()) / 1e6}
    spec = folder.with_name(f"{name}.spec").read_text()
    if step == "convert":
        return convert(spec, out, arguments.weights, arguments.threads)
    from araclip import AraCLIP

    whose, _, what = step.partition(" ")
    model = AraCLIP.load(str(out) if whose == "ours" else spec, threads=arguments.threads)
    if whose == "theirs":
        import torch

        torch.set_num_threads(arguments.threads)
    return encode(model) if what == "encode" else search(model)


def in_process(arguments: argparse.Namespace, step: str, name: str) -> dict[str, Any]:
    """A step in a process of its own: what it found, its seconds and its peak memory."""
    command = [
        sys.executable, __file__, "--work", str(arguments.work), "--models", name, "--weights", arguments.weights,
        "--threads", str(arguments.threads), "--step", step,
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {
        "OMP_NUM_THREADS": str(arguments.threads), "HF_HUB_OFFLINE": "1"
    })  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - start}


def better(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """The higher of each rate of two measurements."""
    return {
        name: {k: max(one[name][k], two[name][k]) for k in one[name]}
        for name in one
        if "alone" in name or "in b" in name
    }


def report(arguments: argparse.Namespace, name: str) -> None:
    in_process(arguments, "write", name)
    made = in_process(arguments, "convert", name)
    rounds = [
        {whose: in_process(arguments, f"{whose} encode", name) for whose in ("theirs", "ours")}
        for _ in range(arguments.rounds)
    ]
    theirs, ours = (better(rounds[0][whose], rounds[-1][whose]) for whose in ("theirs", "ours"))
    memory = {whose: in_process(arguments, f"{whose} search", name)["resident MB"] for whose in ("theirs", "ours")}
    print(
        f"\n{name}: {made['weights']}, {made['MB on disk']:.0f} MB on disk; made in {made['seconds']:.0f} s "
        f"({made['cpu seconds']:.0f} s of the processor), peak {made['peak MB']:.0f} MB; load {os.getloadavg()[0]:.1f}"
    )
    for what in ours:
        a, b = ours[what], theirs[what]
        print(
            f"  {what:20} ours {a['wall']:8.2f}/s  theirs {b['wall']:8.2f}/s  ratio {a['wall'] / b['wall']:5.2f}   "
            f"of the processor: {a['cpu']:8.2f}  {b['cpu']:8.2f}  ratio {a['cpu'] / b['cpu']:5.2f}"
        )
    print(
        f"  a query {1e3 / ours['texts alone']['wall']:.1f} ms (processor {1e3 / ours['texts alone']['cpu']:.1f}); "
        f"resident at search {memory['ours']:.0f} MB, theirs {memory['theirs']:.0f} MB, "
        f"ratio {memory['ours'] / memory['theirs']:.2f}; peak while encoding "
        + ", ".join(f"{whose} {max(r[whose]['peak MB'] for r in rounds):.0f} MB" for whose in ("ours", "theirs"))
    )
    one, many = (
        ours["texts in batches"]["cpu"] / theirs["texts alone"]["cpu"],
        max(ours["pictures alone"]["cpu"], ours["pictures in batches"]["cpu"]),
    )
    print(
        f"  of the processor, our best against theirs: pictures {many / theirs['pictures in batches']['cpu']:.2f} × "
        f"their batches, {many / theirs['pictures alone']['cpu']:.2f} × one a call; texts {one:.2f} × one a call",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        start = time.process_time()
        found = run_step(arguments)
        found |= {"cpu seconds": time.process_time() - start}
        found |= {"peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}
        print(json.dumps(found))
        return
    print(f"{platform.machine()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    for name in arguments.models:
        report(arguments, name)


if __name__ == "__main__":
    main()
