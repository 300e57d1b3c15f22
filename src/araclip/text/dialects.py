"""Translates dialect words into standard Arabic, by the lexicon and a few rules of dialect grammar. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from araclip.text.folding import fold
from araclip.text.latin import ADJECTIVE, Change
from araclip.text.lexicon import DIALECTS, Form, Lexicon
from araclip.text.negation import ENDS
from araclip.text.picture_words import is_quality
from araclip.text.vocabulary import MIN_STEM, Vocabulary, split_proclitics
from araclip.text.word_lists import read_folded

# Confidences that a dialect form stands for its standard word: if the form means nothing else (SURE), is in captions as
# well (ALSO_KNOWN), has another common meaning (AMBIGUOUS), or is itself a common standard word (UNLIKELY).
SURE, ALSO_KNOWN, AMBIGUOUS, UNLIKELY = 0.92, 0.7, 0.5, 0.12
ARTICLE_SURE = 0.7  # confidence that عال is "on the" before an unknown word of LEAST_STEM letters: عالكورنيش
LEAST_STEM = 4
# how much a word that is surely of a dialect adds to the confidence of an ambiguous form of the same dialect; a word
# that n dialects share adds an n-th of this
EVIDENCE = 0.4
RULE = 0.85  # confidence of a change by rule, such as of a dialect's verb, if captions have the standard form
# How often captions must use a dialect form: OFTEN, to count as a standard word, too; VERY_OFTEN, to count as a word
# that models know well; NEVER, to be left unchanged.
OFTEN, VERY_OFTEN, NEVER = 3, 20, 1000

# (beginning of a noun in a dialect, beginning in standard Arabic)
_BEGINNINGS = (
    ("وهال", "وال"), ("عهال", "على ال"), ("بهال", "بال"), ("وعال", "وعلى ال"), ("هال", "ال"), ("عال", "على ال"),
    ("فال", "في ال"), ("مال", "من ال"),
)  # fmt: skip
# (beginning of a present-tense verb in a dialect, in standard Arabic, dialects), as in بيلعب and كيلعب, "he plays"
_NEAR_EAST = ("eg", "lv")
_VERBS = (
    ("بي", "ي", _NEAR_EAST), ("بت", "ت", _NEAR_EAST), ("بن", "ن", _NEAR_EAST), ("حي", "ي", ("eg",)),
    ("هي", "ي", ("eg",)),
    ("كي", "ي", ("ma",)), ("كت", "ت", ("ma",)), ("تي", "ي", ("ma",)), ("تت", "ت", ("ma",)),
    ("دي", "ي", ("iq",)), ("دت", "ت", ("iq",)), ("دن", "ن", ("iq",)),
)  # fmt: skip
# Letters of Iraqi and Gulf spelling → the standard letters they stand for: گاعد is قاعد (sitting), چبير كبير (big).
_LETTERS = (str.maketrans("گچپڤ", "قكبف"), str.maketrans("گچپڤ", "كجبف"))
_FOREIGN = frozenset("گچپڤ")
_PLURALS = ("وا", "و")
# Particles before a verb, which the standard sentence leaves out.
_BEFORE_VERB = read_folded("dialects: before a verb")
# Words that only ask for pictures, such as "I want" in «عايز صورة كلب». Some (_MAY_ASK) do so only before a word for
# "picture": in the Gulf «أبي صور البحر» is "I want pictures of the sea", but «أبي وأمي» are one's parents.
_ASKING = read_folded("dialects: asking")
_MAY_ASK = read_folded("dialects: may ask")
_PICTURES = read_folded("dialects: pictures")
_KINDS_OF_PICTURES = read_folded("dialects: after pictures")
_OF = read_folded("dialects: of")
# words → the dialects in which they may mean "of"; elsewhere they mean "money" and "right"
_MAY_BE_OF = {fold("مال"): ("gf", "iq"), fold("حق"): ("gf",)}
_ONE = fold("واحد")
_PRESENT = re.compile("[يتن].{3}|ب[يتن].{2}")  # a verb in the present tense, such as يلعب, in Lebanon بيلعب (plays)
_AFTER_NOUN = frozenset(map(fold, ("ده", "دي", "دا", "دول")))


class Dialects:
    """Finds the standard words that dialect words stand for."""

    def __init__(self, lexicon: Lexicon, vocabulary: Vocabulary, names: Collection[str] = ()) -> None:
        """Take the word lists. `names` are folded names; لبنان (Lebanon) is never split into ل and بنان (bananas)."""
        self.lexicon, self.vocabulary, self._names = lexicon, vocabulary, names

    def phrase(self, words: Sequence[str], at: int) -> list[Change]:
        """Return what the longest phrase of the lexicon that begins at word `at` may stand for: لاب توب → حاسوب محمول.

        Empty if no phrase begins there. A phrase does not count if captions use each of its words very often.
        """
        for width in range(min(self.lexicon.longest, len(words) - at), 1, -1):
            if all(self.vocabulary.count(word) >= VERY_OFTEN for word in words[at : at + width]):
                continue  # words that captions use very often are standard: «كلب صغير», a small dog
            typed = " ".join(words[at : at + width])
            if found := self._translate_stem(typed, typed, "", self.lexicon.find(typed)):
                return [replace(change, width=width) for change in found]
        return []

    def word(self, words: Sequence[str], at: int) -> list[Change]:
        """Return what word `at` may be in standard Arabic, likeliest first; empty if it is standard or unknown."""
        word = words[at]
        if sure := _asks_only(words, at):
            return [Change(word, "", "dialect", sure)]
        if at and fold(words[at - 1]) in _PICTURES and _asks_only(words, at - 1) and (shown := self._after_of(word)):
            return [Change(word, shown, "dialect", RULE)]
        if particle := self._drop_particle(words, at):
            return [particle]
        if found := self._translate_stem(word, word, "", self.lexicon.find(word)):
            if _is_described_thing(words, at):
                found = [replace(each, confidence=RULE) if each.confidence == AMBIGUOUS else each for each in found]
            return [change for change in found if not _is_in_phrase(words, at, change.target)]
        if not _FOREIGN.isdisjoint(word):
            return self._respell(word)
        if self.vocabulary.count(word) >= OFTEN or fold(word) in self.lexicon.standard or fold(word) in self._names:
            return []
        return self._translate_parts(word)

    def _after_of(self, word: str) -> str:
        """Return the word after "picture of" without the ل that means "of": «صورة لكلب» → كلب, «صور للبحر» → البحر.

        Empty if the word has no such ل: it begins with another letter, or is more common than the rest after the ل, as
        لبنان is. Also empty if that rest is unknown.
        """
        if not word.startswith("ل"):
            return ""
        stem = f"ال{word[2:]}" if word.startswith("لل") else word[1:]
        count = self.vocabulary.count(stem)
        known = count >= OFTEN or fold(stem) in self.lexicon.standard
        return stem if known and count >= self.vocabulary.count(word) else ""

    def _respell(self, word: str) -> list[Change]:
        """Return what a word with a letter such as گ may be: يگعد → يقعد → يجلس, الچلب → الكلب; empty if unknown."""
        if found := self._translate_parts(word):
            return found
        for letters in _LETTERS:
            plain = word.translate(letters)
            found = self._translate_stem(word, plain, "", self.lexicon.find(plain))
            found = found or [replace(change, source=word) for change in self._translate_parts(plain)]
            if found:
                return found
            known = fold(plain) in self.lexicon.standard or self.vocabulary.count(plain) >= OFTEN
            if known or any(self.vocabulary.count(stem) >= OFTEN for _, stem in split_proclitics(plain)):
                usual = self.vocabulary.spelling(plain) or self.vocabulary.spelling_of_parts(plain) or plain
                return [Change(word, usual, "dialect", RULE, ("gf", "iq"))]
        return []

    def _translate_parts(self, word: str) -> list[Change]:
        """Take a dialect word apart, and return what it may be in standard Arabic; empty if it is unknown.

        It may be a prefix and a known word, an inflected noun, or a present-tense verb.
        """
        for typed, standard in _BEGINNINGS:
            stem = word.removeprefix(typed)
            if stem != word and len(stem) >= MIN_STEM - 1 and (found := self._translate_rest(word, stem, standard)):
                return found
        for prefix, stem in (*split_proclitics(word), *_split_article(word)):
            if found := self._translate_stem(word, stem, prefix, self.lexicon.find(stem)):
                return found
        return self._translate_inflection(word) or self._translate_verb(word)

    def _translate_stem(self, typed: str, stem: str, prefix: str, forms: Iterable[Form]) -> list[Change]:
        """Return a change for each of the lexicon's `forms` of a stem, the likeliest first; empty for standard words.

        Args:
            typed: the typed word or words that the changes replace.
            prefix: the standard beginning (an article, a preposition) that is put before each standard word.
        """
        telling = not _FOREIGN.isdisjoint(stem)  # a letter such as چ is dialect: چلب is nothing but "dog"
        count = 0 if telling else self.vocabulary.count(stem)
        own = count >= VERY_OFTEN or (fold(stem) in self.lexicon.standard and not telling)
        changes: list[Change] = []
        if count >= NEVER:
            return changes
        for place, form in enumerate(forms):
            if fold(form.standard) == fold(stem) or (prefix.endswith(("ال", "لل")) and self._is_verb(form.standard)):
                continue
            labels = tuple(label for label in form.labels if label in DIALECTS)
            ambiguous = own or (form.ambiguous and not telling)
            # an ambiguous meaning is unlikely if a sure one came before: شجر means trees, and only in Iraq zucchini
            doubtful = form.ambiguous and bool(changes) and not changes[0].ambiguous
            # if captions use the form itself, it is unlikely to stand for another word
            if own or doubtful or (count >= OFTEN and not labels):
                confidence = UNLIKELY
            else:
                confidence = AMBIGUOUS if ambiguous else ALSO_KNOWN if count >= OFTEN else SURE
            confidence *= 0.5**place
            target = _join_prefix(prefix, form.standard)
            changes.append(Change(typed, target, "dialect", confidence, labels, ambiguous=ambiguous))
        return changes

    def _is_verb(self, standard: str) -> bool:
        return (standard[0] == "ي" and len(standard) > 3) or (
            standard[0] == "ت" and "ي" + standard[1:] in self.lexicon.standard
        )

    def _translate_rest(self, word: str, stem: str, standard: str) -> list[Change]:
        """Return what `word`, a dialect's prefix and `stem`, may be in standard Arabic; empty if the stem is unknown.

        `standard` is the prefix in standard Arabic, which the changes put before the stem's standard word.
        """
        found = self._translate_stem(word, stem, standard, self.lexicon.find(stem))
        if found and found[0].confidence > UNLIKELY:
            return found
        if spelled := self.vocabulary.spelling(stem):
            return [Change(word, standard + spelled, "dialect", RULE)]
        if standard.endswith("ال") and (spelled := self.vocabulary.spelling("ال" + stem)):
            return [Change(word, standard.removesuffix("ال") + spelled, "dialect", RULE)]
        if standard == "على ال" and len(stem) >= LEAST_STEM and not self.vocabulary.knows(word):
            return [Change(word, standard + stem, "dialect", ARTICLE_SURE)]
        return []

    def _drop_particle(self, words: Sequence[str], at: int) -> Change | None:
        """Return the change that leaves out word `at` if it is a particle that standard Arabic lacks; else None."""
        folded = fold(words[at])
        following = words[at + 1] if at + 1 < len(words) else ""
        if folded in _BEFORE_VERB and _PRESENT.match(following):
            return Change(words[at], "", "dialect", RULE)
        if folded == _ONE and following.startswith("ال"):  # in Morocco, «واحد الراجل» is "a man", not "one the man"
            return Change(words[at], "", "dialect", RULE, ("ma",))
        if folded in _MAY_BE_OF and at and following and fold(following) not in ENDS:
            # a definite word or a name makes "of" likely: كتاب حق الولد, the boy's book
            possessed = following.startswith("ال") or fold(following) in self._names
            confidence = RULE if possessed else AMBIGUOUS
            return Change(words[at], "", "dialect", confidence, _MAY_BE_OF[folded], ambiguous=True)
        if (folded in _OF and at and following) or (folded in _AFTER_NOUN and at):
            return Change(words[at], "", "dialect", RULE, ambiguous=self.vocabulary.count(words[at]) >= OFTEN)
        return None

    def _translate_inflection(self, word: str) -> list[Change]:
        """Translate a plural, dual or possessive: عربيات, عربيتين, عربيته → سيارات, سيارتين, سيارته; or return []."""
        stems = [("", word), *split_proclitics(word)]
        for prefix, stem in stems:
            folded = fold(stem)
            for ending, feminine in (
                ("ات", False),
                ("تين", True),
                ("ين", False),
                ("ته", True),
                ("تي", True),
                ("تنا", True),
                ("ها", False),
                ("ه", False),
            ):
                bare = folded.removesuffix(ending)
                if bare == folded or len(bare) < MIN_STEM - 1 or stem.endswith("ة"):
                    continue
                if bare + "ه" in self.lexicon.standard:
                    return []  # بطاقتي (my card) is of بطاقة, a standard word, and never ب (with) and طاقة (energy)
                for form in self.lexicon.find(bare + "ه") or (() if feminine else self.lexicon.find(bare)):
                    if form.standard.endswith("ه") or (form.ambiguous and not feminine and ending != "ات"):
                        continue
                    target = self._add_ending(form.standard, ending)
                    confidence = AMBIGUOUS if form.ambiguous else RULE
                    return [Change(word, _join_prefix(prefix, target), "dialect", confidence, form.labels)]
        return []

    def _add_ending(self, standard: str, ending: str) -> str:
        """Return the plural, dual or possessive of a standard noun with this ending; a phrase stays as it is."""
        if " " in standard:
            return standard
        if ending == "ات":
            return self.lexicon.plurals.get(standard) or standard.removesuffix("ة") + "ات"
        stem = standard.removesuffix("ة") + "ت" if standard.endswith("ة") else standard
        return (stem + ending.removeprefix("ت")).replace("ءي", "ئي").replace("ىن", "ان")

    def _translate_verb(self, word: str) -> list[Change]:
        """Return the standard form of a present-tense verb: بيلعب → يلعب; empty if the word is no such verb."""
        for typed, standard, labels in _VERBS:
            if not word.startswith(typed) or len(word) < 4:
                continue
            verb = standard + word[2:]
            for attempt in (verb, *(verb.removesuffix(end) + "ون" for end in _PLURALS if verb.endswith(end))):
                if spelled := self.vocabulary.spelling(attempt):
                    return [Change(word, spelled, "dialect", RULE, labels)]
                if found := self._translate_stem(word, attempt, "", self.lexicon.find(attempt)):
                    return found
        for end in _PLURALS:  # يلعبوا → يلعبون, "they play" in a dialect and in standard Arabic
            if (
                word.endswith(end)
                and word[0] in "يت"
                and (spelled := self.vocabulary.spelling(word.removesuffix(end) + "ون"))
            ):
                return [Change(word, spelled, "dialect", RULE)]
        if word.startswith("و") and len(word) > 5 and (found := self._translate_verb(word[1:])):
            # و is "and": وبيلعب, "and plays"
            return [replace(change, source=word, target="و" + change.target) for change in found]
        return []


def _split_article(word: str) -> Iterable[tuple[str, str]]:
    """Split a word of an article and two letters, such as البر: yield (article, two letters). Else yield nothing."""
    for article in ("وال", "بال", "لل", "ال"):
        if word.startswith(article) and len(word) == len(article) + 2:
            yield article, word.removeprefix(article)


def _asks_only(words: Sequence[str], at: int) -> float:
    """Return the confidence that word `at` only asks for pictures of what follows; 0 if it says what they show.

    A word must follow, and all words before word `at` must also be words that ask. «صورة كلب» (picture of a dog) asks
    for a dog, but «صورة عائلية» (family picture) names a kind of picture. If a «صورة» at the beginning stayed in
    queries, R@10 would be a point lower.
    """
    following = fold(words[at + 1]) if at + 1 < len(words) else ""
    if not following or not all(fold(before) in _ASKING or fold(before) in _MAY_ASK for before in words[:at]):
        return 0.0
    word = fold(words[at])
    if word in _PICTURES:
        return 0.0 if following.endswith(ADJECTIVE) or following in _KINDS_OF_PICTURES else RULE
    return SURE if word in _ASKING or (word in _MAY_ASK and following in _PICTURES | _ASKING) else 0.0


def _is_described_thing(words: Sequence[str], at: int) -> bool:
    """True if the query's first word looks like an adjective in «ية» but is a noun, since a quality follows it.

    «عربية زرقا» is a blue car; the adjective "Arabic" would follow its noun.
    """
    return at == 0 and len(words) > 1 and fold(words[0]).endswith(ADJECTIVE) and is_quality(words[1])


def _is_in_phrase(words: Sequence[str], at: int, target: str) -> bool:
    """True if the word at `at` is already part of the phrase `target`: in جواز سفر, جواز is not changed to جواز سفر."""
    phrase = fold(target).split()
    starts = range(max(0, at - len(phrase) + 1), at + 1)
    return len(phrase) > 1 and any([*map(fold, words[start : start + len(phrase)])] == phrase for start in starts)


def raise_by_evidence(slots: Sequence[Sequence[Change]]) -> list[list[Change]]:
    """Make changes of ambiguous dialect words surer if another word of the text is of the same dialect.

    The other word counts more if only one dialect has it. The likelier of two meanings of a word gains more. `slots`
    lists for each word its possible changes (`Change`); the result has the same form.
    """
    sure = {slot[0].dialects for slot in slots if slot and slot[0].kind == "dialect" and not slot[0].ambiguous} - {()}
    return [[_raise_confidence(change, sure, 0.5**place) for place, change in enumerate(slot)] for slot in slots]


def _raise_confidence(change: Change, sure: Iterable[tuple[str, ...]], share: float) -> Change:
    """Raise an ambiguous change's confidence by a part of EVIDENCE, and to SURE at most.

    `sure` has, for each certain dialect word, the dialects that have it. `share` is the part of EVIDENCE that this
    meaning may gain: 1 for the likeliest meaning of the word, ½ for the next.
    """
    if not change.ambiguous:
        return change
    shared = max((len({*change.dialects} & {*labels}) / len(labels) for labels in sure), default=0.0)
    return replace(change, confidence=min(change.confidence + EVIDENCE * share * shared, SURE)) if shared else change


def _join_prefix(prefix: str, standard: str) -> str:
    """Return a standard word with the prefix that its dialect word had.

    An article in the prefix is left out if the standard word is a phrase or has an article already.
    """
    if prefix.endswith("لل") and standard.startswith("ال"):
        return prefix + standard.removeprefix("ال")
    if (" " in standard or standard.startswith("ال")) and prefix.endswith(("ال", "لل")):
        return prefix.removesuffix("ال").removesuffix("لل") + standard
    return prefix + standard
