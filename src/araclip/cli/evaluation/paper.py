"""What `araclip evaluate --suite paper` prints: the paper's rows as measured here, beside what was claimed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from araclip.cli.console import as_json_text, bars, err, out, shown, stoppable, write_line
from araclip.core.display import counted
from araclip.core.paths import user_path
from araclip.errors import InputError

if TYPE_CHECKING:
    from araclip.evaluation.picture_sets.datasets import PictureSet
    from araclip.evaluation.summary import Scores
    from araclip.peers.paper_suite import Measured, PaperTable

COLUMNS = ("R@1", "R@5", "MRR")  # of the claim


def run_paper_suite(
    sets: Sequence[str], models: Sequence[str], *, split: str | None, caption_field: str | None, captions: str,
    cache: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure and print the table.

    Args:
        sets: NAME=FOLDER or NAME=FOLDER,PICTURES. models: ROW=MODEL.

    Raises:
        InputError: an option is not written so, or nothing can be measured.
    """
    from araclip.peers.paper_suite import paper_table

    places = {name: _place(value) for name, value in _pairs(sets, "--set", "xtd-ar=FOLDER")}
    chosen = dict(_pairs(models, "--model", "AraCLIP=MODEL"))
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    hint = "; with --cache what is measured would be kept" if cache is None else "; the same command resumes there"
    with stoppable(f"Stopped{hint}."), bars() as show:
        table = paper_table(
            places, chosen, split=split, caption_field=caption_field, captions=captions, cache=cache,
            log=lambda line: err.print(shown(line), soft_wrap=True, markup=False), progress=partial(_progress, show),
        )  # fmt: skip
    if as_json:
        write_line(as_json_text(_json(table)))
        return
    for pictures in table.sets:
        out.print(_printed(table, pictures))
    for one in table.missing:
        out.print(shown(f"Missing: {one.what}: {one.why}"), soft_wrap=True, markup=False)


def _pairs(values: Sequence[str], option: str, example: str) -> list[tuple[str, str]]:
    pairs = []
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest):
            raise InputError(f"{option} {value!r} is not written NAME=VALUE, such as {example}.")
        pairs.append((name, rest))
    return pairs


def _place(value: str) -> tuple[Path, Path | None]:
    folder, comma, images = value.partition(",")
    return user_path(Path(folder)), user_path(Path(images)) if comma and images else None


def _progress(show: Any, row: str, what: str, done: int, total: int) -> None:
    show(f"{row}: {what}", done, total)


def _printed(table: "PaperTable", pictures: "PictureSet") -> Table:
    from araclip.peers.paper_suite import CLAIM, ROWS

    first = next(one for one in table.measured if one.evaluated.protocol.dataset == pictures.name)
    protocol = first.evaluated.protocol
    asked = f"{counted(protocol.n_queries, 'text')} ({protocol.caption_field}, {protocol.captions})"
    printed = Table(
        title=escape(shown(f"Text → picture · {pictures.name} · {asked}, {counted(protocol.n_images, 'picture')}")),
        title_justify="left", caption=f"measured: here, 95 % intervals by picture. claimed: {CLAIM}.",
        caption_justify="left",
    )  # fmt: skip
    printed.add_column("")
    printed.add_column("model", overflow="fold")
    for name in COLUMNS:
        printed.add_column(f"{name}\nmeasured", justify="right", no_wrap=True)
    printed.add_column("claimed\nR@1/R@5/MRR", justify="right", no_wrap=True)
    for row in ROWS:
        one = table.of(pictures, row)
        numbers = [_cell(_scores(one), name) for name in COLUMNS] if one else ["–"] * len(COLUMNS)
        model = f"{escape(shown(one.model))}\n[dim]{one.loaded}[/]" if one else "–"
        claimed = "/".join(f"{value:.3f}".removeprefix("0") for value in row.claimed)
        printed.add_row(row.name, model, *numbers, f"[dim]{claimed}[/]")
    return printed


def _scores(one: "Measured") -> "Scores":
    from araclip.evaluation.summary import summarise

    return summarise([one.evaluated])[0].t2i


def _cell(scores: "Scores", name: str) -> str:
    ends = "–".join(f"{end:.3f}".removeprefix("0") for end in scores.ci95[name])
    return f"{scores.values[name]:.3f}\n[dim]{ends}[/]"


def _json(table: "PaperTable") -> dict[str, Any]:
    from dataclasses import asdict

    from araclip.evaluation.summary import json_of, summarise
    from araclip.peers.paper_suite import CLAIM, ROWS

    results = []
    for one in table.measured:
        (model,) = json_of(summarise([one.evaluated]))["models"]
        results.append(
            {"row": one.row.name, "set": one.evaluated.protocol.dataset, "loaded": one.loaded, **model,
             "protocol": asdict(one.evaluated.protocol)}
        )  # fmt: skip
    claimed = {row.name: dict(zip(COLUMNS, row.claimed, strict=True)) for row in ROWS}
    missing = [{"what": one.what, "why": one.why} for one in table.missing]
    return {"suite": "paper", "claimed": {"what": CLAIM, "rows": claimed}, "results": results, "missing": missing}
