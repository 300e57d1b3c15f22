"""Laws in what `scale.py` measured, and the machines that galleries of up to a billion pictures need by them.

Two shapes are fitted by least squares of relative errors: `a + b n`, for what is scanned or stored, and `a + b ln n`,
for searches through a graph. A law is printed with its largest error at the measured sizes; all beyond these is
extrapolated.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
