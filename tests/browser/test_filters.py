"""Filters: their results, their chips, and removing them."""

import json
import re
from urllib.parse import quote

import pytest
from doing import FAILED, Visit, shown, until
from playwright.sync_api import Page, expect


def opened(page: Page) -> None:
    page.click("#filter-switch")
    expect(page.locator("#filters")).to_be_visible()


def ratios(page: Page) -> list[float]:
    boxes = page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => [tile.offsetWidth, tile.offsetHeight])")
    return [width / height for width, height in boxes]


@pytest.mark.parametrize(
    ("name", "value", "chip"),
    [
        ("format", "PNG", "الصيغة: \u2068PNG\u2069"),
        ("orientation", "portrait", "الاتجاه: عمودية"),
        ("orientation", "square", "الاتجاه: مربعة"),
        ("size", "..100kB", "حجم الملف: حتى \u2068١٠٠ كيلوبايت\u2069"),
    ],
)
def test_a_filter_narrows_the_results_and_shows_as_a_chip(visit: Visit, name: str, value: str, chip: str) -> None:
    page = visit("?q=أحمر")
    shown(page)
    opened(page)
    control = page.locator(f"#filters [name={name}][value='{value}']")
    control.check()
    until(page, "where => new URLSearchParams(location.search).get('where') === where", arg=f"{name}={value}")
    said = page.locator(".chip.filter > span")
    expect(said).to_have_text(chip)
    expect(page.locator(".badge")).to_have_text("١")
    page.locator(".chip.filter button").click()
    expect(page.locator(".chip.filter")).to_have_count(0)
    expect(control).not_to_be_checked()


def test_pictures_of_an_orientation_have_it(visit: Visit) -> None:
    page = visit("?q=أخضر&where=orientation%3Dportrait")
    shown(page)
    assert max(ratios(page)) < 1
    page = visit("?q=أخضر&where=orientation%3Dlandscape")
    shown(page)
    assert min(ratios(page)) > 1


