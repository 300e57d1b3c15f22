"""What a million more pictures cost, measured at several sizes, the law in it, and what a billion would need.

    python benchmarks/scale.py measure --data FOLDER --work FOLDER --engine folder --pictures 10000 100000 1000000
    python benchmarks/scale.py law

Needs the extra `benchmark`. `measure` makes shards of made-up pictures (vectors of the bundled model made from real
ones, `made_vectors` of million.py), fills a gallery from them as `araclip index --from` does, opens it in a new
process and asks it 500 Arabic captions of the dev split by `search(…, literal=True, text_weight=0)`, so that
recall@10 is the index's own: against exact scores of the float16 vectors. Results are added to
benchmarks/scale.jsonl, one line a size and engine, a later one in place of an earlier one; --again asks a folder's
gallery that is there and fills none. Engines: `folder`; `postgres`, a private server on this machine
(tests/support/postgres_server.py) with 1 GB of shared buffers.

Processor time is what filling and building cost all processes, in core-seconds, so other work on the machine hardly
changes it; p50 and p99 are by the clock and want a quiet machine. `law` fits two shapes by least squares of relative
errors, `a + b n` for what is scanned or stored and `a + b ln n` for searches through a graph, and prints tables; a
law is printed with its largest error at the measured sizes, and all beyond these is extrapolated.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bulk import digest_of, write_shards
from million import BLOCK, made_vectors, memory, real_vectors, some_captions

from araclip import AraCLIP, open_gallery
from araclip.bulk.ingest import fill
from araclip.gallery.catalog.records import RecordedModel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
RESULTS = Path(__file__).with_name("scale.jsonl")
QUERIES, WANTED = 500, 10
ENGINES = ("folder", "postgres")


Line = dict[str, Any]
SIZES = (10**6, 10**7, 10**8, 10**9)
WANTED_MS = 300.0  # the median search that a scan gets cores for
LEAST, FEWEST = 10_000, 3  # pictures of a size that counts, and how many sizes make a law
GRAPH_FROM = 100_000  # pictures above which PostgreSQL answers from its graph

# On-demand list prices of AWS, Linux, us-east-1, in USD an hour, as collected by SkyPilot
# (github.com/skypilot-org/skypilot-catalog, catalogs/v8/aws/vms.csv, revision e385a0d); NVMe sizes: AWS' page of i7i.
HOURS = 730  # a month
CORE_HOUR = 0.384 / 8  # m6i.2xlarge, for embedding


@dataclass(frozen=True)
class Machine:
    """A machine that is let by the hour: vCPUs, memory in GB, NVMe in TB, USD an hour."""

    name: str
    cores: int
    memory: float
    disk: float
    price: float


MACHINES = (
    Machine("i7i.large", 2, 16, 0.468, 0.1888),
    Machine("i7i.2xlarge", 8, 64, 1.875, 0.755),
    Machine("i7i.4xlarge", 16, 128, 3.75, 1.5101),
    Machine("i7i.8xlarge", 32, 256, 7.5, 3.0202),
    Machine("i7i.12xlarge", 48, 384, 11.25, 4.5302),
    Machine("i7i.16xlarge", 64, 512, 15, 6.0403),
    Machine("i7i.24xlarge", 96, 768, 22.5, 9.0605),
    Machine("i7i.48xlarge", 192, 1536, 45, 18.121),
)


@dataclass(frozen=True)
class Law:
    """`constant + slope shape(n)`, and its largest relative error at the sizes it was fitted to."""

    constant: float
    slope: float
    logarithmic: bool
    error: float

    def __call__(self, pictures: float) -> float:
        return self.constant + self.slope * (math.log(pictures) if self.logarithmic else pictures)

    def __str__(self) -> str:
        slope, by = (self.slope, "ln n") if self.logarithmic else (self.slope * 1e6, "n in millions")
        return f"{self.constant:.3g} + {slope:.3g} × {by}"


def fitted(sizes: Sequence[float], values: Sequence[float], logarithmic: bool = False) -> Law:
    """The law through measured values, by least squares of relative errors.

    Raises:
        ValueError: fewer than two sizes.
    """
    n, y = np.array(sizes, float), np.array(values, float)
    if len(n) < 2:
        raise ValueError(f"a law needs two sizes or more, not {len(n)}")
    shape = np.log(n) if logarithmic else n
    columns = np.stack([np.ones_like(shape), shape], axis=1) / y[:, None]
    (constant, slope), *_ = np.linalg.lstsq(columns, np.ones_like(y), rcond=None)
    if constant < 0 and not logarithmic:
        constant, slope = 0.0, float((shape / y).sum() / ((shape / y) ** 2).sum())
    if slope < 0:  # noise where nothing grows
        constant, slope = 1 / float((1 / y).mean()), 0.0
    error = np.abs((constant + slope * shape) / y - 1).max()
    return Law(float(constant), float(slope), logarithmic, float(error))


def smallest(cores: float, memory: float, disk: float) -> Machine | None:
    """The cheapest machine with these cores, GB of memory and TB of disk."""
    return next((one for one in MACHINES if one.cores >= cores and one.memory >= memory and one.disk >= disk), None)


def print_law(lines: list[Line]) -> None:
    """Print what was measured, its laws, and the table of machines; the widest vectors of each engine count."""
    kept = {}
    for engine in ("folder", "postgres"):
        mine = [line for line in lines if line["engine"] == engine]
        width = max((line["width"] for line in mine), default=0)
        kept[engine] = [line for line in mine if line["width"] == width]
    _print_measured(line for mine in kept.values() for line in mine)
    fitting = {engine: [line for line in mine if line["pictures"] >= LEAST] for engine, mine in kept.items()}
    laws = {engine: _laws(engine, mine) for engine, mine in fitting.items() if len(mine) >= FEWEST}
    print("\n| engine | quantity | law, n pictures | largest error |\n|---|---|---|---|")
    for engine, mine in laws.items():
        for name, law in mine.items():
            print(f"| {engine} | {name} | {law} | {law.error:.0%} |")
    if "folder" in laws:
        _print_sizing(laws, kept["folder"])


def _print_measured(lines: Iterable[Line]) -> None:
    print("| engine | pictures | filling, core-s | disk MB | own MB | mapped MB | p50 ms | p99 ms | recall@10 | when |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        numbers = (line[name] for name in ("fill_core_s", "disk_mb", "own_mb", "mapped_mb", "p50_ms", "p99_ms"))
        cells = " | ".join(f"{number:,.1f}" if number < 100 else f"{number:,.0f}" for number in numbers)
        when = f"{line['model']}, {line['date']}, {line['load']}"
        print(f"| {line['engine']} | {line['pictures']:,} | {cells} | {line['recall']:.4f} | {when} |")


def _laws(engine: str, lines: list[Line]) -> dict[str, Law]:
    def law(value: Callable[[Line], float], over: int = 0, logarithmic: bool = False) -> Law:
        some = [line for line in lines if line["pictures"] > over]
        return fitted([line["pictures"] for line in some], [value(line) for line in some], logarithmic)

    found = {
        "filling, core-seconds": law(lambda line: line["fill_core_s"]),
        "disk, MB": law(lambda line: line["disk_mb"]),
    }
    if engine == "folder":
        found["memory, MB"] = law(lambda line: line["own_mb"] + line["mapped_mb"])
        found["search beyond encoding, core-ms"] = law(
            lambda line: (line["p50_ms"] - line["encode_ms"]) * line["cores"]
        )
    elif sum(line["pictures"] > GRAPH_FROM for line in lines) > 1:
        found["graph, MB"] = law(lambda line: line["graph_mb"], GRAPH_FROM)
        found["search beyond encoding, ms"] = law(lambda line: line["p50_ms"] - line["encode_ms"], GRAPH_FROM, True)
    return found


def _print_sizing(laws: dict[str, dict[str, Law]], folder: list[Line]) -> None:
    embed = float(np.median([line["embed_core_s"] for line in folder]))
    print("\n| pictures | embedding, once | a folder, one machine | PostgreSQL, one machine |\n|---|---|---|---|")
    for n in SIZES:
        hours = embed * n / 3600
        cells = [f"{hours:,.0f} core-hours, ${hours * CORE_HOUR:,.0f}", _folder_cell(laws["folder"], n)]
        cells.append(_postgres_cell(laws["postgres"], n) if "graph, MB" in laws.get("postgres", {}) else "–")
        print(f"| {n:,} | {' | '.join(cells)} |")


def _folder_cell(laws: dict[str, Law], n: int) -> str:
    work = laws["search beyond encoding, core-ms"](n)
    memory, disk = laws["memory, MB"](n) / 1e3, laws["disk, MB"](n) / 1e6
    machine = smallest(work / WANTED_MS, memory, disk)
    what = f"{memory:,.1f} GB, {disk:,.3g} TB, {work / 1e3:,.2g} core-s a search"
    return f"{what}: {_let(machine)}" + (f", {work / machine.cores:,.0f} ms" if machine else "")


def _postgres_cell(laws: dict[str, Law], n: int) -> str:
    memory, disk = laws["graph, MB"](n) / 1e3 * 1.1 + 4, laws["disk, MB"](n) / 1e6
    machine = smallest(2, memory, disk * 1.5)  # room for the log and for building the graph again
    what = f"graph {memory:,.0f} GB, {disk:,.3g} TB"
    return f"{what}: {_let(machine)}, {laws['search beyond encoding, ms'](n):,.0f} ms"


def _let(machine: Machine | None, count: int = 1) -> str:
    if machine is None:
        return "no such machine"
    return f"{f'{count} × ' if count > 1 else ''}{machine.name}, ${count * machine.price * HOURS:,.0f} a month"


def prepared(work: Path, real: np.ndarray, texts: np.ndarray, pictures: int, model: AraCLIP) -> Path:
    """Shards of so many pictures, and in truth.npy the (QUERIES, WANTED) numbers of the nearest to each text."""
    out = work / f"shards-{pictures}-{model.fingerprint}"
    if (out / "truth.npy").is_file():
        return out
    out.mkdir(parents=True, exist_ok=True)
    best = np.full((len(texts), WANTED), -np.inf, np.float32)
    rows = np.zeros((len(texts), WANTED), np.int64)

    def seen() -> Iterator[np.ndarray]:
        nonlocal best, rows
        for at, block in enumerate(made_vectors(real, pictures)):
            scores = texts @ block.T
            some = np.argpartition(-scores, WANTED, axis=1)[:, :WANTED]
            both = np.hstack([best, np.take_along_axis(scores, some, axis=1)])
            numbers = np.hstack([rows, some + at * BLOCK])
            keep = np.argsort(-both, axis=1)[:, :WANTED]
            best, rows = np.take_along_axis(both, keep, axis=1), np.take_along_axis(numbers, keep, axis=1)
            yield block

    record = RecordedModel(model.config.name, model.fingerprint, model.config.width)
    write_shards(out, seen(), record, work / "elsewhere")
    np.save(out / "truth.npy", rows)
    return out


def filled(shards: Path, location: str, model: AraCLIP) -> dict[str, float]:
    """Seconds by the clock, and of this process and those that it starts, to fill a gallery."""
    clock, used = time.perf_counter(), time.process_time() + children_s()
    with open_gallery(location, model=model, create=True) as gallery:
        report = fill(gallery, shards)
    return {
        "fill_s": time.perf_counter() - clock, "fill_core_s": time.process_time() + children_s() - used,
        "rows_s": report.row_seconds,
    }  # fmt: skip


def asked(location: str, shards: Path, captions: list[str]) -> dict[str, float]:
    """Recall, times and memory of a gallery's searches, in this process."""
    own, mapped = memory()
    begun = time.perf_counter()
    with open_gallery(location) as gallery:
        gallery.search(captions[-1], WANTED)
        first = time.perf_counter() - begun
        truth = np.load(shards / "truth.npy")
        times, shares, encoding = [], [], []
        for caption, right in zip(captions, truth, strict=True):
            begun = time.perf_counter()
            hits = gallery.search(caption, WANTED, literal=True, text_weight=0)
            times.append(time.perf_counter() - begun)
            wanted = {f"picture:{digest_of(number)[:16].hex()}" for number in right.tolist()}
            shares.append(len(wanted & {hit.path for hit in hits}) / WANTED)
            begun = time.perf_counter()
            gallery.model.encode_text([caption])
            encoding.append(time.perf_counter() - begun)
        now = memory()
    return timed(times) | {
        "encode_ms": float(np.median(encoding)) * 1e3, "first_s": first, "recall": float(np.mean(shares)),
        "own_mb": now[0] - own, "mapped_mb": now[1] - mapped,
    }  # fmt: skip


