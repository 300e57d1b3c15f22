"""Answers that come late: what the page shows by then stays as it is."""

import io
import re

import pytest
from doing import FAILED, Visit, ask, changed, patiently, search, shown, until
from PIL import Image
from playwright.sync_api import Page, Route, expect

BY_MONTH = re.compile(r"/timeline\?")
SEARCH = re.compile(r"/search\?")
LISTED = re.compile(r"/pictures\?offset=\d+&k=120")


def hold(page: Page, requests: str | re.Pattern[str]) -> list[Route]:
    """The requests that the page makes from now on; a test answers them when it likes."""
    held: list[Route] = []
    page.route(requests, lambda route: held.append(route))  # noqa: PLW0108 - Playwright refuses a built-in
    return held


def release(page: Page, held: list[Route]) -> None:
    """Let the server answer, and wait until the page has drawn what it draws then."""
    for route in held:
        route.continue_()
    held.clear()
    page.wait_for_timeout(500)


def hide(page: Page, at: int) -> None:
    """Hide a picture of those by month; the server only says that it has done so."""
    page.route("**/hidden", lambda route: route.fulfill(json={"changed": 1}))
    page.locator("#timeline .tile .check").nth(at).dispatch_event("click")
    page.get_by_role("button", name="إخفاء", exact=True).click()


def test_results_keep_their_place_when_months_come(visit: Visit) -> None:
    page = visit(height=500)
    held = hold(page, BY_MONTH)
    page.reload()
    patiently(page, lambda: len(held) == 1)
    search(page, "أحمر")
    release(page, held)
    expect(page.locator("#count")).to_contain_text("٩٦")
    page.locator(".brand").click()
    until(page, "document.querySelectorAll('#timeline .tile').length > 9")
    page.evaluate("scrollTo(0, 900)")
    hide(page, 10)
    patiently(page, lambda: len(held) == 1)
    search(page, "أخضر")
    assert page.evaluate("scrollY") == 0
    release(page, held)
    assert page.evaluate("scrollY") == 0


def test_months_that_come_again_keep_what_was_scrolled(visit: Visit) -> None:
    page = visit(height=400)
    until(page, "document.querySelectorAll('#timeline .tile').length > 9")
    page.evaluate("scrollTo(0, 500)")
    held = hold(page, BY_MONTH)
    hide(page, 10)
    patiently(page, lambda: len(held) == 1)
    page.evaluate("scrollTo(0, 900)")
    release(page, held)
    assert page.evaluate("scrollY") == pytest.approx(900, abs=2)


def test_another_list_is_not_counted_on_the_map(visit: Visit) -> None:
    page = visit()
    until(page, "document.body.dataset.generation")
    page.wait_for_selector("#timeline .tile")
    page.get_by_role("link", name="الخريطة").click()
    page.click("#filter-switch")
    page.locator("#filters input[value=square]").check()
    until(page, "location.search.includes('square')")
    expect(page.locator("#map [role=status]")).not_to_be_empty()
    expect(page.locator("#count")).to_be_empty()


def test_a_jump_past_coming_pages_fetches_those_in_sight(visit: Visit) -> None:
    page = visit(width=3000, height=2000, expecting=FAILED)  # a large screen shows several pages; no thumbnails
    late: list[Route] = []
    slow = [True]

    def answer(route: Route) -> None:
        if slow[0] and "offset=0&" not in route.request.url:
            return late.append(route)
        first = int(route.request.url.partition("offset=")[2].partition("&")[0])
        items = [{"id": f"{i:032x}", "name": f"{i}.jpg", "width": 3, "height": 2} for i in range(first, first + 120)]
        return route.fulfill(json={"results": items, "pictures": 6000})

    page.route(
        BY_MONTH, lambda route: route.fulfill(json={"months": [{"month": None, "pictures": 6000}], "pictures": 6000})
    )
    page.route(LISTED, answer)
    page.reload()
    patiently(page, lambda: len(late) == 1)  # the second page
    page.evaluate("scrollTo(0, 20000)")
    patiently(page, lambda: len(late) == 4)
    slow[0] = False
    page.evaluate("scrollTo(0, 40000)")
    until(
        page, "[...document.querySelectorAll('#timeline .tile')].some((tile) => tile.getBoundingClientRect().top > 0)"
    )


def test_a_picture_that_was_turned_back_from_is_left_no_more(visit: Visit) -> None:
    page = visit("?q=أحمر")
    last = len(shown(page)) - 1
    held = hold(page, SEARCH)
    page.locator("#results .open").nth(last).click()
    page.wait_for_selector("#viewer dl")
    page.keyboard.press("PageDown")
    patiently(page, lambda: len(held) == 1)
    page.keyboard.press("PageUp")
    until(
        page, "!location.search.includes(document.querySelector('#results li:last-child a').search.split('view=')[1])"
    )
    address = page.url
    release(page, held)
    assert page.url == address


