"""A recipe: one TOML file a trained model, read into frozen dataclasses.

    name = "my-model"
    stages = ["linear", "distill", "finetune"]      # in this order; each is a section below

    [model]                                         # what the first stage starts from
    text = "aubmindlab/bert-base-arabertv02"

    [distill]
    teacher = "open_clip:ViT-B-16-SigLIP-512/webli"
    sources = [{path = "pairs.tsv.xz"}]

A section's `kind` is linear, distill or finetune, by default its own name. A stage starts from the one before it in
`stages`, or from what `start` names. Paths are below `data`.
"""

import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from araclip.errors import RecipeError
from araclip.training.text_data import Source


@dataclass(frozen=True)
class ModelSpec:
    """Where the towers come from: hub ids, folders, or the names that `pretrained.TOWERS` lists."""

    text: str = "aubmindlab/bert-base-arabertv02"
    vision: str | None = None
    projection_dim: int = 512
    text_pooling: str = "mean"
    vision_projection: str = "linear"
    matryoshka_dims: tuple[int, ...] = ()
    max_tokens: int = 64  # as AraCLIP; captions need half of it
    image_size: int | None = None  # pixels a picture enters with; None is what the tower was made for
    logit_scale: float | None = None  # log of the first inverse temperature; None is CLIP's
    logit_bias: float | None = None  # a number makes room for the sigmoid loss, whose paper starts at −10
    vocabulary: tuple[Path, ...] = ()  # parallel files whose words a pruned vocabulary keeps; none keeps all
    text_identity: bool = False  # the text projection starts as the identity


@dataclass(frozen=True)
class DevSet:
    """Pictures whose captions are the queries of dev recall while training."""

    folder: Path
    split: str | None = "dev"
    captions: tuple[str, ...] = ("caption_ar",)
    per_picture: int | None = 1  # captions a picture that are asked each time; None is all


@dataclass(frozen=True)
class PictureSource:
    """A picture set; `share` is its part of each batch, relative to the other sets."""

    folder: Path
    share: float = 1.0
    split: str | None = None
    english: tuple[str, ...] = ("caption_en",)
    arabic: tuple[str, ...] = ("caption_ar",)


@dataclass(frozen=True)
class ImageSide:
    """What of the image tower learns.

    `locked`: nothing, its vectors are computed once (LiT, Zhai et al. 2022). `partial`: all but the first
    `frozen_blocks`, whose output is computed once for `views` of each picture where the tower allows it. `full`:
    everything, on freshly augmented pictures.
    """

    train: Literal["locked", "partial", "full"] = "locked"
    frozen_blocks: int = 0
    views: int = 2
    window: float = 0.86  # side of a training crop, as a part of the picture's
    cache: Path | None = None  # where the computed maps lie; None is beside the stages, for all of them


@dataclass(frozen=True)
class Stage:
    """What every stage has."""

    kind: str = ""
    start: str | None = None
    model: ModelSpec | None = None  # fresh towers for this stage, instead of what an earlier stage left
    seed: int = 0
    steps: int = 1000
    batch: int = 128
    chunk: int = 32  # rows that pass a tower at once
    grad_cache: bool = False  # hold the activations of one chunk at a time; a second pass for any batch in memory
    train_text: Literal["full", "locked"] = "full"
    frozen_layers: int = 0  # lowest text layers that keep what pre-training gave them; the embeddings go with them
    lr_text: float = 5e-5
    lr_image: float = 1e-4
    lr_head: float = 5e-4
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    warmup: float = 0.07  # part of the steps
    clip: float = 1.0
    ema: float = 0.0  # decay of the averaged weights that are evaluated and kept; 0 is none
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    log_every: int = 10
    checkpoint_every: int = 100
    eval_every: int = 0  # steps between dev recalls; 0 asks at the end only
    patience: int = 0  # recalls without a better R@1 after which the stage ends early; 0 is never
    dev: DevSet | None = None
    sinks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Linear(Stage):
    """The head alone, in closed form."""

    teacher: str = ""
    sources: tuple[Source, ...] = ()
    rows: int = 100_000  # of the mixture
    penalty: float | None = None  # None: chosen on held-out rows


@dataclass(frozen=True)
class Distill(Stage):
    """Stage 1."""

    teacher: str = ""
    sources: tuple[Source, ...] = ()
    losses: Mapping[str, float] = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})
    matryoshka: bool = False


@dataclass(frozen=True)
class Finetune(Stage):
    """Stage 2, and with `languages = {english = 1}` the making of a teacher."""

    pictures: tuple[PictureSource, ...] = ()
    image: ImageSide = ImageSide()
    loss: Literal["infonce", "sigmoid"] = "infonce"
    matryoshka: bool = False
    languages: Mapping[str, float] = field(default_factory=lambda: {"arabic": 1.0})
    captions: int = 1  # a picture and step
    all_captions: bool = False  # with a locked text tower: every caption of the data is a negative in every step
    noise: float = 0.0
    hard_negatives: int = 0  # of each picture's nearest neighbours, how many share its batch
    teacher: str = ""
    distillation: float = 0.0  # weight of the distance to the teacher's vector of an English caption
    concepts: Path | None = None  # class names with their place in the image tower's feature space
    concept_batch: int = 0
    concept_weight: float = 0.0
    anchor: float = 0.0  # weight of staying with the class probabilities that the tower began with; needs `concepts`
    anchor_pictures: int = 64  # of each batch


