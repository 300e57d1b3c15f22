"""Effect of `keep_freed_memory` (`araclip.core.libraries`) and of huge pages: time and page faults of a training step.

    python benchmarks/page_faults.py [--steps 5] [--rounds 3]

One step is forward and backward of EfficientNet-Lite2's shape (random weights, 32 pictures of 224 pixels, channels
last) and of a 12-layer, 384-wide text tower (64 texts of 17 tokens), the towers of araclip-mini. Each round runs every
way in a process of its own, one after the other, so that other load on the machine affects all of them. With huge pages
(`THP_MEM_ALLOC_ENABLE` of PyTorch, Linux) the processor translates addresses of 2 MB instead of 4 kB at a time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

WAYS = {"default": "plain", "freed memory kept": "kept", "kept, in huge pages": "huge"}


def measure(way: str, steps: int) -> dict[str, float]:
    """Median seconds a step, and page faults a step, of this process."""
    import timm
    import torch
    from transformers import BertConfig, BertModel

    if way != "plain":
        from araclip.core.libraries import keep_freed_memory

        assert keep_freed_memory(), "this C library has no mallopt"
    torch.set_num_threads(2)
    torch.manual_seed(0)
    cnn = timm.create_model("tf_efficientnet_lite2", num_classes=0).to(memory_format=torch.channels_last).eval()
    text = BertModel(
        BertConfig(vocab_size=1000, hidden_size=384, num_attention_heads=12, intermediate_size=1536),
        add_pooling_layer=False,
    )
    pixels = torch.randn(32, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    tokens = torch.randint(0, 1000, (64, 17))

    def step() -> None:
        (cnn(pixels).mean() + text(tokens).last_hidden_state.mean()).backward()

    step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"seconds": float(np.median(seconds)), "faults": faults / steps}


def main() -> None:
    """Print a line for each way, with its ratio to the default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=tuple(WAYS.values()), help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS.values()}
    for _ in range(args.rounds):
        for way in WAYS.values():
            command = [sys.executable, __file__, "--way", way, "--steps", str(args.steps)]
            environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": str(int(way == "huge"))}
            run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found[way].append(json.loads(run.stdout.splitlines()[-1]))
    for name, way in WAYS.items():
        seconds, faults = (np.median([one[key] for one in found[way]]) for key in ("seconds", "faults"))
        pairs = zip(found["plain"], found[way], strict=True)
        ratio = np.median([plain["seconds"] / one["seconds"] for plain, one in pairs])  # of the same round
        print(f"{name:20} {seconds:6.3f} s a step, {faults:9,.0f} page faults a step, {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