def timed(times: list[float]) -> dict[str, float]:
    """Percentiles of seconds, in ms."""
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def bytes_of(folder: Path) -> int:
    """Bytes that a folder's files take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def in_folder(shards: Path, work: Path, model: AraCLIP, again: bool) -> dict[str, float]:
    """A gallery in a folder."""
    place = work / f"gallery-{shards.name}"
    row = {}
    if not again:
        subprocess.run(["rm", "-rf", str(place)], check=True)
        row = filled(shards, str(place), model)
    return row | in_new_process(str(place), shards, work) | {"disk_mb": bytes_of(place) / 1e6}


def in_postgres(shards: Path, work: Path, model: AraCLIP) -> dict[str, float]:
    """A gallery in a private PostgreSQL server, whose processor time is counted too."""
    import postgres_server
    from araclip.gallery.locations import Address
    from araclip.gallery.postgres.database import Database

    postgres_server.SETTINGS.update(shared_buffers="1GB", maintenance_work_mem="2GB", max_wal_size="8GB")
    address, server = postgres_server.new_address(), postgres_server.private()._process.pid
    before = server_s(server)
    row = filled(shards, address, model)
    row["fill_core_s"] += server_s(server) - before
    row |= in_new_process(address, shards, work)
    database = Database(Address.read(address))  # type: ignore[arg-type]
    schema = "FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = ? AND relkind = ?"
    ((whole,),) = database.rows(
        f"SELECT sum(pg_total_relation_size(pg_class.oid))::bigint {schema}", (database.schema, "r")
    )
    graphs = database.rows(
        f"SELECT pg_relation_size(pg_class.oid) {schema} AND relname LIKE '%\\_graph'", (database.schema, "i")
    )
    database.close()
    return row | {"disk_mb": whole / 1e6, "graph_mb": sum(size for (size,) in graphs) / 1e6}


def children_s() -> float:
    """Processor time of children of this process that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_s(server: int) -> float:
    """Processor time of a server's processes, those that ended included."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(stat.parent.name) == server or int(fields[1]) == server:
            total += sum(int(ticks) for ticks in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def in_new_process(location: str, shards: Path, work: Path) -> dict[str, float]:
    """What `asked` measures, in a process that has opened nothing."""
    command = [
        sys.executable,
        *sys.argv[:1],
        "ask",
        "--location",
        location,
        "--shards",
        str(shards),
        "--work",
        str(work),
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def embedding(data: Path, model: AraCLIP) -> float:
    """Core-seconds that a picture of Flickr8k costs: read, decoded, encoded."""
    paths = sorted((data / "flickr8k").rglob("*.jpg"))[:256]
    model.encode_image(paths[:16])
    begun = time.process_time()
    model.encode_image(paths)
    return (time.process_time() - begun) / len(paths)


def measure(options: argparse.Namespace) -> None:
    """Measure sizes, and keep their lines."""
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    model = AraCLIP.load()
    real, texts, _ = real_vectors(options.data, work, model, options.real)
    texts = texts[:QUERIES]
    np.savez(work / "asked.npz", texts=texts, real=real)
    (work / "captions.json").write_text(json.dumps(some_captions(options.data)[1]["dev"][:QUERIES]), encoding="utf-8")
    for pictures in options.pictures:
        shards = prepared(work, real, texts, pictures, model)
        row: dict[str, Any] = {
            "engine": options.engine, "pictures": pictures, "model": f"{model.config.name} {model.config.version}",
            "width": model.config.width, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
            "date": time.strftime("%Y-%m-%d"),
        }  # fmt: skip
        if options.engine == "folder":
            row["embed_core_s"] = embedding(options.data, model)
        if options.engine == "folder":
            row |= in_folder(shards, work, model, options.again)
        else:
            row |= in_postgres(shards, work, model)
        keep(row)
        print(json.dumps(row), flush=True)


def keep(row: dict[str, Any]) -> None:
    """Put a line into the results; fields it has not keep their values."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    key = (row["engine"], row["pictures"], row["width"])
    old = next((line for line in lines if (line["engine"], line["pictures"], line["width"]) == key), {})
    lines = [line for line in lines if line is not old] + [old | row]
    lines.sort(key=lambda line: (line["engine"], line["width"], line["pictures"]))
    RESULTS.write_text("".join(json.dumps(rounded(line)) + "\n" for line in lines), encoding="utf-8")


def rounded(line: dict[str, Any]) -> dict[str, Any]:
    """The line with four significant digits."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in line.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("measure", "law", "ask"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--engine", choices=ENGINES, default="folder")
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--real", type=int, default=7000)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--shards", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--location", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task == "law":
        print_law([json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()])
    elif options.task == "measure":
        measure(options)
    else:
        captions = json.loads((options.work / "captions.json").read_text(encoding="utf-8"))
        print(json.dumps(asked(options.location, options.shards, captions)))


if __name__ == "__main__":
    main()
