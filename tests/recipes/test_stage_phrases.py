"""The stage in which bare words and short phrases learn from pictures."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError
from araclip.evaluation.sets import read_pictures
from araclip.training.model.saved_models import load_model
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.pixels import Pixels
from phrases import read_phrases
from toy_stages import section
from toy_training import COLOURS, SHAPES, Notes, recipe, write_lines

pytestmark = pytest.mark.usefixtures("one_thread", "traced_quickly", "stages_of_mini")

STAGE = {
    "kind": "'phrases'", "start": "'teacher'", "pictures": "[{folder = 'shapes-sentences', images = 'shapes'}]",
    "languages": "{english = 1}", "phrases": 8, "least": 4, "steps": 60, "batch": 12, "lr_text": 3e-3, "lr_head": 3e-3,
    "dev": "{folder = 'shapes', captions = ['caption_en']}",
}  # fmt: skip


def found(folder: Path, world: Path, words: dict[str, str]) -> float:
    """Of the first pictures that each word finds, as many as it names, the part that has the word in its name."""
    model, processor = load_model(folder)
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    pixels = Pixels.of(processor).read([picture.path for picture in shapes])
    with torch.inference_mode():
        image = l2_normalize(model.get_image_features(pixels).pooler_output, dim=-1)
        text = model.get_text_features(**processor(text=[*words], return_tensors="pt")).pooler_output
    parts = []
    for scores, meant in zip(l2_normalize(text, dim=-1) @ image.T, words.values(), strict=True):
        right = torch.tensor([meant in picture.english[0].split() for picture in shapes])
        parts.append(right[scores.topk(int(right.sum())).indices].float().mean())
    return float(torch.stack(parts).mean())


def test_a_bare_word_finds_what_sentences_say_of_pictures(world: Path, runs: Path) -> None:
    shapes = read_pictures(world / "shapes", ("caption_en",), (), "train")
    folder = world / "shapes-sentences"
    folder.mkdir()
    rows = [{"image": str(p.path), "caption_en": [f"a {p.english[0]}", f"the {p.english[0]} on white"]} for p in shapes]
    write_lines(folder, rows)
    run_stage(recipe(world, *section("words", **STAGE)), "words", runs, Notes())
    words = {word: word for word in (*COLOURS, *SHAPES)}
    before, after = (found(runs / stage / "model", world, words) for stage in ("teacher", "words"))
    assert after > max(0.9, before)
    with pytest.raises(DataError, match=r"stand in the captions of 40 pictures or more, and a step needs 8"):
        run_stage(recipe(world, *section("rare", **{**STAGE, "least": 40})), "rare", runs, Notes())


def test_phrases_are_what_two_captions_of_enough_pictures_say() -> None:
    captions = [
        ["A dog runs.", "Two dogs on the grass", "كلب على العشب", "الكلب يجري"],
        ["The brown dog", "a brown dog sits", "كلب بني"],
        ["A dog", "some grass"],
        *[["A man", "the man waits"]] * 6,
    ]
    found = {phrase.texts[0]: phrase for phrase in read_phrases(captions, 2, 1)}
    assert {"dog", "brown dog", "كلب"} <= {*found}  # single words are learned even where `is_held` keeps them elsewhere
    assert not {"the", "a dog", "the brown", "grass", "يجري", "man"} & {*found}  # man: of most pictures
    dog = found["dog"]
    assert (dog.sure.tolist(), dog.doubtful.tolist()) == ([0, 1], [2])
    assert "كلاب" in dog.texts  # the lexicon's word for it
    assert not read_phrases(captions, 2, 3)
