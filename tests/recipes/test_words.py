"""What the recipe calls things: WordNet's kinds, words joined by their English glosses, a probe over features."""

import importlib
from pathlib import Path

import numpy as np
import pytest

for needed in ("timm", "torch"):
    pytest.importorskip(needed)
mini_held, mini_names, mini_wordnet, mini_words = map(
    importlib.import_module, ("held", "named_classes", "wordnet", "words")
)

DATA = """  1 a licence stands above
00000001 03 n 01 animal 0 000 | a living thing
00000002 05 n 01 dog 0 001 @ 00000001 n 0000 | a pet
00000003 05 n 02 pug 0 pug-dog 0 001 @ 00000002 n 0000 | a breed
00000004 05 n 01 crane 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | a bird
00000005 06 n 01 crane 0 000 | a machine
00000006 03 n 01 group 0 000 | several
"""
INDEX = """  1 a licence stands above
animal n 1 1 ~ 1 1 00000001
crane n 2 1 @ 2 2 00000005 00000004
dog n 1 1 @ 1 1 00000002
group n 1 1 ~ 1 1 00000006
pug n 1 1 @ 1 1 00000003
pug-dog n 1 1 @ 1 1 00000003
"""
NOUNS = mini_wordnet.parse(DATA, INDEX)


def test_word_names_all_that_is_kind_of_it_and_plurals_are_known() -> None:
    covered = NOUNS.covered([NOUNS.synset_of(["pug", "pug-dog"]), "00000004", None])
    assert NOUNS.things_called("dogs", covered) == [0]
    assert NOUNS.things_called("Animal", covered) == [0, 1]
    assert NOUNS.things_called("crane", covered) == [1]  # its first sense has no thing
    assert NOUNS.things_called("table", covered) == []
    assert NOUNS.synset_of(["crane"]) == "00000005" and NOUNS.synset_of(["cranes"], ["animal"]) == "00000004"
    assert NOUNS.synset_of(["crane"], ["group"]) == "00000005"  # no sense is a group


def test_class_is_sense_whose_definition_is_most_like_its_own() -> None:
    assert NOUNS.synset_defined(["crane"], "a large bird") == "00000004"
    assert NOUNS.synset_defined(["crane"], "a lifting machine") == "00000005"
    assert NOUNS.synset_defined(["stork"], "a bird") is None


@pytest.mark.parametrize(
    ("plural", "one"),
    [("cows", "cow"), ("berries", "berry"), ("glasses", "glass"), ("tomatoes", "tomato"), ("two men", "two man"),
     ("glass", "glass"), ("boxes", "box")],
)  # fmt: skip
def test_plurals_lose_their_ending(plural: str, one: str) -> None:
    assert mini_wordnet.singular(plural) == one


def test_words_of_a_thing_come_from_names_and_dictionaries(tmp_path: Path) -> None:
    import lzma

    tables = []
    for name, rows in (("a", "pug\tكلب صغير\npug\tلكمة\n"), ("b", "pug\tكَلب صغير\n")):
        tables.append(tmp_path / f"{name}.tsv.xz")
        tables[-1].write_bytes(lzma.compress(f"en\tar\n{rows}".encode()))
    pug = mini_words.Thing("imagenet/pug", ("pug", "pug-dog"), ("البج", "بج"), "00000003")
    found = mini_words.words_of([pug], NOUNS, tables)
    texts = {word.text: word for word in found}
    assert {"pug", "البج", "كلب", "كلب صغير"} <= texts.keys() and "لكمة" not in texts
    assert not texts["كلب"].held and texts["كلب"].things == (0,)  # the standard word is never held
    listed = mini_names.merged(found)
    assert listed["pug"] == ([0], False)
    pairs = mini_names.pairs_of(found, [pug]).splitlines()
    assert pairs[0] == "en\tar" and "pug\tبج" in pairs
    assert not [line for line in pairs if texts.get(line.split("\t")[1], pug) in [w for w in found if w.held]]


def test_a_further_name_with_another_usual_meaning_is_left_out() -> None:
    crane = mini_words.Thing("imagenet/heron", ("heron", "crane", "dog"), (), "00000004")
    texts = {word.text for word in mini_words.words_of([crane], NOUNS, [])}
    assert {"heron", "crane"} <= texts and "dog" not in texts
    labelled = mini_words.Thing("birds/heron", ("heron", "dog"), (), "00000004")
    assert "dog" in {word.text for word in mini_words.words_of([labelled], NOUNS, [])}


def test_verbs_and_people_name_no_class() -> None:
    glosses = {text: gloss for text, gloss, _ in mini_words.lexicon_words()}
    assert not glosses["يرتدي"] and not glosses["يطير"] and glosses["كلب"] == "dog"
    person = mini_wordnet.parse(
        DATA + "00000007 18 n 01 person 0 000 | somebody\n00000008 18 n 01 diver 0 001 @ 00000007 n 0000 | who dives\n",
        INDEX + "diver n 1 1 @ 1 1 00000008\nperson n 1 1 ~ 1 1 00000007\n",
    )
    diver = mini_words.Thing("imagenet/scuba diver", ("scuba diver",), ("غواص",), "00000008")
    found = {word.text for word in mini_words.words_of([diver], person, [])}
    assert "غواص" in found and not {"شخص", "ناس", "person"} & found


def test_sentences_in_dialects_are_held_with_translations() -> None:
    rows = [(f"Sentence {number} .", text, "arb") for number in range(400) for text in ("أ", "ب")]
    kept = mini_held.without_held_sentences(rows)
    assert 0.7 < len(kept) / len(rows) < 0.9
    assert len(kept) == 2 * len({english for english, _, _ in kept})


def test_a_probe_tells_classes_apart_and_leaves_others_alone() -> None:
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(5, 16)).astype(np.float32)

    def drawn(which: list[int]) -> np.ndarray:
        return (centres[which] + rng.normal(size=(len(which), 16))).astype(np.float32)

    sets = {
        "fruit": mini_names.Labelled(drawn([0, 1] * 60), [0, 1] * 60),
        "rooms": mini_names.Labelled(drawn([2, 3] * 60), [2, 3] * 60),
        "other": mini_names.Labelled(drawn([4] * 60), [-1] * 60),
    }
    weight, bias = mini_names.fit_probe(sets, {"fruit": range(2), "rooms": range(2, 4)})
    which = [0, 1, 2, 3] * 20
    logits = drawn(which) @ weight.T + bias
    assert (logits.argmax(axis=1) == np.array(which)).mean() > 0.95
    assert (drawn([4] * 40) @ weight.T + bias).max(axis=1).mean() < logits.max(axis=1).mean() / 2
