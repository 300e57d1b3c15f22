"""How many pictures a second `araclip embed` turns into shards, and `araclip index --from` takes from shards.

    python benchmarks/bulk.py embed --work FOLDER [--pictures 3600] [--model araclip-mini]
    python benchmarks/bulk.py fill --work FOLDER [--pictures 200000] [--elsewhere]

`embed` makes photographs of noise (JPEG, 1024 × 768), embeds a third of them and all of them with Ray on this machine,
after a run that has started Ray, and encodes all in this process with one thread (`AraCLIP.encode_image`, which decodes
too: the encoder alone). Two runs tell the time that every run takes (processes that load the model) from the rate. Time
of the processor counts all processes, Ray's own too; other work on the machine changes it less than the clock.

`fill` writes shards of made-up pictures (random unit vectors, names of a camera's files in folders by month, a third
with date and camera); their folders exist, or, with --elsewhere, do not, so that names go into metadata. They are read
into a new gallery. Rows are searchable when committed, with their words; the index follows.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from araclip.bulk.ingest import fill
from araclip.bulk.shard_file import write_options
from araclip.gallery.catalog.records import RecordedModel, identity_of
from araclip.gallery.gallery import Gallery
from araclip.models.encoder import as_encoder

SHARD_ROWS = 4096  # pictures of a made-up shard, as many as `araclip embed` writes


def make_photographs(home: Path, pictures: int) -> list[Path]:
    """Photographs of noise over soft patches, each of other bytes."""
    draw, made = np.random.default_rng(0), [home / f"{number:06}.jpg" for number in range(pictures)]
    home.mkdir(parents=True, exist_ok=True)
    for path in made:
        patches = Image.fromarray(draw.integers(0, 255, (12, 16, 3), np.uint8))
        soft = np.asarray(patches.resize((1024, 768), Image.Resampling.BICUBIC), np.int16)
        Image.fromarray((soft + draw.integers(-12, 12, soft.shape)).clip(0, 255).astype(np.uint8)).save(
            path, quality=85
        )
    return made


class CoreTime:
    """Seconds of the processor that this process and all below it have taken, those that ended included.

    A thread looks five times a second: Ray does not wait for its workers, so the system forgets theirs when they end.
    """

    def __init__(self) -> None:
        self._taken: dict[int, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.look()
            time.sleep(0.2)

    def look(self) -> float:
        """Look now, and return the seconds until now."""
        me = psutil.Process()
        for each in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._taken[each.pid] = sum(each.cpu_times()[:2])
        return sum(self._taken.values())


def measure_embedding(work: Path, pictures: int, model: str) -> dict[str, float]:
    """Pictures a second, by the clock and of a core, of the encoder alone and with Ray; seconds of any run with Ray."""
    from araclip.bulk.embed import embed  # needs Ray, which `fill` does not

    few, many = make_photographs(work / "few", pictures // 3), make_photographs(work / "many", pictures)
    encoder, taken = as_encoder(model, threads=1), CoreTime()
    encoder.encode_image(many[:16])
    times = {}
    for name, source in (("start", few[0]), ("few", work / "few"), ("many", work / "many"), ("alone", many)):
        shutil.rmtree(work / "out", ignore_errors=True)
        clock, cores = time.perf_counter(), taken.look()
        if isinstance(source, Path):
            embed(source, work / "out", model=model)
        else:
            encoder.encode_image(source)
        times[name] = np.array([time.perf_counter() - clock, taken.look() - cores])
    rate = (times["many"] - times["few"]) / (len(many) - len(few))  # seconds of each further picture
    return {
        "encoder alone, one thread, pictures a second": pictures / times["alone"][0],
        "with Ray, all cores, once it runs": 1 / rate[0],
        "with Ray, all cores, the whole run": pictures / times["many"][0],
        "encoder alone, ms of a core for a picture": times["alone"][1] / pictures * 1e3,
        "with Ray, ms of a core for a further picture": rate[1] * 1e3,
        "with Ray, seconds before and after": times["many"][0] - pictures * rate[0],
        "with Ray, seconds of a first run": times["start"][0],
    }


def random_vectors(pictures: int, width: int) -> Iterator[np.ndarray]:
    """Unit vectors in blocks of a shard."""
    rng = np.random.default_rng(0)
    for start in range(0, pictures, SHARD_ROWS):
        vectors = rng.standard_normal((min(SHARD_ROWS, pictures - start), width), np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_shards(out: Path, blocks: Iterable[np.ndarray], model: RecordedModel, home: Path) -> None:
    """Shards of made-up pictures, one of each block of vectors, as `araclip embed` would have written them."""
    options, first = write_options(model), 0
    out.mkdir(parents=True, exist_ok=True)
    schema = options.pop("schema")
    for shard, vectors in enumerate(blocks):
        rows = [_row(first + each, home) | {"vector": vector} for each, vector in enumerate(vectors.astype(np.float16))]
        parquet.write_table(pa.Table.from_pylist(rows, schema), out / f"{shard:05}.parquet", **options)
        first += len(vectors)


def digest_of(number: int) -> bytes:
    """The hash that stands for the bytes of a made-up picture."""
    return hashlib.sha256(str(number).encode()).digest()


def _row(number: int, home: Path) -> dict[str, object]:
    date = f"20{number % 25:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T12:00:00" if number % 3 == 0 else None
    digest, camera = digest_of(number), "Canon EOS R5" if date else None
    path = f"{home}/20{number % 25:02}/{number % 12 + 1:02}/IMG_{number:08}.jpg"
    return {
        "id": identity_of(digest), "path": path, "sha256": digest, "phash": int.from_bytes(digest[:8]),
        "size": 2_000_000 + number, "mtime_ns": number, "has_file": True, "format": "JPEG", "width": 4000,
        "height": 3000, "captured_at": date, "camera": camera, "caption": "",
    }  # fmt: skip


def measure_filling(work: Path, pictures: int, model: str, *, elsewhere: bool) -> dict[str, float]:
    """Pictures a second that come into a new gallery."""
    encoder = as_encoder(model)
    home, out = work / ("elsewhere" if elsewhere else "here"), work / "shards"
    for made in (out, work / "gallery", home):
        shutil.rmtree(made, ignore_errors=True)
    write_shards(out, random_vectors(pictures, encoder.width), RecordedModel.of(encoder), home)
    for year, month in itertools.product(range(25), range(12) if not elsewhere else ()):
        (home / f"20{year:02}" / f"{month + 1:02}").mkdir(parents=True)
    with Gallery.open(work / "gallery", model=encoder, create=True) as gallery:
        begin = time.perf_counter()
        report = fill(gallery, out)
        whole = report.read / (time.perf_counter() - begin)
        assert gallery._catalog.find_damage() == []
    return {"rows and their words": report.read / report.row_seconds, "all together": whole}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("embed", "fill"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--model", default="araclip-mini")
    parser.add_argument("--elsewhere", action="store_true")
    options = parser.parse_args()
    if options.what == "embed":
        found = measure_embedding(options.work, options.pictures or 3600, options.model)
    else:
        pictures = options.pictures or 200_000
        found = measure_filling(options.work, pictures, options.model, elsewhere=options.elsewhere)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, value in found.items():
        print(f"{name:<46} {value:>9,.1f}")


if __name__ == "__main__":
    main()
