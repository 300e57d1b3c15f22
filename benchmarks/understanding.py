"""What understanding a query's words gains and costs, kind by kind of `araclip evaluate --robustness`.

    python benchmarks/understanding.py --data FLICKR8K [--split dev|choice] [--every 1] [--kind NAME …]
        [--images VECTORS.npy]

Protocol: the first Arabic caption of every picture, rewritten in each way, over all pictures; R@10, any rank below 10;
losses in points against the same captions as written, encoded literally. The lexicon that rewrites is kept apart from
the one that queries are read with (docs/evaluation.md). `understood` is what a search does: the mean of all readings,
weighted by confidence. `--ways`: `alone` the likeliest reading, `mean` all readings alike, `maximum` the best cosine of
any. Times are those of reading alone, without the encoder, in processor time of one thread. `--split choice` are 600
pictures of train (sorted by name, every tenth), on which choices are made; `dev` is for what is reported.

    python benchmarks/understanding.py --dialects FILE [FILE …]

Instead: accuracy of the marker words of `evaluation.breakdown` on sentences of known dialect. Each FILE is a table
(.tsv, or .tsv.xz) with a header line, the Arabic text in column `ar` and, where there are several, the dialect in
column `dialect`. A file without that column is a single group.
"""

import argparse
import lzma
import time
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.breakdown import MARKERS, NO_MARKER, dialect_of
from araclip.evaluation.published_sets import load_dataset
from araclip.evaluation.rewriting import KINDS, kinds_by_name
from araclip.evaluation.robustness import UnderstoodEncoder, picture_vectors
from araclip.text.resources import default_interpreter


def dialects(files: list[Path]) -> None:
    """How many sentences of each dialect have the marker words of which."""
    counts_of: dict[str, Counter[str]] = defaultdict(Counter)
    for path in files:
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
            header = next(lines).rstrip("\n").split("\t")
            for line in lines:
                row = dict(zip(header, line.rstrip("\n").split("\t"), strict=False))
                counts_of[f"{path.name.partition('.')[0]} {row.get('dialect', '')}".strip()][dialect_of(row["ar"])] += 1
    columns = (*MARKERS, NO_MARKER)
    print(f"{'':28}{'sentences':>10}", *(f"{column:>24}" for column in columns))
    for group, counts in counts_of.items():
        total = counts.total()
        print(f"{group:28}{total:10,}", *(f"{counts[column] / total:24.1%}" for column in columns))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data")
parser.add_argument("--split", default="dev")
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--every", type=int, default=1, help="ask for every so many pictures only")
parser.add_argument("--kind", action="append", default=[])
parser.add_argument("--images", type=Path, help="the pictures' vectors, (N, D); made and kept there if missing")
parser.add_argument("--ways", action="store_true", help="also the other ways to combine readings")
parser.add_argument("--dialects", type=Path, nargs="+", metavar="FILE")
args = parser.parse_args()
if args.dialects:
    dialects(args.dialects)
    raise SystemExit

dataset = load_dataset(args.data, split="train" if args.split == "choice" else args.split)
queries, owner = dataset.queries("first")
if args.split == "choice":
    some = sorted(range(len(dataset.pictures)), key=lambda row: dataset.pictures[row].name)[::10][:600]
    place = {row: number for number, row in enumerate(some)}
    asked = [number for number in np.argsort(owner, kind="stable").tolist() if owner[number] in place]
    asked.sort(key=lambda number: place[owner[number]])
    queries, owner = [queries[number] for number in asked], np.array([place[owner[number]] for number in asked])
    chosen, captions = (tuple(each[row] for row in some) for each in (dataset.pictures, dataset.captions))
    dataset = replace(dataset, pictures=chosen, captions=captions)
model, reader = AraCLIP.load(args.model), default_interpreter()
if args.images and args.images.exists():
    pictures = np.load(args.images)
else:
    pictures = picture_vectors(model, dataset, model.label, None, None)
    if args.images:
        np.save(args.images, pictures)
asked = np.arange(0, len(queries), args.every)
queries, owner = [queries[row] for row in asked], owner[asked]
encode = UnderstoodEncoder(model, reader)
known: dict[str, NDArray[np.float32]] = {}


def literal(texts: list[str]) -> NDArray[np.float32]:
    """Vectors of texts, each text once."""
    new = list(dict.fromkeys(text for text in texts if text not in known))
    known.update(zip(new, model.encode_text(new), strict=True))
    return np.stack([known[text] for text in texts])


encode._model = type("Cached", (), {"encode_text": staticmethod(literal)})()  # readings repeat from kind to kind


def recall(scores: NDArray[np.float32]) -> float:
    """R@10 in points of (Q, N) scores."""
    best = scores[np.arange(len(owner)), owner]
    return 100 * float(((scores > best[:, None]).sum(axis=1) < 10).mean())


def other_ways(texts: list[str]) -> list[float]:
    """R@10 of the likeliest reading alone, of the mean and of the maximum of all readings."""
    read = [reader.interpret(text).readings for text in texts]
    starts = np.cumsum([0, *map(len, read)])
    vectors = literal([reading.text for readings in read for reading in readings])
    means = np.stack([vectors[a:b].sum(axis=0) for a, b in pairwise(starts)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    scores = vectors @ pictures.T
    most = np.stack([scores[a:b].max(axis=0) for a, b in pairwise(starts)])
    return [recall(scores[starts[:-1]]), recall(means @ pictures.T), recall(most)]


clean = recall(literal(queries) @ pictures.T)
print(f"{len(queries)} captions over {len(pictures)} pictures, R@10 as written {clean:.1f}; loss in points of R@10")
print(f"{'kind':26}{'literal':>9}{'understood':>12}" + (f"{'alone':>7}{'mean':>7}{'maximum':>9}" if args.ways else ""))
times: list[float] = []
for kind in (None, *kinds_by_name(args.kind or [kind.name for kind in KINDS])):
    rewritten = [kind(text) for text in queries] if kind else queries
    for text in rewritten:
        began = time.thread_time()
        reader.interpret(text)
        times.append((time.thread_time() - began) * 1e3)
    losses = [clean - recall(literal(rewritten) @ pictures.T), clean - recall(encode(rewritten) @ pictures.T)]
    others = [clean - each for each in other_ways(rewritten)] if args.ways else []
    cells = f"{losses[0]:9.1f}{losses[1]:12.1f}" + "".join(
        f"{each:{w}.1f}" for each, w in zip(others, (7, 7, 9), strict=False)
    )
    print(f"{kind.name if kind else 'as written':26}{cells}", flush=True)
print(f"ms to read a text: median {np.median(times):.2f}, 95 % {np.percentile(times, 95):.2f}, most {max(times):.1f}")
print(f"readings encoded a text: {encode.readings / encode.texts:.2f}")
