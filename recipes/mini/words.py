"""Words of things: what people call the classes of ImageNet and of the labelled sets, a fifth of it held out.

A thing is a class of pictures; a word may be the name of several: «كلب» is that of every breed. Words come from the
published names, from the package's lexicon (dialects, plurals), and from dictionaries, joined by their English glosses
through WordNet.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timm.data import ImageNetInfo

from araclip import normalize
from araclip.text.folding import fold
from araclip.text.resources import default_interpreter
from araclip.training.data.noise import is_held
from concepts import class_names, name_variants
from sets import Row, read_table
from wordnet import Nouns

MOST_THINGS = 150  # a word of more says little: artifact, matter
OWN_SENSES = 3  # a class's further names count if the class is among so many commonest senses of them
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
KINDS = {  # what the labels of a set are kinds of: of a label's senses the first that is one, in this order, is meant
    "clothing": ("clothing", "covering"), "clothing_full": ("clothing", "covering"), "flowers": ("flower",),
    "grocery": ("food",), "scenes15": ("structure",), "sports100": ("sport",), "ikea": ("furniture", "artifact"),
    "caltech101_full": ("animal", "body part", "artifact", "food", "plant"),
}  # fmt: skip
KIND_OF = {  # for labels with several senses of one kind, and two ImageNet classes whose pictures show another sense
    "barrel": "container", "schooner": "ship", "sea horse": "fish", "dolphin": "whale", "tea cup": "container",
    "plate": "crockery",
}  # fmt: skip
# Kinds for which the things below do not stand: a forest is a group, a scuba diver a person, an okapi a giraffe, and
# jeans are the only clothes that WordNet calls so.
NOT_CALLED = ("group", "person", "giraffe", "clothes")
UNKNOWN = ("fencing", "ultimate")  # labels that WordNet has in other senses alone


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
    things = []
    for number, (names, arabic_names) in enumerate(zip(english, arabic, strict=True)):
        description = info.index_to_description(number)
        lemmas = description.split(", ")
        if kind := KIND_OF.get(names[0]):
            synset = nouns.synset_of(lemmas, (kind,))
        else:
            detailed = info.index_to_description(number, detailed=True)
            synset = nouns.synset_defined(lemmas, detailed.removeprefix(f"{description}: "))
        things.append(Thing(f"imagenet/{names[0]}", names, arabic_names, synset))
    return things


def label_things(name: str, rows: Iterable[Row], nouns: Nouns) -> list[Thing]:
    """The labels of a set, sorted."""
    arabic: dict[str, str] = {row["label"]: row.get("class_ar") or "" for row in rows}
    things = []
    for label in sorted(arabic):
        lower = label.lower()
        glosses = GLOSSES.get(lower, (lower.replace("-", " "),))
        names = name_variants(normalize(arabic[label])) if arabic[label] else ()
        kinds = (KIND_OF[lower],) if lower in KIND_OF else KINDS.get(name, ())
        synset = None if lower in UNKNOWN else nouns.synset_of(glosses, kinds)
        things.append(Thing(f"{name}/{lower}", glosses, names, synset))
    return things


def words_of(things: Sequence[Thing], nouns: Nouns, dictionaries: Sequence[Path]) -> list[Word]:
    """All words of some things, each text once in each origin.

    Args:
        dictionaries: two tables of English and Arabic; an Arabic text has to stand in both for the same English word,
            as each of them lists senses that are no thing.
    """
    covered = nouns.covered([thing.synset for thing in things])
    for kind in NOT_CALLED:
        covered.pop(next(iter(nouns.senses.get(kind, ())), ""), None)
    english = {number: _usual_names(thing, nouns) for number, thing in enumerate(things)}
    named: dict[str, set[int]] = defaultdict(set)
    for number, names in english.items():
        for name in names:
            named[name.lower()].add(number)

    def called(gloss: str) -> list[int]:
        found = set(nouns.things_called(gloss, covered)) | named.get(gloss.lower(), set())
        return sorted(found) if len(found) <= MOST_THINGS else []

    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, thing in enumerate(things):
        for language, texts in (("english name", english[number]), ("arabic name", thing.arabic)):
            for text in texts:
                found[text, language].add(number)
    for text, gloss, origin in (*lexicon_words(), *_dictionary_words(dictionaries)):
        for number in called(gloss):
            found[text, origin].add(number)
            if gloss.isascii():
                found[gloss, "english word"].add(number)
    published = {fold(text) for text, origin in found if origin in ("arabic name", "standard")}
    return [
        Word(text, tuple(sorted(numbers)), origin, origin in HOLDING and fold(text) not in published and is_held(text))
        for (text, origin), numbers in found.items()
    ]


def _usual_names(thing: Thing, nouns: Nouns) -> list[str]:
    """A thing's English names, but for further names that usually mean something else: a promontory's "head"."""
    if not thing.name.startswith("imagenet/"):
        return [*thing.english]
    first, *others = thing.english
    usual = {name: nouns.senses.get(name.lower(), ())[:OWN_SENSES] for name in others}
    return [first, *(name for name in others if not usual[name] or thing.synset in usual[name])]


HOLDING = ("dialect", "synonym", "plural", "dictionary")


def lexicon_words() -> Iterator[tuple[str, str, str]]:
    """Text, English gloss and origin of the package's words, but for forms with another common meaning.

    Verbs («يرتدي», wears) have no gloss, since as nouns their glosses would name things.
    """
    origins = {"sy": "synonym", "pl": "plural"}
    for entry in default_interpreter().lexicon.entries:
        if entry.english:
            verb = entry.standard.startswith("ي") and entry.english.endswith("s")
            gloss = "" if verb else entry.english
            yield normalize(entry.standard), gloss, "standard"
            for label, text, ambiguous in entry.forms:
                if not ambiguous:
                    yield normalize(text), gloss, origins.get(label, "dialect")


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
