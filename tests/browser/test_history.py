"""The browser's history: places on the way back, forward and after a reload, the viewer's entries, odd addresses."""

import pytest
from doing import Visit, search, shown, until
from playwright.sync_api import expect

SETTLED = "history.state?.scroll > 600"  # the page has stood still, and its place is kept


def test_forward_and_reload_lead_to_where_results_were_left(visit: Visit) -> None:
    page = visit(height=500)
    search(page, "أحمر")
    page.mouse.wheel(0, 700)
    until(page, SETTLED)
    page.reload()
    shown(page)
    until(page, "scrollY > 600")
    page.go_back()
    expect(page.locator("body")).to_have_attribute("data-page", "home")
    page.go_forward()
    shown(page)
    until(page, "scrollY > 600")


def test_a_reload_in_the_viewer_keeps_the_pictures_around(visit: Visit) -> None:
    page = visit()
    page.locator("#timeline .open").nth(3).click()
    place = page.locator("#viewer .about p").first
    expect(place).to_have_text("٤ من ٩٦")
    page.reload()
    expect(place).to_have_text("٤ من ٩٦")
    page.get_by_role("button", name="التالية").click()
    expect(place).to_have_text("٥ من ٩٦")


def test_hiding_a_result_keeps_the_place(visit: Visit) -> None:
    page = visit(height=500)
    search(page, "أحمر")
    page.mouse.wheel(0, 700)
    until(page, SETTLED)
    place = page.evaluate("scrollY")
    at = "[...document.querySelectorAll('#results .tile')].findIndex((tile) => tile.getBoundingClientRect().top > 60)"
    tile = page.locator("#results .tile").nth(page.evaluate(at))
    name = tile.locator(".open").get_attribute("aria-label")
    tile.hover()
    tile.locator(".check").click()
    page.get_by_role("button", name="إخفاء", exact=True).click()
    expect(page.locator(f".open[aria-label='{name}']")).to_have_count(0)
    assert abs(page.evaluate("scrollY") - place) < 5
    page.get_by_role("button", name="تراجع").click()
    expect(page.locator(f".open[aria-label='{name}']")).to_have_count(1)


@pytest.mark.parametrize("query", ["?where=month%3Dabc", "?q=أحمر&where=month%3D5,x"])
def test_a_month_that_is_none_is_an_error_with_words(visit: Visit, query: str) -> None:
    page = visit(query, expecting="Failed to load resource")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".chip.filter")).to_be_visible()


def test_going_back_closes_the_suggestions(visit: Visit) -> None:
    page = visit("?q=أحمر")
    search(page, "أخضر")
    page.fill("#query", "")
    page.locator("#query").press_sequentially("أ")
    page.wait_for_selector("#suggestions li")
    page.go_back()
    expect(page.locator("#query")).to_have_value("أحمر")
    expect(page.locator("#suggestions li")).to_have_count(0)


def test_links_of_home_do_not_open_the_picture_of_their_address(visit: Visit) -> None:
    page = visit()
    page.wait_for_selector("#timeline .open")
    page.goto(page.url + page.locator("#timeline .open").first.get_attribute("href"))
    page.wait_for_selector("#viewer dl")
    assert "view=" not in page.locator(".tries a").first.get_attribute("href")
