"""Published models of real size, pulled and searched with, against their own code in the same run. Weights are random.

    python benchmarks/published.py --work FOLDER [--models araclip-published siglip2-b16-256 …] [--threads 1] [--tiny]
                                                                                                      (extra peers)

Every step runs in a process of its own, whose peak memory is read at its end. For speeds, ours and theirs take turns in
one process (--rounds), and the best counts. Theirs: the model's own library in float32 with its own preprocessing, one
item a call (as AraCLIP's published code does it) and in batches. Seconds are both on the clock and of the processor:
where other programs run, only the second can be compared. Random weights have no outliers, so cosines say nothing about
the published ones, which are checked when they are pulled. With --tiny, the same steps on checkpoints of one layer, in
minutes: whether all of it works here, before hours of the real sizes. What has been written and made lies in FOLDER; a
run that was stopped goes on with the models that are not there yet.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("araclip-published", "siglip2-b16-256", "nllb-siglip-base", "m-clip-b32", "altclip")
PICTURES, TEXTS, BATCH = 2, 32, 32  # pictures and texts in a batch; different texts
CAPTIONS = ("قطة سوداء تنام على طاولة قرب النافذة", "رجل يركب دراجة في الشارع", "أطفال يلعبون كرة القدم على العشب",
            "غروب الشمس فوق البحر")  # fmt: skip


def pictures() -> list[Any]:
    """Smooth coloured fields of 500 × 375 pixels."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    fields = [Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in range(PICTURES)]
    return [field.resize((500, 375), Image.Resampling.BICUBIC) for field in fields]


def duel(theirs: Any, ours: Any, rounds: int) -> dict[str, Any]:
    """Items a second on the clock and of the processor, the best of several rounds in which both take turns."""
    texts = [f"{caption} {i}" for i in range(BATCH // len(CAPTIONS)) for caption in CAPTIONS]
    squares = pictures()
    jobs: dict[str, tuple[int, Callable[[Any], object]]] = {
        "pictures alone": (1, lambda model: model.encode_image(squares[0])),
        "pictures in batches": (PICTURES, lambda model: model.encode_image(squares)),
        "texts alone": (8, lambda model: [model.encode_text(text) for text in texts[:8]]),
        "texts in batches": (BATCH, lambda model: model.encode_text(texts, batch_size=BATCH)),
    }
    for model in (theirs, ours):  # warm; ours opens its graphs
        model.encode_image(squares[0]), model.encode_text(texts[0])
    found: dict[str, Any] = {"theirs": {}, "ours": {}}
    for what, (count, job) in jobs.items():
        for _ in range(rounds):
            for whose, model in (("theirs", theirs), ("ours", ours)):
                wall, cpu = time.perf_counter(), time.process_time()
                job(model)
                rates = {"cpu": count / (time.process_time() - cpu), "wall": count / (time.perf_counter() - wall)}
                best = found[whose].setdefault(what, rates)
                found[whose][what] = {clock: max(best[clock], rates[clock]) for clock in rates}
    return found


def encode(model: Any) -> dict[str, Any]:
    """A batch of pictures and one of texts, for the peak memory."""
    model.encode_image(pictures())
    model.encode_text([f"{caption} {i}" for i in range(BATCH // len(CAPTIONS)) for caption in CAPTIONS])
    return {}


def search(model: Any) -> dict[str, Any]:
    """What answering queries needs: one query is encoded, then the memory in use is read."""
    import gc

    import psutil

    model.encode_text(CAPTIONS[0])
    gc.collect()
    return {"resident MB": psutil.Process().memory_info().rss / 1e6}


def convert(spec: str, out: Path, weights: str, threads: int) -> dict[str, Any]:
    from araclip.models import folder as model_folder
    from araclip.peers.conversion import make_model_folder

    make_model_folder(spec, out, weights=weights, threads=threads, log=lambda line: print(line, file=sys.stderr))
    config = model_folder.read_config(out)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    return {"MB on disk": size, "weights": config.weights, "measured": config.measured}


def run_step(arguments: argparse.Namespace) -> dict[str, Any]:
    """One step, in this process."""
    step, name, work = arguments.step, arguments.models[0], arguments.work
    folder, out = work / name, work / f"{name}-pulled"
    if arguments.tiny and not step.startswith("ours"):
        import published_checkpoints

        published_checkpoints.shrink()
    if step == "write":
        from published_checkpoints import write  # here: of PyTorch, ours must not have a trace in memory

        write(name, folder)
        return {"MB": sum(file.stat().st_size for file in folder.iterdir()) / 1e6}
    spec = folder.with_name(f"{name}.spec").read_text()
    if step == "convert":
        return convert(spec, out, arguments.weights, arguments.threads)
    from araclip import AraCLIP

    whose, _, what = step.partition(" ")
    if whose != "ours":
        import torch

        torch.set_num_threads(arguments.threads)
    models = {"theirs": spec, "ours": str(out)}
    loaded = {name: AraCLIP.load(models[name], threads=arguments.threads) for name in models if whose in (name, "both")}
    if whose == "both":
        return duel(loaded["theirs"], loaded["ours"], arguments.rounds)
    return encode(loaded[whose]) if what == "encode" else search(loaded[whose])


def in_process(arguments: argparse.Namespace, step: str, name: str) -> dict[str, Any]:
    """A step in a process of its own: what it found, its seconds and its peak memory."""
    command = [
        sys.executable, __file__, "--work", str(arguments.work), "--models", name, "--weights", arguments.weights,
        "--threads", str(arguments.threads), "--rounds", str(arguments.rounds), "--step", step,
        *(["--tiny"] if arguments.tiny else []),
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {
        "OMP_NUM_THREADS": str(arguments.threads), "HF_HUB_OFFLINE": "1"
    })  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - start}


def report(arguments: argparse.Namespace, name: str) -> None:
    in_process(arguments, "write", name)
    made = in_process(arguments, "convert", name)
    both = in_process(arguments, "both encode", name)
    ours, theirs = both["ours"], both["theirs"]
    peak = {whose: in_process(arguments, f"{whose} encode", name)["peak MB"] for whose in ("theirs", "ours")}
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
        f"ratio {memory['ours'] / memory['theirs']:.2f}; peak while encoding {peak['ours']:.0f} MB, theirs "
        f"{peak['theirs']:.0f} MB"
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
    parser.add_argument("--weights", default="smooth-int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="checkpoints of one layer: whether every step works")
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
