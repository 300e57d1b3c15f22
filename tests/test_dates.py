"""Dates and folders in a query's words."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.queries.interpretation import interpret
from araclip.gallery.queries.query import parse
from araclip.text.facets.dates import split_date
from araclip.text.facets.folders import split_folder
from araclip.text.resources import default_interpreter

TODAY = date(2026, 11, 27)
WORDS = [
    "صور", "في", "من", "2019", "٢٠٢١", "صيف", "الشتاء", "الماضي", "رمضان", "1444", "مايو", "أمس", "last", "summer",
    "17",
    "آب",
    "سنتين", "أسبوع", "٣", "years", "ago",
    "شهر", "عام", "عشرين",
    "بين", "ويوليو", "حتى", "يوم", "5/2019", "السنوات", "الأربع", "الماضية", "IMG_2019", "نوفمبر", "لمارس",
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
        ("في نيسان", "", ("month=4",)),
        ("صور نيسان الماضي", "صور", ("captured=2026-04..2026-04",)),
        ("نيسان 2020", "", ("captured=2020-04..2020-04",)),
        ("الحفلة العام السابق", "الحفلة", ("captured=2025..2025",)),
        ("البيت العام الماضي", "البيت", ("captured=2025..2025",)),
        ("المدير العام 2019", "المدير العام", ("captured=2019..2019",)),
        ("صور السنوات الأربع الماضية", "صور", ("captured=2022-11-27..2026-11-27",)),
        ("الأيام التلات اللي فاتت", "", ("captured=2026-11-24..2026-11-27",)),
        ("الأربع سنين اللي فاتت", "", ("captured=2022-11-27..2026-11-27",)),
        ("البحر الأربع اللي فات", "البحر", ("captured=2026-11-25..2026-11-25",)),
        ("من يناير 2019 إلى مارس 2020", "", ("captured=2019-01..2020-03",)),
        ("البحر من يناير إلى مارس 2020", "البحر", ("captured=2020-01..2020-03",)),
        ("من 1/5/2019 إلى 10/5/2019", "", ("captured=2019-05-01..2019-05-10",)),
        ("من 5 إلى 10 مايو 2019", "", ("captured=2019-05-05..2019-05-10",)),
        ("من 20 مايو إلى 3 يونيو 2019", "", ("captured=2019-05-20..2019-06-03",)),
        ("بين مايو ويوليو 2019", "", ("captured=2019-05..2019-07",)),
        ("بين مايو ويوليو", "", ("month=5,6,7",)),
        ("between may and july 2019", "", ("captured=2019-05..2019-07",)),
        ("cats from may 2019 to july 2020", "cats", ("captured=2019-05..2020-07",)),
        ("من نوفمبر إلى فبراير 2020", "", ("captured=2019-11..2020-02",)),
        ("من نوفمبر 2019 إلى فبراير", "", ("captured=2019-11..2020-02",)),
        ("من شهر مايو لشهر يوليو 2019", "", ("captured=2019-05..2019-07",)),
        ("من مارس لمايو 2019", "", ("captured=2019-03..2019-05",)),
        ("من صيف 2018 إلى صيف 2020", "", ("captured=2018-06..2020-08",)),
        ("من 2018 إلى مارس 2020", "", ("captured=2018..2020-03",)),
        ("من رمضان 1444 إلى شوال 1444", "", ("captured=2023-03-23..2023-05-20",)),
        ("مايو ويونيو ويوليو 2019", "", ("captured=2019..2019", "month=5,6,7")),
        ("تموز وآب 2020", "", ("captured=2020..2020", "month=7,8")),
        ("حتى 2015", "", ("captured=..2015",)),
        ("قبل 2015", "", ("captured=..2014",)),
        ("البيت قبل مايو 2019", "البيت", ("captured=..2019-04-30",)),
        ("منذ مايو 2019", "", ("captured=2019-05..",)),
        ("حتى 17/5/2019", "", ("captured=..2019-05-17",)),
        ("صور قبل رمضان 1444", "صور", ("captured=..2023-03-22",)),
        ("قبل شهر رمضان 1444", "", ("captured=..2023-03-22",)),
        ("بعد عيد الفطر 2023", "", ("captured=2023-04-21..",)),
        ("البحر قبل صيف 2020", "البحر", ("captured=..2020-05-31",)),
        ("before summer 2020", "", ("captured=..2020-05-31",)),
        ("حتى رمضان 1444", "", ("captured=..2023-04-20",)),
        ("منذ الصيف الماضي", "", ("captured=2026-06..",)),
        ("since last year", "", ("captured=2025..",)),
        ("قبل الشهر الماضي", "", ("captured=..2026-09-30",)),
        ("قبل يوم 17/5/2019", "", ("captured=..2019-05-16",)),
        ("منذ يوم الجمعة الماضية", "", ("captured=2026-11-20..",)),
        ("قبل أمس", "", ("captured=2026-11-25..2026-11-25",)),
        ("البحر 2018 و2019", "البحر", ("captured=2018..2019",)),
        ("اليوم الوطني 2022", "اليوم الوطني", ("captured=2022..2022",)),
        ("صور اليوم", "صور", ("captured=2026-11-27..2026-11-27",)),
        ("june 17, 2020", "", ("captured=2020-06-17..2020-06-17",)),
        ("beach 17th june 2020", "beach", ("captured=2020-06-17..2020-06-17",)),
        ("from june 17 to july 3 2020", "", ("captured=2020-06-17..2020-07-03",)),
        ("الثلج 17/5/2019.", "الثلج", ("captured=2019-05-17..2019-05-17",)),
        ("الثلج في2019", "الثلج", ("captured=2019..2019",)),
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
        "سيارة نيسان",
        "نيسان باترول",
        "المدير العام السابق",
        "الأمين العام الحالي",
        "الرحلات الأربع الماضية",
        "IMG_2019",
        "DSC_2015.jpg",
        "2015.jpg",
        "صورة IMG_2019-05-17.jpg",
        "اليوم الأول",
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
    assert (found.text, found.folders) == (left, (folder,))


def test_folders_that_are_spelled_nearly_alike_are_all_meant() -> None:
    found = split_folder("صور مجلد الإجازة", lambda explicit: ("الإجازة", "الاجازة", "Camera"))
    assert (found.text, found.folders) == ("صور", ("الإجازة", "الاجازة"))


@pytest.mark.parametrize("text", ["قطط", "قطط على طاولة", "dcim", "مجلد على مكتب", ""])
def test_an_everyday_word_names_no_folder(text: str) -> None:
    assert not split_folder(text, lambda explicit: FOLDERS).folders


@pytest.mark.parametrize(
    ("query", "shown", "excluded", "where"),
    [
        ("شاطئ في مجلد دهب 2019", "شاطئ", (), ("folder=دهب 2019",)),
        ("صور مجلد Wedding 2019", "", (), ("folder=Wedding 2019",)),
        ("cake wedding 2019", "cake", (), ("folder=Wedding 2019",)),
        ("شاطئ في مجلد 2019", "شاطئ", (), ("folder=2019",)),
        ("شاطئ في مجلد 2019 صيف 2018", "شاطئ", (), ("captured=2018..2018", "month=6,7,8", "folder=2019")),
        ("شاطئ 2019", "شاطئ", (), ("captured=2019..2019",)),
        ("صيف 2019", "", (), ("captured=2019..2019", "month=6,7,8")),
        ("مجلد صيف 2019", "", (), ("folder=صيف 2019",)),
        ("شاطئ بدون ناس في مجلد دهب 2019", "شاطئ", ("ناس",), ("folder=دهب 2019",)),
        ("مجلد دهب 2019 بدون ناس", "", ("ناس",), ("folder=دهب 2019",)),
        ("بدون ناس 2019", "", ("ناس",), ("captured=2019..2019",)),
        ("2019 لا ناس", "", ("ناس",), ("captured=2019..2019",)),
        ("صور بدون رحلة دهب", "", ("رحلة دهب",), ()),
        ("بدون رحلة دهب", "", ("رحلة دهب",), ()),
        ("عايز صور 2019", "", (), ("captured=2019..2019",)),
        ("عايز صور بدون ناس", "", ("ناس",), ()),
        ("🐱 2019", "🐱", (), ("captured=2019..2019",)),
    ],
)
def test_a_folder_of_a_year_is_no_date_and_a_date_no_folder(
    query: str, shown: str, excluded: tuple[str, ...], where: tuple[str, ...]
) -> None:
    names = ("دهب 2019", "Wedding 2019", "2019", "صيف 2019", "رحلة دهب")
    found = interpret(parse(query), default_interpreter(), today=TODAY, folders=lambda explicit: names)
    assert found.only_filters == (not shown)
    assert found.query.terms[0].value == (shown or "صورة")
    assert found.interpretation.excluded == excluded
    assert tuple(text for each in found.interpretation.filters for text in each.where) == where
