"""Zero-shot classification and the labelled sets it runs on."""

import json
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip import AraCLIP
from araclip.errors import InputError
from araclip.evaluation.zeroshot import (
    TEMPLATES,
    Classified,
    LabelledSet,
    class_vectors,
    classify,
    from_folder,
    imagenet,
    read_templates,
)

COLOURS = {"أحمر": (255, 0, 0), "أخضر": (0, 255, 0), "أزرق": (0, 0, 255)}


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """ImageNet's val as torchvision unpacks it, with three classes: two red pictures, a green one, a blue one."""
    for wnid, colour, count in (("n01", "أحمر", 2), ("n02", "أخضر", 1), ("n03", "أزرق", 1)):
        for i in range(count):
            pictures.solid(tmp_path / "val" / wnid / f"ILSVRC2012_val_{i}.JPEG", COLOURS[colour])
    (tmp_path / "val" / "n01" / "notes.txt").write_text("no picture")
    (tmp_path / "val" / "n01" / "._ILSVRC2012_val_0.JPEG").write_text("a Mac's note beside the picture")
    (tmp_path / "val" / ".ipynb_checkpoints").mkdir()
    return tmp_path / "val"


def test_a_model_that_knows_its_colours_names_them_all(val: Path, tiny_model: Path) -> None:
    model = AraCLIP.load(tiny_model)
    found = classify(model, imagenet(val, tuple(COLOURS)))
    assert (found.top1, found.top5, found.mean_per_class) == (1.0, 1.0, 1.0)
    assert (found.protocol.dataset, found.protocol.n_queries, found.protocol.n_images) == ("imagenet", 3, 4)
    wrong = classify(model, imagenet(val, ("أخضر", "أحمر", "أزرق")), ["{}"])
    assert (wrong.top1, wrong.top5, wrong.mean_per_class) == (0.25, 1.0, pytest.approx(1 / 3))
    assert wrong.protocol.id != found.protocol.id
    known = classify(
        model, imagenet(val, tuple(COLOURS)), image_vectors=model.encode_image(imagenet(val, tuple(COLOURS)).pictures)
    )
    assert known.ranks.tolist() == found.ranks.tolist()


def test_classes_that_share_a_name_are_both_right(val: Path, tiny_model: Path) -> None:
    found = classify(AraCLIP.load(tiny_model), imagenet(val, ("أحمر", "أخضر", "أَخضر")), ["{}"])
    assert found.ranks.tolist()[:3] == [1, 1, 1]


def test_mean_per_class_weighs_classes_alike() -> None:
    found = Classified.__new__(Classified)
    object.__setattr__(found, "ranks", np.array([1.0, 1.0, 1.0, 7.0, 2.0]))
    object.__setattr__(found, "labels", np.array([0, 0, 0, 3, 3]))
    assert (found.top1, found.top5, found.mean_per_class) == (0.6, 0.8, 0.5)


def test_class_is_normalised_mean_of_its_prompts_unit_vectors(tiny_model: Path) -> None:
    model = AraCLIP.load(tiny_model)
    vectors = class_vectors(model, ["أحمر", "قطة"], ["{}", "صورة {} على {}"])
    prompts = model.encode_text(["قطة", "صورة قطة على قطة"])
    mean = prompts.mean(axis=0)
    assert vectors[1] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert all("{}" in template for template in TEMPLATES)
    for templates in ([], ["صورة"], ["{}", "صورة {x}"]):
        with pytest.raises(InputError, match=r"expected texts with \{\} where the name goes"):
            class_vectors(model, ["أحمر"], templates)


def test_babel_imagenet_names_some_of_the_classes(val: Path, tmp_path: Path, tiny_model: Path) -> None:
    labels, prompts = tmp_path / "babel_imagenet.json", tmp_path / "nllb_dist13b_prompts.json"
    labels.write_text(json.dumps({"AR": [[0, 2], ["أَحمر", "أزرق"]], "EN": [[0], ["red"]]}), "utf-8")
    prompts.write_text(json.dumps({"AR": ["{}", "صورة {}"]}), "utf-8")
    found = imagenet(val, labels)
    assert (found.name, found.names, found.labels.tolist()) == ("babel-imagenet", ("أحمر", "أزرق"), [0, 0, 1])
    assert classify(AraCLIP.load(tiny_model), found, read_templates(prompts)).top1 == 1.0
    assert imagenet(val, labels, language="en").names == ("red",)
    with pytest.raises(InputError, match="has no 'FR', it has AR, EN"):
        imagenet(val, labels, language="fr")


def test_templates_may_say_c_for_the_name(tmp_path: Path) -> None:
    (tmp_path / "templates.json").write_text(json.dumps(["{c}", "صورة لـ {c}"]), "utf-8")
    assert read_templates(tmp_path / "templates.json") == ("{}", "صورة لـ {}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "cannot be read as JSON"),
        ('{"AR": [[0, 1], ["أحمر"]]}', "expected a list of names"),
        ('{"AR": "أحمر"}', "expected a list of names"),
        ("[1, 2, 3]", "expected a list of names"),
        ('["أحمر", "أخضر"]', "2 names for 3 classes"),
        ('{"AR": [[0, 999], ["أحمر", "أخضر"]]}', "a name for class 999, but .* has 3"),
        ('{"AR": [[0, -1], ["أحمر", "أخضر"]]}', "a name for class -1"),
    ],
)
def test_names_of_another_form_are_refused(val: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "names.json").write_text(content, "utf-8")
    with pytest.raises(InputError, match=message):
        imagenet(val, tmp_path / "names.json")


def test_a_folder_without_classes_or_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no folders of classes"):
        imagenet(tmp_path / "nowhere", ["أحمر"])
    (tmp_path / "val" / "n01").mkdir(parents=True)
    with pytest.raises(InputError, match="has no pictures in its 1 folders"):
        imagenet(tmp_path / "val", ["أحمر"])
    with pytest.raises(InputError, match="expected a list of texts"):
        (tmp_path / "t.json").write_text("5")
        read_templates(tmp_path / "t.json")


def test_our_folder_has_its_classes_in_a_field(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.png", "class_ar": name} for i, name in enumerate(("كلب", "قطة", "كلب", ""))]
    rows.append({"image": "gone.png", "class_ar": "فيل"})
    (tmp_path / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    for i in range(4):
        pictures.solid(tmp_path / f"{i}.png")
    found = from_folder(tmp_path, "class_ar")
    assert (found.names, found.labels.tolist(), found.missing) == (("قطة", "كلب"), [1, 0, 1], 1)
    assert isinstance(found, LabelledSet)
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": "0.png", "class_ar": ["كلب", "قطة"]}), "utf-8")
    with pytest.raises(InputError, match="has several classes in 'class_ar'"):
        from_folder(tmp_path, "class_ar")
