"""Model folders of strangers and damaged ones, each used by a process of its own: only errors of ours, in bounded time.

    PYTHONPATH=src python tests/trials/model_folders.py --cases 1000 --seed 7

Cases are the hostile folders of tests/support/hostile_folders.py and of SLOW below, then random changes: a field of
config.json or tokenizer.json is deleted or gets another value, or bytes of a part are flipped, cut, repeated or
replaced; hashes are made to fit. Each case loads the model and encodes texts and pictures. A case fails with anything
but a result or an error of ours in one line, with more than 5 s of the CPU or 1 GB of memory (children counted), or
when it is killed. Prints a table; Linux only.
"""

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
from onnx import helper

import hostile_folders as hostile
import tiny
from araclip import AraCLIP
from araclip.errors import AraCLIPError

CPU_SECONDS, MEMORY = 5.0, 1_000_000_000
LIMIT_SECONDS = 120  # on the clock, then the case is killed
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 0.5, 1e308, float("nan"), float("inf"), 1 << 31, 1 << 62, 10**30, "", "x", "\x00", "../x",
    "\u202e", "أ" * 300, "a" * 100_000, [], {}, [[]], {"a": {"b": [1]}}, [0] * 1000,
)  # fmt: skip


def squared(times: int) -> Callable[[Any], None]:
    """Outer products of the vectors: each node makes many times the numbers of the one before."""

    def edit(model: Any) -> None:
        nodes, last = [hostile.constant("row", [-1, 1]), hostile.constant("line", [1, -1])], "embedding0"
        for i in range(times):
            nodes += [
                helper.make_node("Reshape", [last, "row"], [f"a{i}"]),
                helper.make_node("Reshape", [last, "line"], [f"b{i}"]),
                helper.make_node("MatMul", [f"a{i}", f"b{i}"], [f"c{i}"]),
            ]
            last = f"c{i}"
        nodes += [
            helper.make_node("ReduceMax", [last], ["least"], keepdims=0),
            helper.make_node("Sub", ["least", "least"], ["zero"]),
            helper.make_node("Add", ["embedding0", "zero"], ["embedding"]),
        ]
        hostile.before_output(*nodes)(model)

    return edit