KINDS: Mapping[str, type[Stage]] = {"linear": Linear, "distill": Distill, "finetune": Finetune}


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `stages` keeps their order."""

    name: str
    data: Path
    model: ModelSpec
    stages: Mapping[str, Stage]
    order: tuple[str, ...]  # what `araclip train all` runs
    start_of: Mapping[str, str | None]  # the stage or folder each stage starts from; None is [model]

    def stage(self, name: str) -> Stage:
        """One stage by its section's name.

        Raises:
            RecipeError: there is no such section.
        """
        if name not in self.stages:
            raise RecipeError(f"recipe '{self.name}' has no stage '{name}'. It has: {', '.join(self.stages)}.")
        return self.stages[name]


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe file, with `key=value` changes applied: `distill.steps=200`, `data=/somewhere`.

    Raises:
        RecipeError: no such file, no TOML, an unknown key, or a value of the wrong kind; the key is named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}. Give a recipe, a TOML file.") from error
    for change in changes:
        _set(table, change)
    table.setdefault("name", path.stem)
    return _recipe(table, path)


def _recipe(table: dict[str, Any], path: Path) -> Recipe:
    sections = {key: value for key, value in table.items() if isinstance(value, dict) and key != "model"}
    unknown = set(table) - set(sections) - {"name", "data", "model", "stages"}
    if unknown:
        raise RecipeError(f"{path}: unknown key '{min(unknown)}'. Known are name, data, model, stages and the stages.")
    order = list(table.get("stages", sections))
    if missing := [name for name in order if name not in sections]:
        raise RecipeError(f"{path}: `stages` names '{missing[0]}', but there is no section [{missing[0]}].")
    order += [name for name in sections if name not in order]
    data = Path(table.get("data", "."))
    data = data if data.is_absolute() else Path.cwd() / data
    stages: dict[str, Stage] = {}
    for name in order:
        kind = sections[name].get("kind", name)
        if kind not in KINDS:
            raise RecipeError(f"{path}: [{name}] has kind '{kind}'. Known are {', '.join(KINDS)}.")
        stages[name] = build(KINDS[kind], {**sections[name], "kind": kind}, f"{path}: [{name}]", data)
    listed = list(table.get("stages", order))
    before = {name: (listed[i - 1] if i else None) for i, name in enumerate(listed)}
    return Recipe(
        name=str(table["name"]), data=data, stages=stages, order=tuple(listed),
        model=build(ModelSpec, table.get("model", {}), f"{path}: [model]", data),
        start_of={name: stage.start or before.get(name) for name, stage in stages.items()},
    )  # fmt: skip


def build(cls: type[Any], table: Mapping[str, Any], where: str, data: Path) -> Any:
    """A dataclass from a table, each value checked against its field's type; paths are joined to `data`."""
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}
    if unknown := [key for key in table if key not in known]:
        raise RecipeError(f"{where}: unknown key '{unknown[0]}'. Known are {', '.join(known)}.")
    if absent := [
        n for n, f in known.items() if n not in table and f.default is MISSING and f.default_factory is MISSING
    ]:
        raise RecipeError(f"{where}: '{absent[0]}' is missing.")
    return cls(**{key: _value(hints[key], value, f"{where} {key}", data) for key, value in table.items()})


def _value(wanted: Any, value: Any, where: str, data: Path) -> Any:
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (types.UnionType, Union):
        wanted = next(a for a in args if a is not type(None))
        return _value(wanted, value, where, data)
    if origin is Literal:
        if value not in args:
            raise RecipeError(f"{where}: '{value}' is not one of {', '.join(map(str, args))}.")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise RecipeError(f"{where}: {value!r} is no list. Write [{value!r}].")
        return tuple(_value(args[0], item, f"{where}[{i}]", data) for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: {value!r} is no table. Write {{name = number}}.")
        return {key: _value(args[1], item, f"{where}.{key}", data) for key, item in value.items()}
    if is_dataclass(wanted):
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: {value!r} is no table.")
        return build(wanted, value, where, data)  # type: ignore[arg-type]
    return _scalar(wanted, value, where, data)


def _scalar(wanted: Any, value: Any, where: str, data: Path) -> Any:
    if wanted is Path and isinstance(value, str):
        return data / value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise RecipeError(f"{where}: {value!r} is a {type(value).__name__}, expected {wanted.__name__}.")
    return value


def _set(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change}: expected key=value, such as distill.steps=200.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a text
    *way, last = key.split(".")
    for part in way:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {change}: '{part}' is no section of the recipe.")
        table = inner
    table[last] = value