def test_a_folder_and_a_format_are_joined(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    opened(page)
    page.get_by_label("المجلد").select_option("holiday")
    expect(page.locator(".chip.filter > span")).to_have_text("المجلد: \u2068holiday\u2069")
    page.get_by_role("checkbox", name="JPEG").check()
    expect(page.locator(".chip.filter")).to_have_count(2)
    until(page, "document.querySelectorAll('.tile').length < 20")
    names = shown(page)
    assert names and all(name.endswith(".jpg") and int(name[:3]) % 2 for name in names)


def test_dates_are_asked_for_and_shown_as_people_write_them(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    opened(page)
    page.get_by_label("من", exact=True).fill("2021-01-01")
    page.get_by_label("إلى", exact=True).fill("2021-12-31")
    expect(page.locator(".chip.filter > span")).to_have_text(
        "تاريخ الالتقاط: \u2068١ يناير ٢٠٢١\u2069 إلى \u2068٣١ ديسمبر ٢٠٢١\u2069"
    )
    address, wish = page.url.split("?")[0], "where=captured%3D2021-01-01..2021-12-31"
    of_that_year = page.request.get(f"{address}search?q=أحمر&k=96&{wish}").json()["results"]
    assert 10 < len(of_that_year) < 30
    until(page, f"document.querySelectorAll('.tile').length === {len(of_that_year)}")
    page.locator(".tile a").first.click()
    expect(page.locator("#viewer dl")).to_contain_text("٢٠٢١")


def test_a_date_that_is_typed_is_asked_for_once(visit: Visit) -> None:
    page = visit("?q=أخضر", language="en", locale="en-GB")
    shown(page)
    opened(page)
    entries = page.evaluate("history.length")
    page.locator("input[name=from]").focus()
    page.keyboard.type("02032021")  # the year has a value with each of its digits
    expect(page.locator(".chip.filter > span")).to_contain_text("2021")
    assert page.evaluate("history.length") == entries + 1


def test_back_takes_a_filter_away_and_the_controls_follow(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    opened(page)
    page.get_by_role("radio", name="عمودية").check()
    until(page, "location.search.includes('portrait')")
    page.go_back()
    expect(page.get_by_role("radio", name="عمودية")).not_to_be_checked()
    page.go_forward()
    expect(page.get_by_role("radio", name="عمودية")).to_be_checked()


def test_weaker_matches_can_be_hidden_and_all_filters_removed(visit: Visit) -> None:
    page = visit("?q=سيارة أحمر في الشارع")
    shown(page)
    opened(page)
    page.get_by_label("إخفاء النتائج الضعيفة").check()
    until(page, "location.search.includes('strong')")
    expect(page.get_by_role("heading", name="نتائج أضعف صلة")).to_be_hidden()
    page.get_by_label("إخفاء الصور المتشابهة").uncheck()
    until(page, "location.search.includes('unfold')")
    page.get_by_role("button", name="إزالة التصفية").click()
    until(page, "!location.search.includes('strong') && !location.search.includes('unfold')")
    expect(page.get_by_role("heading", name="نتائج أضعف صلة")).to_be_visible()
    expect(page.get_by_role("button", name="إزالة التصفية")).to_be_hidden()


def test_a_filter_chosen_before_the_search_holds_for_it(visit: Visit) -> None:
    page = visit()
    opened(page)
    page.get_by_role("radio", name="عمودية").check()
    page.fill("#query", "أخضر")
    page.press("#query", "Enter")
    shown(page)
    assert max(ratios(page)) < 1


def test_filter_by_hand_in_address_is_kept_beside_controls(visit: Visit) -> None:
    page = visit("?q=أحمر&where=added%3D2020..")
    shown(page)
    expect(page.locator(".chip.filter > span")).to_have_text("تاريخ الإضافة: منذ \u2068٢٠٢٠\u2069")
    opened(page)
    page.get_by_role("radio", name="عمودية").check()
    expect(page.locator(".chip.filter")).to_have_count(2)


def test_a_filter_without_a_control_stays_when_another_is_set(visit: Visit) -> None:
    page = visit("?q=أحمر&where=captured%3D2021&where=size%3D1kB..&where=meta.album%3Dx")
    shown(page)
    opened(page)
    page.get_by_role("radio", name="عمودية").check()
    expect(page.locator(".chip.filter")).to_have_count(4)
    page.get_by_role("radio", name="أفقية").check()
    where = page.evaluate("new URLSearchParams(location.search).getAll('where')")
    assert where == ["captured=2021", "meta.album=x", "orientation=landscape", "size=1kB.."]
    page.locator("#filters [name=size][value='1MB..']").check()
    page.locator("#filters [name=from]").fill("2021-03-04")
    until(page, "location.search.includes('captured%3D2021-03-04..')")
    assert "size%3D1MB.." in page.url


def test_the_keyboard_stays_in_the_filters_when_they_are_reset(visit: Visit) -> None:
    page = visit("?q=أحمر&where=orientation%3Dportrait")
    shown(page)
    opened(page)
    page.locator("#filters .reset").press("Enter")
    until(page, "!location.search.includes('where')")
    assert page.evaluate("document.querySelector('#filters').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#filter-switch")).to_be_focused()


def test_a_filter_by_an_empty_folder_lists_the_others(visit: Visit) -> None:
    page = visit("?q=أحمر&where=folder%3Dx", expecting="400")
    expect(page.get_by_role("alert")).to_contain_text("لا صورة في المجلد")


def test_the_page_is_english_for_a_browser_that_speaks_english(visit: Visit) -> None:
    page = visit("", locale="en-GB")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.locator("#language").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "ar")


def test_the_hidden_pictures_have_the_tabs_of_the_other_lists(visit: Visit) -> None:
    page = visit("?show=albums")
    page.locator("#views").get_by_role("link", name="المخفية").click()
    expect(page.locator("#views [aria-current=page]")).to_have_text("المخفية")
    expect(page.locator("#views")).to_be_visible()


def test_a_list_by_filters_alone_says_how_many_there_are(visit: Visit) -> None:
    page = visit("?q=صور+2021")
    expect(page.locator("#count")).to_have_text(re.compile("^[٠-٩]+ صور"))
    number = page.locator("#count").inner_text()
    page.mouse.wheel(0, 4000)
    expect(page.locator("#count")).to_have_text(number)


@pytest.mark.parametrize(
    ("filter_", "chip"),
    [
        ("place=Dubai, United Arab Emirates", "Place: \u2068Dubai, United Arab Emirates\u2069"),
        ("folder=a, b", "Folder: \u2068a, b\u2069"),
        ("format=JPEG,PNG", "Format: \u2068JPEG · PNG\u2069"),
        ("camera=canon", "Camera: \u2068canon\u2069"),
        ("folder!=a, b", "Outside of folder: \u2068a, b\u2069"),
    ],
)
def test_only_commas_between_values_make_a_chip_show_several(visit: Visit, filter_: str, chip: str) -> None:
    page = visit(f"?q=red&where={quote(filter_)}", language="en", expecting=FAILED)
    expect(page.locator(".chip.filter > span")).to_have_text(chip)


def test_no_match_is_said_while_folders_are_indexed(visit: Visit) -> None:
    page = visit()
    news = {"state": "running", "done": 1, "found": 9, "folders": ["صور"], "newest": []}
    body = f"event: indexing\ndata: {json.dumps(news)}\n\n"
    page.route("**/index", lambda route: route.fulfill(json=news))
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.goto(page.url + "?where=captured%3D1999")
    page.wait_for_selector("#progress:not([hidden])")
    page.wait_for_timeout(500)
    expect(page.locator(".notice")).to_contain_text("لم نجد ما يطابق")


def test_a_link_to_an_album_names_it(visit: Visit) -> None:
    page = visit("?show=albums")
    page.locator("#albums .card").filter(has_text="رحلة").click()
    chip = "الألبوم: \u2068رحلة\u2069"
    expect(page.locator(".chip.filter > span")).to_have_text(chip)
    address = page.url.partition("?")[2]
    for query in (f"?{address}", f"?q=أحمر&{address}"):  # in another tab, which has seen no album
        expect(visit(query).locator(".chip.filter > span")).to_have_text(chip)