def busy(model: Any) -> None:
    """Two thousand products of 1,000 × 1,000 matrices."""
    nodes = [hostile.constant("size", [1000, 1000]), helper.make_node("ConstantOfShape", ["size"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(2000)]
    nodes += [
        helper.make_node("ReduceMax", ["m2000"], ["zero"], keepdims=0),
        helper.make_node("Add", ["embedding0", "zero"], ["embedding"]),
    ]
    hostile.before_output(*nodes)(model)


def long_words(raw: dict[str, Any]) -> None:
    """WordPiece that looks for pieces of words of any length: cubic."""
    vocabulary = raw["model"]["vocab"]
    raw["model"] = {
        "type": "WordPiece", "vocab": vocabulary, "unk_token": "<unk>", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 1 << 40,
    }  # fmt: skip


def many_layers(count: int) -> hostile.Change:
    """That many layers in either graph."""
    return hostile.raw_bytes("text.onnx", lambda data: hostile.nodes(count))


SLOW: dict[str, hostile.Change] = {
    "a million layers": many_layers(1_000_000),
    "outer products": hostile.graph("text.onnx", squared(3)),
    "outer products of pictures": hostile.graph("image.onnx", squared(3)),
    "two thousand matrix products": hostile.graph("text.onnx", busy),
    "words of any length": hostile.tokenizer(long_words),
    "an expression that replaces nothing by much": hostile.tokenizer(hostile.growing("x" * 60, 1, {"Regex": ""})),
    "an expression in square time": hostile.tokenizer(hostile.split("a+b+c+$")),
    "a text that grows 64 times": hostile.tokenizer(hostile.growing("aa", 6, {"String": "a"})),
    "a text that grows a thousandfold": hostile.tokenizer(hostile.growing("aa", 10, {"String": "a"})),
    "a text that grows by expressions": hostile.tokenizer(hostile.growing("aaa", 3, {"Regex": "a"})),
    "a template of 100,000 parts": hostile.tokenizer(
        lambda raw: raw["post_processor"].update(single=[{"Sequence": {"id": "A", "type_id": 0}}] * 100_000)
    ),
    "64 MB of zeros as tokenizer": hostile.sparse("tokenizer.json", 64_000_000),
    "1 GB of zeros as picture tower": hostile.sparse("image.onnx", 1_000_000_000),
    "millions of numbers as tokenizer": hostile.raw_bytes(
        "tokenizer.json", lambda data: b'{"0":1' + b',"1":1' * 9_000_000
    ),
    "numbers of 10^300": hostile.graph("text.onnx", hostile.weights(1e38)),
}


def changed_value(value: Any, rng: random.Random) -> Any:
    """The same JSON with one thing of it deleted, doubled or replaced."""
    steps, inside = [], value
    while isinstance(inside, dict | list) and inside and (not steps or rng.random() < 0.75):
        key = rng.choice(list(inside)[:50]) if isinstance(inside, dict) else rng.randrange(len(inside))
        steps.append((inside, key))
        inside = inside[key]
    above, key = steps[-1]
    kind = rng.random()
    if kind < 0.2:
        del above[key]
    elif kind < 0.3 and isinstance(above, dict):
        above[f"{key}2"] = above[key]
    else:
        above[key] = rng.choice(VALUES)
    return value


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flipped bits, a part cut out, repeated or overwritten, or an end that is missing; also several of these."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, length = rng.randrange(len(changed)), rng.choice((1, 4, 30, 1000))
        kind = rng.randrange(6)
        if kind < 2:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + length] = rng.randbytes(length)
        else:
            del changed[at:]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def random_change(rng: random.Random) -> tuple[str, hostile.Change]:
    """A kind of damage, and the damage."""
    kind = rng.choice(("config.json: a field", "config.json: bytes", "tokenizer.json: a field", "tokenizer.json: bytes",
                       "text.onnx: bytes", "image.onnx: bytes"))  # fmt: skip
    part = kind.split(":")[0]
    if part == "config.json":

        def change(folder: Path) -> None:
            path = folder / part
            if kind.endswith("field"):
                path.write_text(json.dumps(changed_value(tiny.read_config(folder), rng)), encoding="utf-8")
            else:
                path.write_bytes(changed_bytes(path.read_bytes(), rng))

        return kind, change
    if kind.endswith("field"):
        return kind, hostile.tokenizer(lambda raw: changed_value(raw, rng))
    return kind, hostile.raw_bytes(part, lambda data: changed_bytes(data, rng))


def use(folder: Path) -> None:
    """Load the model and encode a text and a picture; the process ends with 0, or with 3 after an error of ours."""
    try:
        model = AraCLIP.load(folder, threads=1)
        model.encode_text(["قطة على طاولة", "a dog"])
        model.encode_pixels(np.zeros((2, model.image_size, model.image_size, 3), np.uint8))
    except AraCLIPError as error:
        line = str(error)
        os.write(1, f"{type(error).__name__}: {line}\n".encode(errors="backslashreplace"))
        os._exit(3 if line.isprintable() and len(line) < 2000 else 4)
    os._exit(0)


def run(folder: Path) -> tuple[str, float, int, str]:
    """How a case ends, its seconds of the CPU, its memory in bytes, and what it said."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        os.dup2(write, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            use(folder)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(5)
    os.close(write)
    end, status, usage = time.monotonic() + LIMIT_SECONDS, None, None
    while status is None and time.monotonic() < end:
        found, code, usage = os.wait4(child, os.WNOHANG)
        status = code if found else None
        time.sleep(0 if found else 0.01)
    if status is None:
        os.kill(child, 9)
        _, _, usage = os.wait4(child, 0)
    said = os.read(read, 60_000).decode(errors="replace")
    os.close(read)
    seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    if status is None:
        ended = "no end"
    elif os.WIFSIGNALED(status):
        ended = f"killed by signal {os.WTERMSIG(status)}"
    else:
        ended = {0: "works", 3: "our error", 4: "our error, unreadable"}.get(os.WEXITSTATUS(status), "traceback")
    if ended in ("works", "our error") and (seconds > CPU_SECONDS or memory > MEMORY):
        ended = f"too much ({ended})"
    return ended, seconds, memory, said


def main() -> None:
    """Parse, try, print the table; ends with 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300, help="random ones, beside the named ones")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="run the cases whose name holds this text")
    arguments = parser.parse_args()
    named = {**{f"hostile: {name}": change for name, (change, _) in (hostile.JUDGED | hostile.TRIED).items()},
             **{f"hostile: {name}": change for name, change in SLOW.items()}}  # fmt: skip
    cases = list(named.items())
    cases += [random_change(random.Random(f"{arguments.seed} {i}")) for i in range(arguments.cases)]
    tally: Counter[tuple[str, str]] = Counter()
    most: dict[str, tuple[float, int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ARACLIP_CHECKED_MODELS"] = f"{scratch}/cache"
        whole = tiny.write_tiny_model(Path(scratch) / "whole")
        print(f"a whole folder, first time: {run(whole)[0]}, {run(whole)[1]:.1f} s the second time", flush=True)
        for number, (name, change) in enumerate(cases):
            if arguments.only not in name:
                continue
            folder = shutil.copytree(whole, Path(scratch) / "case")
            change(folder)
            ended, seconds, memory, said = run(folder)
            shutil.rmtree(folder)
            kind = name.split(":")[0] if name.startswith("hostile") else name
            tally[kind, ended] += 1
            worst = most.get(kind, (0.0, 0))
            most[kind] = (max(worst[0], seconds), max(worst[1], memory))
            if ended not in ("works", "our error") or arguments.only:
                print(f"{number}: {name}: {ended}, {seconds:.1f} s, {memory / 1e6:.0f} MB\n{said[-2000:]}", flush=True)
    print("| change | cases | works | error of ours | anything else | most CPU | most memory |")
    print("|---|---|---|---|---|---|---|")
    for kind, (seconds, memory) in most.items():
        count = sum(n for (k, _), n in tally.items() if k == kind)
        works, ours = tally[kind, "works"], tally[kind, "our error"]
        numbers = f"{count} | {works} | {ours} | {count - works - ours}"
        print(f"| {kind} | {numbers} | {seconds:.1f} s | {memory / 1e6:.0f} MB |")
    sys.exit(any(ended not in ("works", "our error") for _, ended in tally))


if __name__ == "__main__":
    main()
