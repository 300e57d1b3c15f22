"""Names of months, seasons, feasts and times in Arabic (all its regions) and English, folded. Data."""

from araclip.text.folding import fold

_MONTHS = (
    "يناير|كانون الثاني|جانفي|january|jan", "فبراير|شباط|فيفري|february|feb", "مارس|آذار|march",
    "أبريل|ابريل|نيسان|أفريل|april|apr",
    "مايو|أيار|ماي|may", "يونيو|حزيران|جوان|june|jun", "يوليو|تموز|جويلية|يوليوز|july|jul",
    "أغسطس|آب|أوت|غشت|august|aug",
    "سبتمبر|أيلول|شتنبر|september|sept|sep", "أكتوبر|تشرين الأول|october|oct", "نوفمبر|تشرين الثاني|نونبر|november|nov",
    "ديسمبر|كانون الأول|دجنبر|december|dec",
)  # fmt: skip
_HIJRI = (
    "محرم", "صفر", "ربيع الأول", "ربيع الثاني|ربيع الآخر", "جمادى الأولى|جمادي الأول",
    "جمادى الآخرة|جمادى الثانية|جمادي الثاني",
    "رجب", "شعبان", "رمضان|ramadan", "شوال", "ذو القعدة|ذي القعدة", "ذو الحجة|ذي الحجة",
)  # fmt: skip
_SEASONS = {"شتاء|الشتاء|شتا|winter": (12, 1, 2), "ربيع|الربيع|spring": (3, 4, 5), "صيف|الصيف|summer": (6, 7, 8),
            "خريف|الخريف|autumn|fall": (9, 10, 11)}  # fmt: skip
_FEASTS = {
    "رأس السنة الهجرية": (1, 1, 1),
    "عيد الفطر|العيد الصغير|eid al fitr": (10, 1, 3),
    "عيد الأضحى|العيد الكبير|عيد الاضحي|eid al adha": (12, 10, 13),
}


def _folded(names: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(fold(name).split()) for name in names.split("|"))


_GREGORIAN_FEASTS = {  # first and last day: years before the one that is named, month, day
    "رأس السنة|ليلة رأس السنة|رأس السنة الميلادية|new year|new years": ((1, 12, 31), (0, 1, 1)),
    "الكريسماس|كريسماس|عيد الميلاد المجيد|christmas": ((0, 12, 24), (0, 12, 25)),
    "عيد الحب|الفالنتاين|valentines|valentine": ((0, 2, 14), (0, 2, 14)),
    "عيد الأم": ((0, 3, 21), (0, 3, 21)),
}
_WEEKDAYS = (  # as `date.weekday` counts
    "الاثنين|الإثنين|الاتنين|التنين|monday", "الثلاثاء|التلات|الثلاثا|tuesday", "الأربعاء|الأربع|wednesday",
    "الخميس|thursday", "الجمعة|friday", "السبت|saturday", "الأحد|الحد|sunday",
)  # fmt: skip
_WEEKEND = "نهاية الأسبوع|عطلة نهاية الأسبوع|آخر الأسبوع|الويكند|ويكند|الويك اند|weekend"

MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in _folded(names)}
HIJRI_MONTHS = {name: number for number, names in enumerate(_HIJRI, 1) for name in _folded(names)}
SEASONS = {name: months for names, months in _SEASONS.items() for name in _folded(names)}
FEASTS = {name: days for names, days in _FEASTS.items() for name in _folded(names)}
GREGORIAN_FEASTS = {name: days for names, days in _GREGORIAN_FEASTS.items() for name in _folded(names)}
EITHER_FEAST = frozenset(_folded("العيد|عيد"))  # «العيد اللي فات» is the later one of these two
EITHER_OF = ((10, 1, 3), (12, 10, 13))
# Also common words: only beside a year, or after "month".
AMBIGUOUS = frozenset(_folded("مارس|نيسان|ماي|آب|أوت|جوان|march|may|jan|mar|sep|dec|صفر|محرم|رجب|fall"))
# «في مارس», "in may": after these words even one that is ambiguous elsewhere is a month.
TOLD_BY_IN = frozenset(
    (preposition, name)
    for preposition, names in ((fold("في"), "مارس|نيسان|آب|أوت|جوان"), ("in", "may|sep|dec|jan"))
    for name in _folded(names)
)
# Of feminine words and of several: the days of the week but الجمعة are neither.
LAST_FEMININE = frozenset(
    _folded(
        "الماضية|الفائتة|السابقة|المنصرمة|اللي فاتت|اللي راحت|اللي طافت|اللي دازت|اللي فايتة|اللي عدت|اللي مضت|"
        "اللي فاتوا|اللي راحوا|اللي عدوا"
    )
)
LAST = LAST_FEMININE | frozenset(
    _folded("الماضي|الفائت|السابق|المنصرم|last|اللي فات|اللي راح|اللي طاف|اللي داز|اللي فايت|اللي عدى|اللي مضى")
)
THIS = frozenset(_folded("هذا|هذه|الحالي|الحالية|ده|دي|هاد|هادا|هادي|هاذي|هذي|هاي|this"))
THIS_YEAR = frozenset(_folded("السنادي|السنة دي|السنة هذي"))
# The weekday that it ends with, and how many days it has. A weekend is Friday to Sunday, as some countries rest on
# Friday and others on Sunday.
WEEKDAYS = {name: (day, 1) for day, names in enumerate(_WEEKDAYS) for name in _folded(names)}
WEEKDAYS |= dict.fromkeys(_folded(_WEEKEND), (6, 3))
NUMBERS_TOO = frozenset(_folded("الأربع|التلات"))  # four and three: «السنوات الأربع الماضية»
YEAR_WORDS = frozenset(_folded("سنة|السنة|عام|العام|year"))
# What follows «العام» where that is "general", as in «المدير العام السابق».
OF_AN_OFFICE = frozenset(_folded("السابق|الحالي|ده|دا|هذا|هاد|هادا"))
# What is called after a day of the year or a month: «ميدان 25 يناير», «حرب أكتوبر»; "6th of October bridge".
BEFORE_ITS_DAY = frozenset(_folded("مدينة|ميدان|ساحة|شارع|طريق|محور|كوبري|جسر|نفق|حي|جامعة|استاد|ثورة|انتفاضة|حرب"))
AFTER_ITS_DAY = frozenset(_folded("city|bridge|square|street|university|revolution|war"))
MONTH_WORDS = frozenset(_folded("شهر|الشهر|month"))
WEEK_WORDS = frozenset(_folded("أسبوع|الأسبوع|week"))
GREGORIAN_MARKS = frozenset(_folded("م|ميلادي|ميلادية"))
HIJRI_MARKS = frozenset(_folded("هـ|هجري|هجرية|ه"))
TODAY = frozenset(_folded("اليوم|النهاردة|today"))
_YESTERDAYS = {
    "أمس|امبارح|إمبارح|مبارح|البارحة|البارح|أمبارح|الليلة الماضية|ليلة أمس|ليلة البارحة|yesterday|last night": 1,
    "أول أمس|أول امبارح|أول إمبارح|أول مبارح|أول البارحة|أول البارح|أمس الأول|قبل أمس|day before yesterday": 2,
}
YESTERDAYS = {name: back for names, back in _YESTERDAYS.items() for name in _folded(names)}
BEFORE, AFTER = frozenset(_folded("قبل|before")), frozenset(_folded("بعد|منذ|من بعد|since|after"))
UNTIL = frozenset(_folded("حتى|لغاية|لحد|until|till"))  # «حتى 2015» has the pictures of 2015, too
AND = frozenset(_folded("و|and"))
BETWEEN = frozenset(_folded("بين|between"))
FROM, TO = BETWEEN | frozenset(_folded("من|from")), AND | UNTIL | frozenset(_folded("إلى|الى|لـ|ل|to"))
OF_AN_END = frozenset(_folded("شهر|يوم"))  # what may stand before an end of a span: من شهر مايو إلى شهر يوليو
# Absorbed where they stand before a date.
LEADING = frozenset(_folded("في|من|خلال|عام|سنة|شهر|يوم|لعام|لسنة|بتاريخ|تاريخ|in|from|of|during|the|on|year|month"))
DECADES = {
    name: start
    for names, start in (
        ("التسعينات|التسعينيات|تسعينات القرن الماضي|تسعينيات القرن الماضي|90s|1990s", 1990),
        ("الثمانينات|الثمانينيات|ثمانينات القرن الماضي|ثمانينيات القرن الماضي|80s|1980s", 1980),
        ("السبعينات|السبعينيات|سبعينات القرن الماضي|سبعينيات القرن الماضي|70s|1970s", 1970),
        ("الستينات|الستينيات|ستينات القرن الماضي|ستينيات القرن الماضي|60s|1960s", 1960),
    )
    for name in _folded(names)
}
