"""Words of things: what people call the classes of ImageNet and of the labelled sets, a fifth of it held out.

A thing is a class of pictures; a word may be the name of several: «كلب» is that of every breed. Words come from the
published names, from the package's lexicon (dialects, plurals), and from dictionaries, joined by their English glosses
through WordNet.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mini_concepts import class_names, name_variants
from mini_sets import Row, read_table
from mini_wordnet import Nouns
from timm.data import ImageNetInfo

from araclip import normalize
from araclip.text.folding import fold
from araclip.text.resources import default_interpreter
from araclip.training.data.noise import is_held

ANIMALS = 398  # the first classes of ImageNet
MOST_THINGS = 150  # a word of more says little: artifact, matter
MAX_WORDS = 3  # of a dictionary's text: longer ones explain
NAMED = ("scenes", "scenes15", "clothing", "flowers", "grocery")  # labelled sets with an Arabic name for each label
GLOSSES: Mapping[str, tuple[str, ...]] = {  # labels that are no everyday English word, or have another one beside it
    "aubergine": ("eggplant", "aubergine"), "avocado": ("avocado",), "brown-cap-mushroom": ("mushroom",),
    "buildings": ("building", "buildings"), "coast": ("coast", "beach", "shore"), "industrial": ("factory",),
    "insidecity": ("downtown", "city"), "juice": ("juice", "fruit juice"), "livingroom": ("living room",),
    "longsleeve": ("long-sleeved shirt",), "opencountry": ("countryside", "field"), "outwear": ("jacket", "coat"),
    "pants": ("trousers", "pants"), "passion-fruit": ("passion fruit",), "pepper": ("bell pepper", "pepper"),
    "red-beet": ("beet", "beetroot"), "red-grapefruit": ("grapefruit",), "satsumas": ("tangerine", "mandarin"),
    "store": ("shop", "store"), "suburb": ("suburb", "houses"), "tallbuilding": ("skyscraper",),
    "yoghurt": ("yogurt", "yoghurt"), "zucchini": ("zucchini", "courgette"), "melon": ("melon", "cantaloupe"),
}  # fmt: skip
BELOW = {  # the sense of a label in these sets is a kind of one of these
    "clothing": "clothing", "flowers": "flower", "grocery": "food", "scenes15": "structure", "sports100": "sport",
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """A class of pictures: a class of ImageNet, or a label of a set ("grocery/apple"), with its published names."""

    name: str
    english: tuple[str, ...]
    arabic: tuple[str, ...]
    synset: str | None


@dataclass(frozen=True)
class Word:
    """One text, the numbers of the things that it names, and where it is from; a held one is never learned."""

    text: str
    things: tuple[int, ...]
    origin: str
    held: bool = False


def imagenet_things(data: Path, nouns: Nouns) -> list[Thing]:
    """The thousand classes."""
    english, arabic = class_names(data / "parallel" / "imagenet_classnames.tsv.xz")
    info = ImageNetInfo("imagenet-1k")
    animal = [nouns.senses["animal"][0]]
    other = [synset for word in ("artifact", "food", "plant", "person") for synset in nouns.senses[word][:2]]
    other += nouns.senses["geological formation"][:1]
    things = []
    for number, (names, arabic_names) in enumerate(zip(english, arabic, strict=True)):
        lemmas = info.index_to_description(number).split(", ")
        synset = nouns.synset_of(lemmas, animal if number < ANIMALS else other)
        things.append(Thing(f"imagenet/{names[0]}", names, arabic_names, synset))
    return things


def label_things(name: str, rows: Iterable[Row], nouns: Nouns) -> list[Thing]:
    """The labels of a set, sorted."""
    arabic: dict[str, str] = {row["label"]: row.get("class_ar") or "" for row in rows}
    below = [synset for word in BELOW.get(name, "").split() for synset in nouns.senses[word][:2]]
    things = []
    for label in sorted(arabic):
        glosses = GLOSSES.get(label.lower(), (label.lower().replace("-", " "),))
        names = name_variants(normalize(arabic[label])) if arabic[label] else ()
        things.append(Thing(f"{name}/{label.lower()}", glosses, names, nouns.synset_of(glosses, below)))
    return things


def words_of(things: Sequence[Thing], nouns: Nouns, dictionaries: Sequence[Path]) -> list[Word]:
    """All words of some things, each text once in each origin.

    Args:
        dictionaries: two tables of English and Arabic; an Arabic text has to stand in both for the same English word,
            as each of them lists senses that are no thing.
    """
    covered = nouns.covered([thing.synset for thing in things])
    covered.pop(nouns.senses["group"][0], None)  # a forest is a group
    named: dict[str, set[int]] = defaultdict(set)
    for number, thing in enumerate(things):
        for gloss in thing.english:
            named[gloss.lower()].add(number)

    def called(english: str) -> list[int]:
        found = set(nouns.things_called(english, covered)) | named.get(english.lower(), set())
        return sorted(found) if len(found) <= MOST_THINGS else []

    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, thing in enumerate(things):
        for language, texts in (("english name", thing.english), ("arabic name", thing.arabic)):
            for text in texts:
                found[text, language].add(number)
    for text, english, origin in (*lexicon_words(), *_dictionary_words(dictionaries)):
        for number in called(english):
            found[text, origin].add(number)
            if english.isascii():
                found[english, "english word"].add(number)
    published = {fold(text) for text, origin in found if origin in ("arabic name", "standard")}
    return [
        Word(text, tuple(sorted(numbers)), origin, origin in HOLDING and fold(text) not in published and is_held(text))
        for (text, origin), numbers in found.items()
    ]


HOLDING = ("dialect", "synonym", "plural", "dictionary")


def lexicon_words() -> Iterator[tuple[str, str, str]]:
    """Text, English gloss and origin of the package's words, but for forms with another common meaning."""
    origins = {"sy": "synonym", "pl": "plural"}
    for entry in default_interpreter().lexicon.entries:
        if entry.english:
            yield normalize(entry.standard), entry.english, "standard"
            for label, text, ambiguous in entry.forms:
                if not ambiguous:
                    yield normalize(text), entry.english, origins.get(label, "dialect")


def _dictionary_words(tables: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    listed = []
    for table in tables:
        pairs: dict[tuple[str, str], tuple[str, str]] = {}
        for english, arabic in read_table(table, 2):
            if arabic.count(" ") < MAX_WORDS:
                pairs[english.lower(), fold(arabic)] = (normalize(arabic), english)
        listed.append(pairs)
    both = set(listed[0]).intersection(*listed[1:]) if listed else set()
    for key in sorted(both):
        yield *listed[0][key], "dictionary"
