"""Dates and folders in a query's words."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.gallery.catalog.filters import Filters
from araclip.text.facets.dates import split_date
from araclip.text.facets.folders import split_folder

TODAY = date(2026, 11, 27)
WORDS = [
    "صور", "في", "من", "2019", "٢٠٢١", "صيف", "الشتاء", "الماضي", "رمضان", "1444", "مايو", "أمس", "last", "summer",
    "17",
    "آب",
    "سنتين", "أسبوع", "٣", "years", "ago",
    "شهر", "عام", "عشرين",
    "ألفين", "وتسعتاشر", "واحد", "وفبراير", "إلى", "العيد", "الجمعة", "اللي فات", "رأس السنة", "م",
    "قبل", "بعد", "31", "فبراير", "9999", "هـ",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "left", "filters"),
    [
        ("2019", "", ("captured=2019..2019",)),
        ("كلب في الثلج 2018", "كلب في الثلج", ("captured=2018..2018",)),
        ("صور الشتاء 2019", "صور", ("captured=2019..2019", "month=12,1,2")),
        ("صيف ٢٠٢١", "", ("captured=2021..2021", "month=6,7,8")),
        ("الشتاء الماضي", "", ("captured=2025-12..2026-02",)),
        ("last summer", "", ("captured=2026-06..2026-08",)),
        ("رمضان ١٤٤٤", "", ("captured=2023-03-23..2023-04-20",)),
        ("عيد الفطر 2023", "", ("captured=2023-04-21..2023-04-23",)),
        ("في مايو", "", ("month=5",)),
        ("البحر في مايو 2020", "البحر", ("captured=2020-05..2020-05",)),
        ("17 مايو 2019", "", ("captured=2019-05-17..2019-05-17",)),
        ("17/5/2019", "", ("captured=2019-05-17..2019-05-17",)),
        ("أمس", "", ("captured=2026-11-26..2026-11-26",)),
        ("الشهر الماضي", "", ("captured=2026-10..2026-10",)),
        ("البيت قبل سنتين", "البيت", ("captured=2024..2024",)),
        ("قبل سنة", "", ("captured=2025..2025",)),
        ("قبل سنة في دبي", "في دبي", ("captured=2025..2025",)),
        ("قبل سنة 2019", "", ("captured=..2018",)),
        ("الأولاد من شهرين", "الأولاد", ("captured=2026-09..2026-09",)),
        ("منذ ٣ أيام", "", ("captured=2026-11-24..2026-11-24",)),
        ("قبل خمس سنوات", "", ("captured=2021..2021",)),
        ("two weeks ago", "", ("captured=2026-11-10..2026-11-16",)),
        ("a year ago", "", ("captured=2025..2025",)),
        ("بين 2018 و2020", "", ("captured=2018..2020",)),
        ("بعد 2015", "", ("captured=2015..",)),
        ("على الشاطئ في عام 2019", "على الشاطئ", ("captured=2019..2019",)),
        ("منذ سنة 1440", "", ("captured=2018-09-11..",)),
        ("سنة 1441", "", ("captured=2019-08-31..2020-08-19",)),
        ("١٥ رمضان ١٤٤٤", "", ("captured=2023-04-06..2023-04-06",)),
        ("٢٠١٩م", "", ("captured=2019..2019",)),
        ("2018-2019", "", ("captured=2018..2019",)),
        ("شتاء 2018-2019", "", ("captured=2018-12..2019-02",)),
        ("البحر صيف 21", "البحر", ("captured=2021..2021", "month=6,7,8")),
        ("خريف السنة اللي فاتت", "", ("captured=2025..2025", "month=9,10,11")),
        ("شهر ٧", "", ("month=7",)),
        ("الفرح شهر تسعة 2022", "الفرح", ("captured=2022-09..2022-09",)),
        ("مارس وأبريل 2020", "", ("captured=2020..2020", "month=3,4")),
        ("من نوفمبر إلى فبراير", "", ("month=11,12,1,2",)),
        ("سنة ألفين وأربعتاشر", "", ("captured=2014..2014",)),
        ("ألفين وخمسة وعشرين", "", ("captured=2025..2025",)),
        ("ألف وتسعمية وتمانية وتمانين", "", ("captured=1988..1988",)),
        ("عشرين اتنين وعشرين", "", ("captured=2022..2022",)),
        ("رأس السنة 2024", "", ("captured=2023-12-31..2024-01-01",)),
        ("رأس السنة الهجرية 1444", "", ("captured=2022-07-30..2022-07-30",)),
        ("الكريسماس اللي فات", "", ("captured=2025-12-24..2025-12-25",)),
        ("العيد اللي فات", "", ("captured=2026-05-27..2026-05-30",)),
        ("يوم الخميس الماضي", "", ("captured=2026-11-26..2026-11-26",)),
        ("last friday", "", ("captured=2026-11-20..2026-11-20",)),
        ("البر الويكند اللي فات", "البر", ("captured=2026-11-20..2026-11-22",)),
        ("صور في مارس", "صور", ("month=3",)),
        ("في آب", "", ("month=8",)),
        ("photos in may", "photos", ("month=5",)),
        ("هالسنة", "", ("captured=2026..2026",)),
        ("السنادي", "", ("captured=2026..2026",)),
        ("البحر هالصيف", "البحر", ("captured=2026-06..2026-08",)),
        ("صيف هالسنة", "", ("captured=2026-06..2026-08",)),
        ("هاد الشتا", "", ("captured=2025-12..2026-02",)),
        ("الشتا اللي داز", "", ("captured=2025-12..2026-02",)),
        ("السنة اللي طافت", "", ("captured=2025..2025",)),
        ("العام المنصرم", "", ("captured=2025..2025",)),
        ("أول أمس", "", ("captured=2026-11-25..2026-11-25",)),
        ("أول امبارح", "", ("captured=2026-11-25..2026-11-25",)),
        ("البارح", "", ("captured=2026-11-26..2026-11-26",)),
    ],
)
def test_dates_in_words_become_filters(text: str, left: str, filters: tuple[str, ...]) -> None:
    found = split_date(text, TODAY)
    assert found.filter is not None
    assert (found.text, found.filter.texts()) == (left, filters)
    assert found.only_date == (left in ("", "صور", "photos"))


@pytest.mark.parametrize(
    "text",
    [
        "غابة في الخريف",
        "فانوس رمضان",
        "أبي وأمي",
        "اب",
        "رقم 1234",
        "dog in march",
        "سمك في ماي",
        "هالبيت",
        "قبل شجرة",
        "من سنة",
        "قبل يوم العيد",
        "a dog two years old",
        "3 days",
        "شهر عسل",
        "شهر واحد",
        "عشرين كلب",
        "ألفين شخص",
        "يوم الجمعة",
        "عيد ميلاد",
        "ليلة رأس السنة",
        "كلب عمره 21",
        "ثلاجة",
        "31/2/2019",
        "3:30",
    ],
)
def test_words_that_only_resemble_dates_are_left_alone(text: str) -> None:
    assert split_date(text, TODAY).filter is None
    assert split_date(text, TODAY).text == text


@given(st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join), st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_any_date_is_a_valid_filter(text: str, today: date) -> None:
    found = split_date(text, today)
    if found.filter is not None:
        Filters.read(found.filter.texts())
        assert found.words


FOLDERS = ("رحلة دهب", "Wedding 2019", "DCIM", "قطط", "IMG2020")


@pytest.mark.parametrize(
    ("text", "left", "folder"),
    [
        ("شاطئ في مجلد قطط", "شاطئ", "قطط"),
        ("صور رحلة دهب", "صور", "رحلة دهب"),
        ("البحر في رحله دهب", "البحر", "رحلة دهب"),
        ("bride in folder dcim", "bride", "DCIM"),
        ("cake wedding 2019", "cake", "Wedding 2019"),
        ("img2020", "", "IMG2020"),
    ],
)
def test_folders_in_words_are_found(text: str, left: str, folder: str) -> None:
    found = split_folder(text, lambda explicit: FOLDERS)
    assert (found.text, found.folder) == (left, folder)


@pytest.mark.parametrize("text", ["قطط", "قطط على طاولة", "dcim", "مجلد على مكتب", ""])
def test_an_everyday_word_names_no_folder(text: str) -> None:
    assert split_folder(text, lambda explicit: FOLDERS).folder is None
