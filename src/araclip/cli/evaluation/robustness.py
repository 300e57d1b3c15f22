"""What `araclip evaluate --robustness` measures and prints."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from araclip.cli.console import bars, shown, stoppable
from araclip.core.display import counted

if TYPE_CHECKING:
    from araclip.evaluation.picture_sets.datasets import PictureSet
    from araclip.evaluation.results import Evaluated
    from araclip.evaluation.retrieval import MinimalEncoder
    from araclip.evaluation.robustness.kinds import Kind
    from araclip.evaluation.robustness.measure import Loss, Robustness


def robustness_of(
    models: Sequence[str],
    pictures: "PictureSet",
    evaluated: "Sequence[Evaluated]",
    kinds: "Sequence[Kind]",
    cache: Path | None,
    understood: bool = False,
) -> "list[Robustness]":
    """Each model's losses by `kinds`, none where there is no kind; `evaluated` are the same models' results.

    Args:
        understood: read the texts as a search does; the losses are still those against the captions as written,
        literal.
    """
    from araclip.encoder import AraCLIP
    from araclip.evaluation.robustness.measure import measure

    done: list[Robustness] = []
    if not kinds:
        return done
    with stoppable(lambda: f"The robustness of {len(done)} of {counted(len(models), 'model')} is measured."):
        for name, clean in zip(models, evaluated, strict=True):
            with bars() as show:
                model = AraCLIP.load(name)
                done.append(
                    measure(
                        model,
                        pictures,
                        captions=clean.protocol.captions,
                        kinds=kinds,
                        clean_ranks=clean.t2i.ranks,
                        cache=cache,
                        **_way(model, understood),
                        progress=partial(_of_model, show, name),
                    )
                )
    return done


def _way(model: "MinimalEncoder", understood: bool) -> dict[str, Any]:
    if not understood:
        return {}
    from araclip.core.paths import data_home
    from araclip.evaluation.robustness.understood import UnderstoodEncoder
    from araclip.text.resources import interpreter

    return {"encode": UnderstoodEncoder(model, interpreter(home=data_home())), "way": "understood"}


def _of_model(show: Callable[[str, int, int], None], model: str, what: str, done: int, total: int) -> None:
    show(f"{model}: {what}", done, total)


def robustness_table(result: "Robustness") -> Table:
    """One row a kind: how many texts it changes, R@10, and what it loses of R@10 and R@1, in points."""
    clean = result.losses[0]
    texts = counted(clean.queries, "text")
    table = Table(
        title=escape(shown(f"Robustness · {result.model} · {result.dataset} · {texts}, {result.way}")),
        title_justify="left",
        caption="loss in points (hundredths) over all texts, with its 95 % interval by picture; "
        "last: among the changed ones",
        caption_justify="left",
    )
    table.add_column("kind", overflow="fold")
    for name in ("changed", "R@10", "loss of\nR@10", "loss of\nR@1", "R@10,\nchanged"):
        table.add_column(name, justify="right", no_wrap=True)
    for loss in result.losses:
        table.add_row(escape(shown(loss.kind)), f"{loss.changed:,}", f"{loss.recall['R@10']:.3f}", *_lost(loss))
    return table


def _lost(loss: "Loss") -> tuple[str, str, str]:
    if not loss.changed:
        return "", "", ""

    def cell(points: float, ends: tuple[float, float]) -> str:
        return f"{100 * points:.1f}\n[dim]{100 * ends[0]:.1f} to {100 * ends[1]:.1f}[/]"

    return (
        cell(loss.loss["R@10"], loss.interval["R@10"]),
        cell(loss.loss["R@1"], loss.interval["R@1"]),
        cell(loss.loss_changed["R@10"], loss.interval_changed["R@10"]),
    )
