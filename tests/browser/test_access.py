"""Accessibility: keyboard, screen readers, contrast, reduced motion."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from doing import Visit, boxes, focused, shown
from playwright.sync_api import Page, expect

SERIOUS = ("serious", "critical")


def home(page: Page) -> None:
    page.wait_for_selector(".tries a")


def results(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?q=أحمر + أخضر - أزرق&where=orientation=portrait&strong")
    shown(page)
    page.goto(page.url.split("?")[0] + "?q=أحمر")
    shown(page)
    page.click("#filter-switch")
    page.wait_for_selector("#sheet[open]")


def chips(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?q=أحمر %2B أخضر - أزرق&where=orientation%3Dportrait")
    shown(page)


def viewer(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?q=أحمر")
    shown(page)
    page.locator(".tile a").first.click()
    page.wait_for_selector("#viewer dl")


def part(page: Page) -> None:
    viewer(page)
    page.locator("#viewer .actions button").nth(1).click()
    page.wait_for_selector(".part")


def slideshow(page: Page) -> None:
    viewer(page)
    page.locator(".play").click()
    page.wait_for_selector(".show select")


def failure(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?picture=abc")
    page.wait_for_selector("[role=alert]")


def choosing(page: Page) -> None:
    page.locator("#timeline .tile").first.hover()
    page.locator("#timeline .check").first.click()
    page.wait_for_selector("#chosen:not([hidden])")


def world(page: Page) -> None:
    page.goto(page.url.split("?")[0] + "?show=map")
    page.wait_for_selector(".world")


def _indexing(page: Page, **news: object) -> None:
    body = f"event: indexing\ndata: {json.dumps(news)}\n\n"
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.reload()
    page.wait_for_selector("#progress p")


def progress(page: Page) -> None:
    _indexing(page, state="running", done=1200, found=12_000)


def progress_failed(page: Page) -> None:
    _indexing(page, state="failed", done=3, found=12_000, cause="full")


def unread(page: Page) -> None:
    _indexing(page, state="done", done=3, found=3, unread={"HEIC": 5, "SVG": 1})


def only_unread(page: Page) -> None:
    """A folder that has nothing but formats that are not read."""
    counts = page.request.get(page.url + "stats").json() | {"pictures": 0}
    found = {"state": "empty", "folders": ["صور"], "newest": [], "unread": {"Photoshop": 2, "SVG": 1}}
    page.route("**/stats", lambda route: route.fulfill(json=counts))
    page.route("**/index", lambda route: route.fulfill(json=found))
    page.reload()
    page.wait_for_selector(".notice.empty p")


STATES = (
    home, results, chips, viewer, part, slideshow, failure, choosing, world,
    progress, progress_failed, unread, only_unread,
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing_serious(visit: Visit, state: object, scheme: str) -> None:
    page = visit(color_scheme=scheme, language="ar" if scheme == "light" else "en")
    state(page)
    page.wait_for_timeout(100)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [
        f"{fault['id']}: {fault['help']}: {[node['html'][:150] for node in fault['nodes']][:3]}"
        for fault in found
        if fault["impact"] in SERIOUS
    ]
    assert serious == []


def test_from_search_to_viewer_and_back_by_keyboard_alone(visit: Visit) -> None:
    page = visit()
    page.wait_for_selector(".tries a")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("أحمر")
    page.keyboard.press("Enter")
    names = shown(page)
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused(page).startswith(names[0]):
            break
    assert focused(page).startswith(names[0])
    page.keyboard.press("ArrowLeft")
    assert focused(page).startswith(names[1])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    below = focused(page)
    assert not below.startswith((names[0], names[1]))
    page.keyboard.press("ArrowUp")
    assert focused(page).startswith(names[0])
    page.keyboard.press("End")
    assert focused(page).startswith(names[-1])
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer dl")
    page.keyboard.press("Escape")
    assert focused(page).startswith(names[0])
    page.keyboard.press("Tab")
    assert focused(page) == "عرض المزيد"  # the grid is one stop


def test_skip_link_is_first_stop_and_leads_to_results(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    page.keyboard.press("Tab")
    assert focused(page) == "الانتقال إلى النتائج"
    box = page.locator(".skip").bounding_box()
    assert box["y"] >= 0
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()


def test_on_the_first_page_the_skip_link_leads_to_its_pictures(visit: Visit) -> None:
    page = visit()
    page.wait_for_selector("#timeline .tile")
    page.locator(".skip").press("Enter")
    for _ in range(9):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('#timeline'))"):
            break
    else:
        pytest.fail("the pictures are behind it")


def test_the_keyboard_is_on_a_picture_once_none_is_chosen(visit: Visit) -> None:
    page = visit()
    page.locator("#timeline .open").first.press(" ")
    page.get_by_role("button", name="إلغاء التحديد").press("Enter")
    expect(page.locator("#chosen")).to_be_hidden()
    expect(page.locator("#timeline .open").first).to_be_focused()


def test_every_stop_of_the_keyboard_can_be_seen(visit: Visit) -> None:
    page = visit("?q=أحمر - أزرق")
    shown(page)
    page.click("#filter-switch")
    page.wait_for_selector("#sheet[open]")
    for _ in range(40):
        page.keyboard.press("Tab")
        marked = page.evaluate(
            """() => {
              const now = document.activeElement;
              if (now === document.body) return true;
              const near = [now, now.nextElementSibling, now.closest('.box'), now.closest('form.chip')].filter(Boolean);
              return near.some((node) => {
                const { outlineStyle, boxShadow } = getComputedStyle(node);
                return outlineStyle !== 'none' || boxShadow.includes('3px') || boxShadow.includes('2px');
              });
            }"""
        )
        assert marked, page.evaluate("document.activeElement.outerHTML")


@pytest.mark.parametrize(("key", "code"), [("a", "KeyQ"), ("ش", "KeyA")])
def test_all_are_chosen_by_key_of_letter_wherever_layout_has_it(visit: Visit, key: str, code: str) -> None:
    page = visit()
    page.wait_for_selector("#timeline .tile")
    page.click("#filter-switch")  # the panel is beside the pictures, not in front of them
    page.wait_for_selector("#sheet[open]")
    page.evaluate(
        "init => document.body.dispatchEvent(new KeyboardEvent('keydown', init))",
        {"key": key, "code": code, "ctrlKey": True, "bubbles": True, "cancelable": True},
    )
    expect(page.locator("#chosen p")).to_have_text("٩٦ صورة محددة")


def test_results_say_their_name_and_relevance(visit: Visit) -> None:
    page = visit("?q=أحمر")
    name = shown(page)[0]
    label = page.locator(".tile a").first.get_attribute("aria-label")
    assert label.startswith(f"\u2068{name}\u2069، الصلة \u2068")
    assert label.endswith(("قوية\u2069", "متوسطة\u2069", "ضعيفة\u2069"))  # a word, not a false percentage


def test_reduced_motion_is_respected(visit: Visit) -> None:
    page = visit("?q=أحمر", reduced_motion="reduce")
    shown(page)
    assert page.locator(".tile img").first.evaluate("image => getComputedStyle(image).transitionDuration") == "0s"
    page = visit("?q=أحمر", reduced_motion="no-preference")
    shown(page)
    assert page.locator(".tile img").first.evaluate("image => getComputedStyle(image).transitionDuration") != "0s"


def test_large_text_keeps_the_page_whole(visit: Visit) -> None:
    page = visit("?q=أحمر - أزرق", width=1280)
    page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for path in ("", "?q=أحمر"):
        page = visit(path, width=180)  # a phone at 200 %
        for part in boxes(page, ".brand", "#query", "#pick", ".go", "#filter-switch", "#language", "#theme"):
            assert part["x"] >= 0
            assert part["x"] + part["width"] <= 180
