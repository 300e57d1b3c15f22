"""Stages of a recipe, one or all of them in order; what is refused whatever the kind of stage."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from araclip.errors import DataError, LossDiverged, RecipeError, RunMismatch, TrainingError
from araclip.training.recipe.stages import with_defaults
from araclip.training.stages.dispatch import run_all, run_stage
from araclip.training.stages.starting_model import result_of
from toy_stages import CHANCE, dev_recall, make_concepts, refused, section, student
from toy_training import Notes, recipe, rows

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly")


def test_all_stages_run_in_order_and_only_once(world: Path, runs: Path) -> None:
    read = recipe(world, *section("distill", steps=30), *section("finetune", steps=30, checkpoint_every=20))
    notes = Notes()
    results = run_all(read, runs, notes)
    assert list(results) == ["teacher", "linear", "distill", "finetune"]
    assert all(result["R@1"] > 4 * CHANCE for result in results.values()), results
    assert [line.split()[0] for line in notes.lines if "is done" in line] == ["teacher"]
    assert results["finetune"]["R@1"] == pytest.approx(dev_recall(world, runs / "finetune" / "model"))
    for name in ("distill", "finetune"):
        left = {path.name for path in (runs / name).iterdir()}
        assert left >= {"model", "config.json", "metrics.jsonl", "plot.png", "result.json"}

    again = Notes()
    assert run_all(read, runs, again) == results
    assert len([line for line in again.lines if "is done" in line]) == 4
    with pytest.raises(RunMismatch, match=r"finetune is done, but by another recipe: steps was 30, now 31"):
        run_all(
            recipe(world, *section("distill", steps=30), *section("finetune", steps=31, checkpoint_every=20)),
            runs,
            again,
        )
    for name in ("distill", "finetune"):  # as if earlier releases had not known these keys
        config = json.loads((runs / name / "config.json").read_text(encoding="utf-8"))
        bare = with_defaults({}, read.stage(name))
        config["recipe"] = {key: value for key, value in config["recipe"].items() if value != bare.get(key)}
        if name == "finetune":
            config["recipe"]["image"]["each_branch"] = False  # a key that this release does not know any more
        (runs / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert run_all(read, runs, again) == results
    weights = runs / "distill" / "model" / "model.safetensors"
    weights.touch()
    (runs / "distill" / "result.json").touch()
    assert run_all(read, runs, again) == results  # the same model, trained once more
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x99")
    with pytest.raises(RunMismatch, match=r"finetune is done, but stage distill, whose model it uses, was trained ag"):
        run_all(read, runs, again)


def test_a_finished_stage_is_refused_only_if_its_data_changed(world: Path, runs: Path, tmp_path: Path) -> None:
    pairs, templates = tmp_path / "pairs.tsv", tmp_path / "templates.json"
    pairs.write_bytes((world / "pairs.tsv").read_bytes())
    templates.write_text('["هنا {}"]', encoding="utf-8")
    shapes = shutil.copytree(world / "shapes", tmp_path / "shapes")
    make_concepts(world, runs)
    for file in world.glob("concepts.*"):
        shutil.copy(file, tmp_path)
    read = recipe(
        world, "stages=['distill', 'finetune']", f"distill.model={student(world)}",
        *section("distill", steps=1, sources=f"[{{path = '{pairs}', templates = '{templates}'}}]"),
        *section("finetune", steps=1, pictures=f"[{{folder = '{shapes}'}}]", concepts=f"'{tmp_path}/concepts'"),
        *section("finetune", concept_batch=4, concept_weight=1.0),
    )  # fmt: skip
    results = run_all(read, runs, Notes())
    for file, stage, part in (
        (pairs, "distill", "red circle"),
        (templates, "distill", "هنا"),
        (shapes / "captions.jsonl", "finetune", "دائرة"),
        (tmp_path / "concepts.json", "finetune", "دائرة"),
    ):
        before, listing = file.read_text(encoding="utf-8"), runs / stage / "files.json"
        file.touch()
        assert run_all(read, runs, Notes()) == results
        file.write_text(before.replace(part, "جديد", 1), encoding="utf-8")
        with pytest.raises(RunMismatch, match=f"{stage} is done, but with other data: .*{file.name}.* changed since.*"):
            run_all(read, runs, Notes())
        stamps = listing.read_bytes()
        listing.unlink()  # as an earlier release left the folder
        with pytest.raises(RunMismatch, match=f"{stage} is done, but with other data: .*--fresh"):
            run_all(read, runs, Notes())
        listing.write_bytes(stamps)
        file.write_text(before, encoding="utf-8")
    shutil.rmtree(shapes)
    pairs.unlink()
    assert run_all(read, runs, Notes()) == results


def test_a_finished_stage_is_refused_for_another_dev_set(world: Path, runs: Path, tmp_path: Path) -> None:
    templates, shapes = tmp_path / "templates.json", shutil.copytree(world / "shapes", tmp_path / "shapes")
    templates.write_text('["هنا {}"]', encoding="utf-8")
    first = [f"linear.model={student(world)}", *section("linear", rows=8)]
    run_stage(recipe(world, *first), "linear", shutil.copytree(runs, tmp_path / "first"), Notes())
    start = result_of(tmp_path / "first", "linear")
    read = recipe(
        world, "stages=['captions', 'linear']",
        *section("captions", steps=2, eval_every=1, patience=1, dev=f"{{folder = '{shapes}'}}"),
        *section("linear", rows=8, start=f"'{start}'", sources=f"[{{path = 'pairs.tsv', templates = '{templates}'}}]"),
    )  # fmt: skip
    results = run_all(read, runs, Notes())
    assert run_all(read, runs, Notes()) == results
    templates.write_text('["هناك {}"]', encoding="utf-8")
    with pytest.raises(RunMismatch, match=r"linear is done, but with other data: .*templates\.json changed since"):
        run_all(read, runs, Notes())
    templates.write_text('["هنا {}"]', encoding="utf-8")
    run_stage(recipe(world, *first, "linear.seed=1"), "linear", tmp_path / "first", Notes(), fresh=True)
    with pytest.raises(RunMismatch, match=r"linear is done, but .*first.*, whose model it uses, was trained again"):
        run_all(read, runs, Notes())
    away = start.rename(tmp_path / "away")
    assert run_all(read, runs, Notes()) == results  # a model that is gone cannot be compared
    away.rename(start)
    lines = (shapes / "captions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (shapes / "captions.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(RunMismatch, match=r"captions is done, but its dev set, .* changed since"):
        run_all(read, runs, Notes())


@pytest.mark.parametrize("warmup", [0.9, 1])
def test_a_warmup_of_nearly_all_of_a_few_steps_is_no_error(world: Path, runs: Path, warmup: float) -> None:
    read = recipe(world, f"distill.model={student(world)}", *section("distill", steps=3, warmup=warmup))
    run_stage(read, "distill", runs, Notes())
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == [1, 2, 3]


def test_a_full_disk_at_the_models_saving_is_said_and_resumed(world: Path, runs: Path) -> None:
    resource = pytest.importorskip("resource")  # of Unix
    read = recipe(world, f"distill.model={student(world)}", *section("distill", steps=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # bytes a file: the metrics fit, the weights do not
    try:
        with pytest.raises(TrainingError, match=r"distill/model cannot be written \(.*File too large.*make room"):
            run_stage(read, "distill", runs, Notes())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((runs / "distill").glob("*model*"))
    run_stage(read, "distill", runs, Notes())
    assert (runs / "distill" / "model" / "model.safetensors").is_file()


def test_fresh_forgets_what_a_stage_left(world: Path, runs: Path) -> None:
    model = f"distill.model={student(world)}"
    run_stage(recipe(world, model, *section("distill", steps=4)), "distill", runs, Notes())
    other = recipe(world, model, *section("distill", steps=2, checkpoint_every=1))
    with pytest.raises(RunMismatch, match="steps was 4, now 2"):
        run_stage(other, "distill", runs, Notes())
    (runs / "distill" / "best.pt").write_bytes(b"of an earlier run")
    run_stage(other, "distill", runs, Notes(), fresh=True)
    assert [row["step"] for row in rows(runs, "distill") if "loss" in row] == [1, 2]
    assert not (runs / "distill" / "best.pt").exists()


def test_a_fresh_run_that_fails_leaves_no_old_result(world: Path, runs: Path) -> None:
    stages = "stages=['distill', 'finetune']"
    short = [stages, f"distill.model={student(world)}", *section("distill", steps=2), *section("finetune", steps=2)]
    run_all(recipe(world, *short), runs, Notes())
    spoilt = recipe(world, *short, *section("finetune", lr_text=1e30, lr_head=1e30, steps=9))
    with pytest.raises(LossDiverged):
        run_stage(spoilt, "finetune", runs, Notes(), fresh=True)
    assert not (runs / "finetune" / "model").exists()
    assert [name for name in ("distill", "finetune") if (runs / name / "result.json").exists()] == ["distill"]
    run_stage(recipe(world, *short), "finetune", runs, Notes(), fresh=True)
    with pytest.raises(LossDiverged):
        run_all(
            recipe(world, *short, *section("distill", lr_text=1e30, lr_head=1e30, steps=9)), runs, Notes(), fresh=True
        )
    assert not (runs / "distill" / "result.json").exists()
    # without --fresh, the next run must not go on with what the stage left before
    assert not {"config.json", "metrics.jsonl"} & {path.name for path in (runs / "finetune").iterdir()}
    assert not list((runs / "finetune").glob("*.pt"))


def test_stages_of_different_precision_run_in_one_process(world: Path, runs: Path) -> None:
    read = recipe(world, *section("distill", steps=2, precision="bfloat16"), *section("finetune", steps=2))
    assert list(run_all(read, runs, Notes())) == ["teacher", "linear", "distill", "finetune"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_tokens": 64}, r"\[model\] max_tokens = 64 cannot be used .*Remedy: lower it"),
        ({"vision": "{world}/vit", "image_size": 64}, r"\[model\] image_size = 64 cannot be used .*: leave it out"),
    ],
)
def test_sizes_a_tower_cannot_take_are_refused_early(
    world: Path, runs: Path, changes: dict[str, object], said: str
) -> None:
    spec = {key: value.format(world=world) if isinstance(value, str) else value for key, value in changes.items()}
    refused(recipe(world, f"distill.model={student(world, **spec)}"), "distill", runs, said)


def test_fresh_keeps_a_result_until_the_new_run_begins(world: Path, runs: Path) -> None:
    run_stage(recipe(world, f"distill.model={student(world)}", *section("distill", steps=1)), "distill", runs, Notes())
    changes = section("distill", steps=1, sources="[{path='none.tsv'}]")
    wrong = recipe(world, f"distill.model={student(world)}", *changes)
    with pytest.raises(DataError, match=r"none\.tsv"):
        run_stage(wrong, "distill", runs, Notes(), fresh=True)
    assert {"result.json", "model"} <= {path.name for path in (runs / "distill").iterdir()}


def test_a_stage_that_is_not_there_is_named(world: Path, runs: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe 'toy' has no stage 'polish'. It has: teacher, captions, linear"):
        run_stage(recipe(world), "polish", runs, Notes())


def test_a_damaged_model_folder_is_named(world: Path, runs: Path) -> None:
    file = runs / "teacher" / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(recipe(world, *section("distill", start="teacher")), "distill", runs, "the model in .*cannot be loaded")


@pytest.mark.parametrize("stage", ["distill", "finetune"])
def test_a_loss_that_diverges_leaves_no_spoilt_checkpoint(world: Path, runs: Path, stage: str) -> None:
    changes = {"start": "teacher", "lr_text": 1e30, "lr_head": 1e30, "steps": 9, "warmup": 0.0}
    read = recipe(world, *section(stage, **changes))
    with pytest.raises(LossDiverged, match=r"became (nan|inf).* in step \d"):
        run_stage(read, stage, runs, Notes())
    for path in (runs / stage).glob("step-*.pt"):
        state = torch.load(path, weights_only=True)
        assert all(weight.isfinite().all() for weight in state["weights"])
    assert not (runs / stage / "model").exists()


def test_a_stage_says_what_each_source_has_to_learn_from(world: Path, runs: Path) -> None:
    sources = "[{path='pairs.tsv'}, {path='pairs.tsv', rows=5, direction='en-en'}]"
    pictures = "[{folder='shapes', split='train'}, {folder='shapes', split='dev'}]"
    spec = {"steps": 1, "model": student(world)}
    read = recipe(
        world, *section("distill", sources=sources, **spec), *section("captions", steps=1, pictures=pictures),
        *section("finetune", pictures=pictures, languages="{arabic = 2, english = 1}", image="{train='full'}", **spec),
    )  # fmt: skip
    said = {}
    for stage in ("distill", "captions", "finetune"):
        notes = Notes()
        run_stage(read, stage, runs, notes)
        said[stage] = [line for line in notes.lines if " learns from " in line]
    of_shapes = [
        "{0} learns from shapes (train): 48 pictures, 96 captions in Arabic, 48 captions in English",
        "{0} learns from shapes (dev): 12 pictures, 24 captions in Arabic, 12 captions in English",
    ]
    assert said == {
        "distill": ["distill learns from pairs.tsv (en-ar): 24 rows", "distill learns from pairs.tsv (en-en): 5 rows"],
        "captions": [line.format("captions") for line in of_shapes],
        "finetune": [line.format("finetune") for line in of_shapes],
    }
