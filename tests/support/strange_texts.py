"""Texts that normalisation may meet, as strategies of Hypothesis."""

from hypothesis import strategies as st

TASHKEEL = "".join(map(chr, (*range(0x064B, 0x0653), *range(0x0656, 0x0660), 0x0670)))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u00ad\u200b\u200c\u2060\ufeff"
TATWEEL, ZWJ, ZWNJ = "\u0640", "\u200d", "\u200c"
LETTERS = "".join(map(chr, (*range(0x0621, 0x063B), *range(0x0641, 0x064B)))) + "ڤچپگکیژ"
DIGITS = "٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹"
EMOJI = ("😀", "👩‍🚀", "❤️", "❤️‍🔥", "🇪🇬", "🇸🇦", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🧔🏿‍♂️", "1️⃣", "☕")
PRESENTATION_FORMS = "".join(map(chr, (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD))))

MARKS = "\u0301\u0316\u0338\u3099\u093c\u0653\u0654\u0344\u0f73\u0f75"  # three of them are composed of two marks
BASES = "aeΐᾂक\u0958ا\u0f40≠\u1100👩\ufe0f\u20e3\u064b\u200d\u2329"

anything = st.text(st.characters(exclude_categories=()))  # lone surrogates too
troublesome = st.text(
    st.one_of(
        st.sampled_from(LETTERS),
        st.sampled_from(TASHKEEL + BIDI + ZERO_WIDTH + TATWEEL + DIGITS),
        st.sampled_from(PRESENTATION_FORMS),
        st.sampled_from([ZWJ, ZWNJ, " ", "\n", "\u00a0", "\u2003"]),
        st.sampled_from("\u0653\u0654\u0655\u06e4\u0301\u0338\u3099\u20e3"),  # marks that compose, reorder or enclose
        st.sampled_from("eE=←→∈が\u2329\u2adc\u212b\u0344"),  # bases they compose with, and letters NFC rewrites
        st.sampled_from("".join(EMOJI)),
        st.sampled_from("\ud83d\ude80\udcff"),
    ),
    max_size=12,
)


stacked = st.lists(st.tuples(st.sampled_from(BASES), st.text(st.sampled_from(MARKS), max_size=40)), max_size=5)