def test_a_read_picture_is_not_searched_by_after_something_else(visit: Visit) -> None:
    page = visit()
    file = io.BytesIO()
    Image.new("RGB", (300, 200), (0, 200, 0)).save(file, "TIFF")
    held = hold(page, re.compile("/thumbnails$"))
    page.set_input_files("#file", {"name": "a.tif", "mimeType": "image/tiff", "buffer": file.getvalue()})
    patiently(page, lambda: len(held) == 1)
    search(page, "أحمر")
    release(page, held)
    assert "picture=" not in page.url
    expect(page.locator("#query")).to_have_value("أحمر")


def test_a_part_that_was_given_up_is_not_searched_by(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    page.locator("#results .open").nth(3).click()
    page.wait_for_selector("#viewer dl")
    page.get_by_role("button", name="صور تشبه جزءًا منها").click()
    page.wait_for_selector(".part")
    page.evaluate("void (HTMLImageElement.prototype.decode = () => new Promise((done) => { window.decoded = done; }))")
    page.keyboard.press("Enter")
    until(page, "typeof decoded === 'function'")
    page.keyboard.press("Escape")
    page.evaluate("decoded()")
    page.wait_for_timeout(300)
    assert "picture=" not in page.url


def test_the_next_pictures_place_is_held_until_it_has_come(visit: Visit) -> None:
    page = visit()
    page.locator("#timeline .open").nth(1).click()
    page.wait_for_selector("#viewer dl")
    held = hold(page, re.compile(r"/thumbnails/|/images/[0-9a-f]+$"))
    page.keyboard.press("PageDown")
    expect(page.locator("#viewer .about p").first).to_have_text("٣ من ٩٦")  # of another shape
    page.wait_for_selector("#viewer dl")
    patiently(page, lambda: len(held) > 0)
    box = page.evaluate(
        """(({ offsetWidth, offsetHeight, width, height, attributes }) =>
             [offsetWidth / offsetHeight, attributes.width.value / attributes.height.value])(
             document.querySelector('#viewer .photo img'))"""
    )
    assert box[0] == pytest.approx(box[1], rel=0.02)


def test_the_hint_of_new_results_goes_with_the_results(visit: Visit) -> None:
    page = visit("?q=أحمر", expecting=FAILED)
    shown(page)
    until(page, "document.body.dataset.generation")

    def turned_round(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json=answer | {"results": answer["results"][::-1]})

    page.route(SEARCH, turned_round)
    changed(page)
    page.wait_for_selector(".changed")
    page.locator(".brand").click()
    page.click("#filter-switch")
    page.locator("#filters input[value=square]").check()
    expect(page.locator("#count")).not_to_be_empty()
    expect(page.locator(".changed")).to_have_count(0)


def test_what_is_typed_stays_when_a_busy_server_is_asked_again(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    asked: list[Route] = []

    def answer(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=429, headers={"Retry-After": "1"}, body="")
        else:
            route.continue_()

    page.route(SEARCH, answer)
    ask(page, "أحمر")
    page.get_by_role("alert").wait_for()
    page.fill("#query", "أخضر و")
    page.wait_for_selector("#results .tile")
    expect(page.locator("#query")).to_have_value("أخضر و")


def test_a_map_waits_for_its_styles(visit: Visit) -> None:
    place = {"latitude": 30.0, "longitude": 31.2, "pictures": 9, "cover": None, "box": [30.0, 31.2, 30.0, 31.2]}
    answer = {"known": True, "pictures": 9, "places": [place], "generation": "x"}
    page = visit(expecting=FAILED)
    page.route("**/places*", lambda route: route.fulfill(json=answer))
    styles = hold(page, "**/map.css")
    page.get_by_role("link", name="الخريطة").click()
    patiently(page, lambda: len(styles) == 1)
    changed(page)  # the page asks for the same map once more
    expect(page.locator(".world")).to_have_count(0)
    styles.pop().abort()
    expect(page.locator("#toast")).to_be_visible()
    expect(page.locator(".world")).to_have_count(0)
    changed(page, "a third")
    patiently(page, lambda: len(styles) == 1)
    changed(page, "a fourth")
    release(page, styles)
    expect(page.locator(".world li")).to_have_count(1)
    expect(page.locator(".world li")).to_be_visible()
    assert page.locator(".world").evaluate("(world) => world.clientHeight") == 560  # 70 % of the window's height
