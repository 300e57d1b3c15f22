"""Words of Arabizi that are no matter of letters: what stands before others, function words, common exceptions."""

# Written apart before a noun or a verb, in Arabizi: what they are in front of the Arabic word.
PREFIXES = {
    "el": "ال", "al": "ال", "il": "ال", "l": "ال", "w": "و", "we": "و", "wi": "و", "wa": "و", "wel": "وال", "wl": "وال",
    "fel": "في ال", "fil": "في ال", "fl": "في ال", "bel": "بال", "bil": "بال", "bl": "بال", "3al": "على ال",
    "3l": "على ال",
    "lel": "لل", "lil": "لل", "lal": "لل", "le": "ل", "mel": "من ال", "mnel": "من ال", "bi": "ب", "b": "ب",
    "li": "ل", "hal": "ال",
}  # fmt: skip
ARTICLES = frozenset(typed for typed, prefix in PREFIXES.items() if prefix.endswith(("ال", "لل")) and len(typed) > 1)
VERB_PREFIXES = ("b", "bi", "k", "ka")
WORDS = {
    "fi": "في", "fe": "في", "f": "في", "fy": "في", "3ala": "على", "3la": "على", "ala": "على", "ma3": "مع", "m3a": "مع",
    "m3": "مع", "men": "من", "min": "من", "mn": "من", "ta7t": "تحت", "fo2": "فوق", "fou9": "فوق", "foq": "فوق",
    "odam": "أمام", "2odam": "أمام", "oddam": "أمام", "9oddam": "أمام", "gamb": "بجانب", "ganb": "بجانب",
    "janb": "بجانب",
    "wara": "خلف", "da": "", "di": "", "dah": "", "elli": "", "elly": "", "illi": "", "lli": "", "beta3": "",
    "dyal": "",
    "kbir": "كبير", "kbeer": "كبير", "kebir": "كبير", "7amra": "حمراء", "la": "لا", "3nd": "عند", "3and": "عند",
    "3am": "", "kay": "", "tay": "", "wahd": "", "wa7d": "", "w7ed": "", "wa7ed": "", "wahed": "",
    # what asks for pictures: 3ayez sora, biddi soura, abgha sowar, bghit tsawer
    "3ayez": "", "3ayza": "", "3awez": "", "3awza": "", "bidde": "", "biddi": "", "badde": "", "baddi": "", "bddi": "",
    "abgha": "", "abghi": "", "bghit": "", "warini": "", "warrini": "", "werini": "", "wareeni": "",
    "shou": "", "shu": "", "esh": "", "eish": "", "wesh": "", "shno": "", "chno": "", "areed": "", "ureed": "",
    "oreed": "", "farjini": "", "warjini": "", "bedi": "", "beddi": "", "bidi": "", "ana": "", "ashoof": "",
    "ashouf": "", "ashof": "", "nshouf": "", "nshoof": "", "nchouf": "",
}  # fmt: skip
# "Sitting", and before a verb a particle that says it goes on: walad ga3ed yel3ab.
SITTING = frozenset(("2a3ed", "9a3ed", "ga3ed", "qa3ed", "2a3da", "9a3da", "ga3da", "qa3da"))
# Everyday words whose letters are nearer to another word: otta is not أتى, 7elwa not حلوى.
USUAL = {
    "otta": "قطة", "2otta": "قطة", "atta": "قطة", "2ot": "قط", "2otat": "قطط", "otat": "قطط",
    "7elwa": "جميلة", "7ilwa": "جميلة", "7elw": "جميل", "7elwin": "جميلون", "helwa": "جميلة",
    "3arabia": "عربية", "3arabya": "عربية", "3rabia": "عربية", "3arabeya": "عربية", "3arabeyya": "عربية",
    "3arabiyya": "عربية",
    "3agala": "عجلة", "3agla": "عجلة", "3ajala": "عجلة",
    "sora": "صورة", "soura": "صورة", "soora": "صورة", "souret": "صورة", "soret": "صورة",
    "swar": "صور", "sowar": "صور", "walad": "ولد", "wlad": "أولاد",
}  # fmt: skip
