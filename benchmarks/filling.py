"""How many pictures a second `araclip index --from` takes from shards into a gallery, and where the time goes.

    python benchmarks/filling.py --work FOLDER [--pictures 200000] [--elsewhere] [--profile]

Shards of made-up pictures (random unit vectors, names of a camera's files in folders by month, a third with date and
camera) are written once; their folders exist, or, with --elsewhere, do not, so that names go into metadata. They are
then read into a new gallery of araclip-mini. Rows are searchable when committed, with their words; the index follows.
The rates are by the clock; the processor's time and the load of the machine stand beside them.
"""

import argparse
import cProfile
import hashlib
import itertools
import os
import pstats
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from araclip.bulk.ingest import fill, shards_in
from araclip.bulk.plan import Plan
from araclip.bulk.shard_file import ROW_GROUP, ShardRow, ShardWriter
from araclip.gallery.catalog.records import File, RecordedModel
from araclip.gallery.gallery import Gallery
from araclip.models.encoder import as_encoder
from araclip.pictures.facts import Facts

A_SHARD = 49_152  # three commits


def random_vectors(pictures: int, width: int) -> Iterator[np.ndarray]:
    """Unit vectors in blocks of a shard."""
    rng = np.random.default_rng(0)
    for start in range(0, pictures, A_SHARD):
        vectors = rng.standard_normal((min(A_SHARD, pictures - start), width), np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_shards(out: Path, blocks: Iterable[np.ndarray], shards: int, model: RecordedModel, home: Path) -> None:
    """Shards of made-up pictures, one of each block of vectors, as `araclip embed` would have written them."""
    plan = Plan("made-up", "ba9876543210", model, shards)
    first = 0
    for shard, vectors in enumerate(blocks):
        writer = ShardWriter(out / plan.file_name(shard), plan, shard)
        for start in range(0, len(vectors), ROW_GROUP):
            some = enumerate(vectors[start : start + ROW_GROUP], first + start)
            writer.write([_row(number, vector, home) for number, vector in some])
        writer.close(0)
        first += len(vectors)


def digest_of(number: int) -> bytes:
    """The hash that stands for the bytes of a made-up picture."""
    return hashlib.sha256(str(number).encode()).digest()


def _row(number: int, vector: np.ndarray, home: Path) -> ShardRow:
    date = f"20{number % 25:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T12:00:00" if number % 3 == 0 else None
    facts = Facts("JPEG", 4000, 3000, date, "", "Canon EOS R5" if date else None)
    path = f"{home}/20{number % 25:02}/{number % 12 + 1:02}/IMG_{number:08}.jpg"
    digest = digest_of(number)
    return ShardRow(
        File(path, 2_000_000 + number, number), digest, vector, facts, int.from_bytes(digest[:8]), has_file=True
    )


def main() -> None:
    """Write shards unless they are there, fill a gallery, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--elsewhere", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    where = "elsewhere" if options.elsewhere else "here"
    encoder = as_encoder("araclip-mini")
    home, gallery = options.work / f"pictures-{where}", options.work / "gallery"
    out = options.work / f"shards-{options.pictures}-{encoder.fingerprint}-{where}"
    if not out.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        model = RecordedModel(encoder.name, encoder.fingerprint, encoder.width)
        blocks = random_vectors(options.pictures, encoder.width)
        write_shards(out, blocks, -(-options.pictures // A_SHARD), model, home)
        for year, month in itertools.product(range(25), range(12) if not options.elsewhere else ()):
            (home / f"20{year:02}" / f"{month + 1:02}").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(gallery, ignore_errors=True)
    shards = shards_in(out)
    with Gallery.open(gallery, model=encoder, create=True) as opened:
        profile = cProfile.Profile()
        if options.profile:
            profile.enable()
        begin, used = time.perf_counter(), os.times()
        report = fill(opened, shards)
        clock = time.perf_counter() - begin
        profile.disable()
        count, ended = report.read, os.times()
        own = ended.user + ended.system - used.user - used.system
        others = ended.children_user + ended.children_system - used.children_user - used.children_system
        print(
            f"{count:,} pictures, {encoder.width} numbers each; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        for name, seconds in (("rows and their words", report.row_seconds), ("index", report.index_seconds)):
            print(f"{name:<22} {count / seconds:>9,.0f} a second")
        print(f"{'all together':<22} {count / clock:>9,.0f} a second")
        here, there = (seconds / count * 1e6 for seconds in (own, others))
        print(f"processor time of a picture: {here:.0f} µs here, {there:.0f} in other processes")
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(20)
        damages = opened._catalog.find_damage()
        print(f"damages found: {len(damages)}")


if __name__ == "__main__":
    main()
