"""Indexing against its ceiling, the speed of the encoder alone, and against other libraries with the same towers.

    python benchmarks/indexing.py [--pictures 400] [--large 48] [--published 32] [--rounds 3] [--model NAME …]

Pictures: random crops of the photographs in the scikit-image wheel (extra benchmark). The ceiling is `encode_pixels`
on squares made before, in the batches that indexing uses. End to end: `Gallery.update` on a new gallery, files to
commits, but for the reference queries, which the first update of a gallery encodes once, whatever its size; their
time is printed. All else that indexing does is measured by its processor time, with an encoder that costs nothing: it
gives the share of the ceiling that is left where no core is ever idle. "One by one" opens, decodes in full and
encodes a picture at a time, as the published AraCLIP code does it. All ways take turns, those of several models too;
each counts with its median.

--published adds ViT-B/32 and ViT-B/16 at 224 pixels with random weights (extra peers), pulled into model folders;
beside them the same checkpoint in transformers (plain PyTorch, one by one and in batches), sentence-transformers, and
the architecture in open_clip; all float32, with as many threads. 0 leaves out what it counts.

    python benchmarks/indexing.py --memory FOLDER [--model NAME]

Instead: peak memory of indexing a folder of photographs, in this process. The goal is 1.5 times the weights and 500 MB.
Run it once for each model: a process keeps its peak.
"""

import argparse
import copy
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from araclip import AraCLIP, Gallery
from araclip.gallery.ingest.intake import ENCODE_BATCH
from araclip.gallery.reference_queries import reference_vectors
from araclip.models.encoder_base import usable_cores
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import open_with_facts

MINI = "araclip-mini"
VITS = {"ViT-B-32": 32, "ViT-B-16": 16}  # patch sizes
Job = Callable[[], object]  # what returns a float has measured its own seconds


PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
)
SMALL, LARGE = (500, 375), (4000, 3000)  # a photograph of the web; one of twelve megapixels, as phones make them


def write_photographs(folder: Path, count: int, size: tuple[int, int] = SMALL) -> Path:
    """Write so many JPEGs (quality 90); returns the folder. Large ones have noise, as from a sensor."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sources = [Image.open(str(files("skimage") / "data" / name)).convert("RGB") for name in PHOTOGRAPHS]
    for i in range(count):
        source = sources[i % len(sources)]
        scale = rng.uniform(0.5, 0.95)
        w, h = int(source.width * scale), int(source.height * scale)
        x, y = int(rng.integers(source.width - w)), int(rng.integers(source.height - h))
        made = source.crop((x, y, x + w, y + h)).resize(size)
        if size == LARGE:
            noise = rng.integers(-8, 9, (size[1], size[0], 1), np.int16)
            made = Image.fromarray((np.asarray(made) + noise).clip(0, 255).astype(np.uint8))
        made.save(folder / f"{i:05}.jpg", quality=90)
    return folder


def seconds_of(job: Job) -> float:
    """How long a job takes, by its own measure where it has one."""
    start = time.perf_counter()
    took = job()
    return took if isinstance(took, float) else time.perf_counter() - start


def rates(jobs: dict[str, tuple[int, Job]], rounds: int) -> dict[str, float]:
    """Pictures a second of each job, which comes with their number: medians of rounds in which the jobs take turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (_, job) in jobs.items():
            times[name].append(seconds_of(job))
    return {name: count / statistics.median(times[name]) for name, (count, _) in jobs.items()}


def ways(model: AraCLIP, pictures: list[Path], work: Path, few: int) -> dict[str, tuple[int, Job]]:
    """The ceiling, indexing end to end, and one by one on the first `few`."""
    transform = transform_of(model)
    squares = []
    for path in pictures:
        with open_with_facts(path, transform.size, distort=transform.distorts) as (image, _):
            squares.append(transform.pixels(image))
    model.encode_pixels(np.stack(squares[:1]))  # opening the graph belongs to a cold start
    model.encode_text("قطة")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        reference_vectors(Path(folder), model)
    print(f"(reference queries, once a gallery: {time.perf_counter() - start:.2f} s)", flush=True)

    def ceiling() -> None:
        for start in range(0, len(squares), ENCODE_BATCH):
            model.encode_pixels(np.stack(squares[start : start + ENCODE_BATCH]))

    def indexed(model: AraCLIP, clock: Callable[[], float]) -> float:
        with (
            tempfile.TemporaryDirectory(dir=work) as folder,
            Gallery.open(folder, model=model, create=True) as gallery,
        ):
            gallery.add([Image.new("RGB", (32, 32))])
            start = clock()
            assert gallery.update([pictures[0].parent]).added == len(pictures)
            return clock() - start

    costless = copy.copy(model)
    vector = model.encode_pixels(squares[0][None])
    costless.encode_pixels = lambda pixels: np.repeat(vector, len(pixels), 0)  # type: ignore[method-assign]

    def one_by_one() -> None:
        for path in pictures[:few]:
            model.encode_image([Image.open(path)])

    everything = len(pictures)
    return {
        "ceiling": (everything, ceiling),
        "end to end": (everything, lambda: indexed(model, time.perf_counter)),
        "beside": (everything, lambda: indexed(costless, time.process_time) / usable_cores()),
        "one by one": (few, one_by_one),
    }


