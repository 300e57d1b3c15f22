"""Data: names of months, seasons, feasts and times in Arabic (of all regions) and English.

The names are folded: their spelling variants are made equal, see `text.folding`.
"""

from araclip.text.folding import fold
from araclip.text.word_lists import read_entries, read_numbered_forms, read_phrases, split_forms

_MONTHS = read_entries("dates: months")
_HIJRI = read_entries("dates: Hijri months")
_SEASONS = {"شتاء|الشتاء|شتا|winter": (12, 1, 2), "ربيع|الربيع|spring": (3, 4, 5), "صيف|الصيف|summer": (6, 7, 8),
            "خريف|الخريف|autumn|fall": (9, 10, 11)}  # fmt: skip
_FEASTS = {  # name of a feast → (Hijri month, first day, last day)
    "رأس السنة الهجرية": (1, 1, 1),
    "عيد الفطر|العيد الصغير|eid al fitr": (10, 1, 3),
    "عيد الأضحى|العيد الكبير|عيد الاضحي|eid al adha": (12, 10, 13),
}


# Name of a feast → its first and its last day, each as (years before, month, day); (1, 12, 31) is the 31st of December
# of the year before the feast's year.
_GREGORIAN_FEASTS = {
    "رأس السنة|ليلة رأس السنة|رأس السنة الميلادية|new year|new years": ((1, 12, 31), (0, 1, 1)),
    "الكريسماس|كريسماس|عيد الميلاد المجيد|christmas": ((0, 12, 24), (0, 12, 25)),
    "عيد الحب|الفالنتاين|valentines|valentine": ((0, 2, 14), (0, 2, 14)),
    "عيد الأم": ((0, 3, 21), (0, 3, 21)),
}
_WEEKDAYS = read_entries("dates: weekdays")
_WEEKEND = "نهاية الأسبوع|عطلة نهاية الأسبوع|آخر الأسبوع|الويكند|ويكند|الويك اند|weekend"

MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in split_forms(names)}
HIJRI_MONTHS = {name: number for number, names in enumerate(_HIJRI, 1) for name in split_forms(names)}
SEASONS = {name: months for names, months in _SEASONS.items() for name in split_forms(names)}
FEASTS = {name: days for names, days in _FEASTS.items() for name in split_forms(names)}
GREGORIAN_FEASTS = {name: days for names, days in _GREGORIAN_FEASTS.items() for name in split_forms(names)}
# «أول أيام» (the first day of), … → how many days after the feast's first day
DAYS_OF_A_FEAST = {form: place for place, form in read_numbered_forms("dates: days of a feast")}
# «العيد اللي فات», the last Eid, may be Eid al-Fitr or Eid al-Adha: it is the one that was celebrated later
EITHER_FEAST = read_phrases("dates: either feast")
EITHER_OF = ((10, 1, 3), (12, 10, 13))  # Eid al-Fitr and Eid al-Adha: (Hijri month, first day, last day)
# Names of months that are also common words, such as "may": they count only in a longer date, such as "17 may", "last
# may", "since may".
AMBIGUOUS = read_phrases("dates: ambiguous")
# (preposition, month): after "in", even one of the AMBIGUOUS months is a month: «في مارس» (in March), "in may".
TOLD_BY_IN = frozenset(
    (preposition, name)
    for preposition, names in ((fold("في"), "مارس|نيسان|آب|أوت|جوان"), ("in", "may|sep|dec|jan"))
    for name in split_forms(names)
)
# Words for "last" after feminine nouns and plurals; of the days of the week, they fit only الجمعة (Friday).
LAST_FEMININE = read_phrases("dates: last, feminine")
LAST = LAST_FEMININE | frozenset(
    split_forms(
        "الماضي|الفائت|السابق|المنصرم|last|اللي فات|اللي راح|اللي طاف|اللي داز|اللي فايت|اللي عدى|اللي مضى|"
        "الي فات|الي راح"
    )
)
THIS = read_phrases("dates: this")
THIS_YEAR = read_phrases("dates: this year")
# Name → (its last weekday, number of days). A weekend is Friday to Sunday, as some countries rest on Friday and others
# on Sunday.
WEEKDAYS = {name: (day, 1) for day, names in enumerate(_WEEKDAYS) for name in split_forms(names)}
WEEKDAYS |= dict.fromkeys(split_forms(_WEEKEND), (6, 3))
NUMBERS_TOO = read_phrases("dates: numbers too")  # weekdays that are also numbers: «السنوات الأربع», the four years
YEAR_WORDS = read_phrases("dates: year")
# Words that show that «العام» before them means "general", not "year": «المدير العام السابق», former general manager.
OF_AN_OFFICE = read_phrases("dates: of an office")
# Things named after a day or a month, which is then no date: «ميدان 25 يناير» (25 January Square), «حرب أكتوبر» (the
# October War).
BEFORE_ITS_DAY = read_phrases("dates: called after a day")
AFTER_ITS_DAY = read_phrases("dates: called after a day, English")
MONTH_WORDS = read_phrases("dates: month")
WEEK_WORDS = read_phrases("dates: week")
GREGORIAN_MARKS = read_phrases("dates: Gregorian")
HIJRI_MARKS = read_phrases("dates: Hijri")
TODAY, NOW, RECENT = read_phrases("dates: today"), read_phrases("dates: now"), read_phrases("dates: up to today")
# «الأول» (the first), «الخامس عشر» (the fifteenth), … → the day of a month
BY_ORDER = {form: 1 + place for place, form in read_numbered_forms("numbers: days by order")}
PARTS_OF_A_MONTH = read_phrases("dates: parts of a month")
# words such as "early", "middle" and "end" of a month or year → 0, 1 or 2, for its first, second or last third
THIRDS = {form: place for place, form in read_numbered_forms("dates: thirds")}
# «أول يوم» (the first day), «أواخر» (the end), … → (first, last) day of a Hijri month
PARTS_OF_A_HIJRI_MONTH = {form: (1 + place, 1 + place) for form, place in DAYS_OF_A_FEAST.items()}
PARTS_OF_A_HIJRI_MONTH |= {form: (10 * third + 1, 10 * third + 10) for form, third in THIRDS.items()}
_YESTERDAYS = {
    "أمس|امبارح|إمبارح|مبارح|البارحة|البارح|أمبارح|الليلة الماضية|ليلة أمس|ليلة البارحة|yesterday|last night": 1,
    "أول أمس|أول امبارح|أول إمبارح|أول مبارح|أول البارحة|أول البارح|أمس الأول|قبل أمس|قبل الأمس|أول الأمس|"
    "day before yesterday": 2,
}
YESTERDAYS = {name: back for names, back in _YESTERDAYS.items() for name in split_forms(names)}
BEFORE, AFTER = frozenset(split_forms("قبل|before")), frozenset(split_forms("بعد|منذ|من بعد|since|after"))
UNTIL = read_phrases("dates: until")  # unlike "before 2015", «حتى 2015» (until 2015) includes 2015
AND = read_phrases("dates: and")
BETWEEN = read_phrases("dates: between")
FROM, TO = BETWEEN | AFTER | frozenset(split_forms("من|from")), AND | UNTIL | read_phrases("dates: to")
OF_AN_END = read_phrases("dates: before an end")  # words before an end of a span, skipped: شهر (month) in «من شهر مايو»
# Words that are removed from a query together with the date after them.
LEADING = read_phrases("dates: leading")
DECADES = {
    name: start
    for names, start in (
        ("التسعينات|التسعينيات|تسعينات القرن الماضي|تسعينيات القرن الماضي|90s|1990s", 1990),
        ("الثمانينات|الثمانينيات|ثمانينات القرن الماضي|ثمانينيات القرن الماضي|80s|1980s", 1980),
        ("السبعينات|السبعينيات|سبعينات القرن الماضي|سبعينيات القرن الماضي|70s|1970s", 1970),
        ("الستينات|الستينيات|ستينات القرن الماضي|ستينيات القرن الماضي|60s|1960s", 1960),
    )
    for name in split_forms(names)
}
