"""The site's search: English words by their stems, Arabic ones however hamza and article are written.

Sphinx makes the index with `stem` and asks it, in the browser, with the same rules in JavaScript. Both are made from
the tables below, so they cannot differ.
"""

import json
import re
from typing import Any

from sphinx import package_dir
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

ENGLISH = package_dir / "search" / "minified-js"  # Snowball's stemmer, which Sphinx brings

# As `araclip.text.folding` for the letters that the documentation's Arabic has.
LETTERS = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ئ": "ي", "ؤ": "و", "ة": "ه"}
MARKS = "[\u0610-\u061a\u0640\u064b-\u065f\u0670]"  # tashkeel and tatweel
PREFIX = "^(?:[وف]?(?:ال|بال|كال|لل)|و(?=....))(?=...)"  # «والصور» is found by «صور», «للبحث» by «بحث»
ARABIC = "[\u0600-\u06ff]"

JAVASCRIPT = """
const arabicLetters = %(letters)s;
const foldArabic = (word) =>
  word.replace(/%(marks)s/g, "").replace(/%(arabic)s/g, (letter) => arabicLetters[letter] ?? letter);
var Stemmer = function () {
  const english = new EnglishStemmer();
  this.stemWord = (word) =>
    /%(arabic)s/.test(word) ? foldArabic(word).replace(/%(prefix)s/, "") : english.stemWord(word);
};
"""
SPLITTER = """
var splitQuery = (query) =>
  query.replace(/%(marks)s/g, "").split(/[^\\p{Letter}\\p{Number}_]+/gu).filter((word) => word);
"""


class SearchBoth(SearchEnglish):
    """English as Sphinx has it, and Arabic."""

    lang = "en+ar"
    language_name = "English and Arabic"
    js_stemmer_rawcode = ""
    js_stemmer_code = "\n".join(
        (
            *((ENGLISH / name).read_text(encoding="utf-8") for name in ("base-stemmer.js", "english-stemmer.js")),
            JAVASCRIPT % {"letters": json.dumps(LETTERS), "marks": MARKS, "arabic": ARABIC, "prefix": PREFIX},
        )
    )
    js_splitter_code = SPLITTER % {"marks": MARKS}

    def split(self, input: str) -> list[str]:  # Sphinx's own name
        """The words of a text; a mark above a letter does not part a word."""
        return super().split(re.sub(MARKS, "", input))

    def stem(self, word: str) -> str:
        """What a word is found by."""
        if not re.search(ARABIC, word):
            return super().stem(word)
        return re.sub(PREFIX, "", "".join(LETTERS.get(letter, letter) for letter in re.sub(MARKS, "", word)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_search_language(SearchBoth)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