def report(title: str, found: dict[str, float]) -> None:
    ours, most, beside = found["end to end"], found["ceiling"], found["beside"]
    print(f"{title}: end to end {ours:.1f} pictures/s, ceiling {most:.1f}: {ours / most:.0%} of it")
    cores = 1000 * usable_cores()
    print(
        f"    core-milliseconds a picture: encoder {cores / most:.1f}, all else {cores / beside:.1f}; with no core "
        f"ever idle {beside / (most + beside):.0%} of the ceiling",
        flush=True,
    )
    for name, rate in found.items():
        if name not in ("ceiling", "end to end", "beside"):
            print(f"    {name:34} {rate:7.1f} pictures/s   ours is {ours / rate:.2f} times as fast")


def small_and_large(work: Path, small: int, large: int, rounds: int = 3, models: Sequence[str] = (MINI,)) -> None:
    """Pictures of both sizes, with models that take turns."""
    loaded = [AraCLIP.load(name) for name in models]
    for count, size in ((small, SMALL), (large, LARGE)):
        if count:
            pictures = sorted(write_photographs(work / f"{size[0]}", count, size).iterdir())
            jobs = {
                f"{place} {way}": job
                for place, model in enumerate(loaded)
                for way, job in ways(model, pictures, work, max(count // 4, 1)).items()
            }
            found = rates(jobs, rounds)
            first = found["0 end to end"]
            for place, model in enumerate(loaded):
                its = {name: found[f"{place} {name}"] for name in ("ceiling", "end to end", "beside", "one by one")}
                report(f"{model.label}, {count} JPEGs of {size[0]}×{size[1]}", its)
                if place:
                    print(f"    {first / its['end to end']:.2f} times as many are indexed with {loaded[0].label}")


def published(name: str, patch: int, work: Path, count: int, rounds: int) -> None:
    """A ViT of published size, in ours and in the libraries that it comes from."""
    import open_clip
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

    from araclip.peers.conversion import make_model_folder

    torch.set_num_threads(usable_cores())
    torch.manual_seed(0)
    checkpoint, folder = work / name, work / f"{name}-pulled"
    config = CLIPConfig(vision_config={"patch_size": patch})
    CLIPModel(config).save_pretrained(checkpoint)
    CLIPProcessor(CLIPImageProcessor(), _tokenizer(CLIPTokenizerFast, work / f"{name}-words")).save_pretrained(
        checkpoint
    )
    make_model_folder(str(checkpoint), folder, weights="float32", languages=None)
    pictures = sorted(write_photographs(work / f"for-{name}", count).iterdir())
    plain, processor = CLIPModel.from_pretrained(checkpoint).eval(), CLIPImageProcessor.from_pretrained(checkpoint)
    other, _, preprocess = open_clip.create_model_and_transforms(name, load_weights=False)
    other.eval()
    sentences = SentenceTransformer(str(checkpoint), device="cpu")

    def images(paths: list[Path]) -> list[Image.Image]:
        return [Image.open(path).convert("RGB") for path in paths]

    def batches(encode: Callable[[list[Path]], Any], size: int) -> Job:
        @torch.inference_mode()
        def job() -> None:
            for start in range(0, len(pictures), size):
                encode(pictures[start : start + size])

        return job

    def in_transformers(paths: list[Path]) -> Any:
        return plain.get_image_features(**processor(images=images(paths), return_tensors="pt"))

    def in_open_clip(paths: list[Path]) -> Any:
        return other.encode_image(torch.stack([preprocess(image) for image in images(paths)]))

    jobs = ways(AraCLIP.load(str(folder)), pictures, work, count)
    jobs |= {
        "plain PyTorch, one by one": (count, batches(in_transformers, 1)),
        f"plain PyTorch, batches of {ENCODE_BATCH}": (count, batches(in_transformers, ENCODE_BATCH)),
        f"open_clip, batches of {ENCODE_BATCH}": (count, batches(in_open_clip, ENCODE_BATCH)),
        "sentence-transformers": (count, lambda: sentences.encode(images(pictures), batch_size=ENCODE_BATCH)),
    }
    report(f"{name}, random weights, {count} JPEGs of {SMALL[0]}×{SMALL[1]}", rates(jobs, rounds))


def _tokenizer(kind: Any, folder: Path) -> Any:
    """A tokenizer of single letters, which no picture asks for."""
    folder.mkdir()
    words = {
        letter + end: 2 * i + (end == "</w>")
        for i, letter in enumerate(map(chr, range(33, 127)))
        for end in ("", "</w>")
    }
    words |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return kind.from_pretrained(folder)


def memory(name: str, photographs: Path) -> None:
    """Index a folder into a temporary gallery; print the speed and the peak."""
    model = AraCLIP.load(name)
    weights = sum((model.folder / part).stat().st_size for part in model.config.files) / 1e6
    with tempfile.TemporaryDirectory() as folder, Gallery.open(folder, model=model, create=True) as gallery:
        begin, used = time.perf_counter(), time.process_time()
        added = gallery.update([photographs]).added
        took, used = time.perf_counter() - begin, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(
        f"{model.label}: {added} pictures, {added / took:.2f} a second, {used / max(added, 1):.3f} s of the CPU each; "
        f"peak {peak:.0f} MB, goal {1.5 * weights + 500:.0f} MB (weights {weights:.0f} MB)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--large", type=int, default=48)
    parser.add_argument("--published", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", action="append", help="a name or folder, araclip-mini by default; may be repeated")
    parser.add_argument("--memory", type=Path, metavar="FOLDER", help="a folder of photographs")
    given = parser.parse_args()
    if given.memory:
        memory((given.model or [MINI])[0], given.memory)
        return
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}, load {load:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        small_and_large(Path(scratch), given.pictures, given.large, given.rounds, given.model or (MINI,))
        for name, patch in VITS.items() if given.published else ():
            published(name, patch, Path(scratch), given.published, given.rounds)


if __name__ == "__main__":
    main()
