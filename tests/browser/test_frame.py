"""Layout, directions, languages, themes, page size, and the content security policy."""

import re

import pytest
from doing import Visit, boxes, search, shown, until
from playwright.sync_api import Page, expect

WIDTHS = (320, 390, 768, 1280, 1920)
MAX_WEIGHT = 80_000  # bytes that travel for the page itself, without pictures


def no_wider_than_the_window(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["ar", "en"])
def test_nothing_is_wider_than_the_window(visit: Visit, width: int, language: str) -> None:
    page = visit(width=width, language=language)
    page.wait_for_selector(".tries a")
    assert no_wider_than_the_window(page)
    search(page, "red + a rather long description of the picture - blue")
    page.click("#filter-switch")
    page.wait_for_selector("#sheet[open]")
    assert no_wider_than_the_window(page)
    page.keyboard.press("Escape")  # on a phone it is a sheet over the results
    page.locator(".tile a").first.click()
    page.wait_for_selector("#viewer dl")
    assert page.evaluate(
        "[...document.querySelectorAll('#viewer, .about, .stage')].every((box) => box.scrollWidth <= box.clientWidth)"
    )
    stage, image = boxes(page, ".stage", ".stage img")
    assert stage["x"] <= image["x"]
    assert image["x"] + image["width"] <= stage["x"] + stage["width"]
    assert image["y"] + image["height"] <= stage["y"] + stage["height"]


@pytest.mark.parametrize("language", ["ar", "en"])
def test_the_example_in_the_search_box_is_whole_on_a_phone(visit: Visit, language: str) -> None:
    page = visit(width=360, language=language)
    assert page.evaluate(
        """() => {
          const field = document.querySelector('#query');
          const { font, paddingInlineStart, paddingInlineEnd } = getComputedStyle(field);
          const paper = Object.assign(document.createElement('canvas').getContext('2d'), { font });
          const room = field.clientWidth - parseFloat(paddingInlineStart) - parseFloat(paddingInlineEnd);
          return paper.measureText(field.placeholder).width <= room;
        }"""
    )


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("language", ["ar", "en"])
def test_rows_fill_the_width_from_where_reading_begins(visit: Visit, width: int, language: str) -> None:
    page = visit("?q=red", width=width, language=language)
    shown(page)
    boxes = (
        page.locator(".rows")
        .first.locator(".tile")
        .evaluate_all(
            """tiles => tiles.map((tile) => {
              const { left, right, top, height } = tile.getBoundingClientRect();
              return [left, right, top, height];
            })"""
        )
    )
    frame = page.locator("#results").bounding_box()
    left, right = frame["x"], frame["x"] + frame["width"]
    first = boxes[0]
    assert (first[1] == pytest.approx(right, abs=1)) if language == "ar" else (first[0] == pytest.approx(left, abs=1))
    rows: dict[float, list[list[float]]] = {}
    for box in boxes:
        rows.setdefault(box[2], []).append(box)
    *whole, _ = rows.values()
    for row in whole:
        assert min(box[0] for box in row) == pytest.approx(left, abs=1)
        assert max(box[1] for box in row) == pytest.approx(right, abs=1)
        assert len({box[3] for box in row}) == 1


@pytest.mark.parametrize(
    ("query", "weak"),
    [
        ("?q=أحمر", False),
        ("?q=أحمر + أخضر&where=orientation%3Dportrait", True),
        ("?q=أحمر + أخضر - أزرق&where=orientation%3Dportrait", True),
    ],
)
def test_the_bar_above_the_results_is_tidy_on_a_phone(visit: Visit, query: str, weak: bool) -> None:
    page = visit(query.replace("+", "%2B"), width=360)
    shown(page)
    chips, count, play, results = boxes(page, "#chips", "#count", "#play", "#results")
    assert chips["y"] + chips["height"] <= count["y"]  # chips have a line of their own
    if weak:  # so has the sentence that says so
        assert count["width"] == pytest.approx(results["width"], abs=1)
        assert count["y"] + count["height"] <= play["y"]
    else:
        assert count["y"] + count["height"] / 2 == pytest.approx(play["y"] + play["height"] / 2, abs=2)
    assert play["x"] == pytest.approx(results["x"], abs=1)


def test_a_long_name_leaves_its_button_inside_the_window(visit: Visit) -> None:
    page = visit(f"?q=أحمر&where=name%3D{'x' * 200}", width=360)
    shown(page)
    (button,) = boxes(page, ".chip.filter button")
    assert button["x"] >= 0
    assert button["x"] + button["width"] <= 360


@pytest.mark.parametrize(("language", "text"), [("ar", "a query in Latin letters "), ("en", "بحث بحروف عربية ")])
def test_what_does_not_fit_is_cut_at_its_own_end(visit: Visit, language: str, text: str) -> None:
    page = visit(language=language)
    page.evaluate("text => localStorage.setItem('araclip.recent', JSON.stringify([text]))", text * 9)
    page.reload()
    page.wait_for_selector(".earlier bdi")
    first, whole = page.evaluate(
        """() => {
          const [range, box] = [document.createRange(), document.querySelector('.earlier .try')];
          range.setStart(box.querySelector('bdi').firstChild, 0);
          range.setEnd(box.querySelector('bdi').firstChild, 1);
          return [range, box].map((each) => each.getBoundingClientRect().toJSON());
        }"""
    )
    assert whole["left"] - 1 <= first["left"]
    assert first["right"] <= whole["right"] + 1


def test_language_switch_turns_page_round_and_is_remembered(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    brand = page.locator(".brand").bounding_box()
    assert brand["x"] > 640
    page.get_by_role("button", name="English").click()
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == ["en", "ltr"]
    assert page.locator(".brand").bounding_box()["x"] < 640
    expect(page.locator("#count")).to_contain_text("of 96 pictures")
    assert shown(page)
    page.reload()
    expect(page.get_by_role("button", name="العربية")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("dir", "ltr")


def test_what_stays_on_the_page_follows_the_language(visit: Visit) -> None:
    page = visit("?show=map", expecting="Failed to load resource")
    body = 'event: indexing\ndata: {"state": "failed", "done": 1, "found": 9, "cause": "full"}\n\n'
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.reload()
    expect(page.locator("#progress p")).to_contain_text("القرص ممتلئ")
    expect(page.locator("#map p").first).not_to_be_empty()
    page.click("#language")
    expect(page.locator("#progress p")).to_contain_text("The disk is full")
    expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
    expect(page.locator("#map p").first).to_contain_text("No picture here")
    page.goto(page.url.split("?")[0])
    page.locator("#timeline .open").first.press(" ")
    expect(page.locator("#chosen p")).to_have_text("1 selected")
    page.click("#language")
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")


def test_language_switch_leaves_list_where_it_was_scrolled_to(visit: Visit) -> None:
    page = visit("?where=size%3D..1MB", height=400)
    until(page, "document.querySelectorAll('#timeline .tile').length > 9")
    page.evaluate("scrollTo(0, 600)")
    label = page.locator("#timeline .open").last
    expect(label).to_have_attribute("aria-label", re.compile("يوليو|يناير|مايو|مارس|سبتمبر|[٠-٩]"))
    page.click("#language")
    expect(page.locator("#count")).to_have_text("96 pictures")
    expect(page.locator("#timeline .month").first).to_contain_text(re.compile("[a-z]"))
    assert page.evaluate("scrollY") == 600


def test_a_query_has_the_direction_of_its_own_letters(visit: Visit) -> None:
    page = visit("?q=red car")
    assert page.locator("#query").evaluate("field => field.matches(':dir(ltr)')")
    page.fill("#query", "سيارة حمراء")
    assert page.locator("#query").evaluate("field => field.matches(':dir(rtl)')")


def test_the_theme_follows_the_system_until_the_switch_is_used(visit: Visit) -> None:
    page = visit(color_scheme="dark")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    assert dark != light
    page.get_by_role("button", name="الوضع الداكن").click()
    assert page.evaluate(paper) == dark
    page.reload()
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="الوضع الفاتح").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize(("locale", "digits"), [("ar-EG", "٩٦"), ("ar-MA", "96")])
def test_digits_are_those_of_the_readers_country(visit: Visit, locale: str, digits: str) -> None:
    page = visit(locale=locale)
    expect(page.locator(".total")).to_contain_text(f"{digits} صورة في هذا المعرض")


def test_the_page_is_small_and_requests_nothing_from_other_hosts(visit: Visit) -> None:
    page = visit()
    weights: dict[str, int] = {}  # content as it travels, packed, without headers
    page.on("response", lambda answer: weights.__setitem__(answer.url, int(answer.headers.get("content-length", 0))))
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    page.reload()
    search(page, "أحمر")
    page.wait_for_timeout(300)
    own = {url: size for url, size in weights.items() if "/assets/" in url or url == page.url.split("?")[0]}
    assert len(own) > 20 and all(own.values())
    assert sum(own.values()) <= MAX_WEIGHT, sorted(own.items(), key=lambda pair: -pair[1])[:8]


def test_the_policy_allows_nothing_inline_and_no_other_origin(visit: Visit) -> None:
    page = visit(expecting="Content Security Policy")  # the violation is the test's own
    policy = page.request.get(page.url).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    stopped = page.evaluate(
        """() => new Promise((stopped) => {
          addEventListener('securitypolicyviolation', (event) => stopped(event.effectiveDirective));
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          setTimeout(() => stopped('nothing'), 500);
        })"""
    )
    assert stopped.startswith("script-src")


def test_without_scripts_it_says_so(visit: Visit, address: str, browser: object) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert "JavaScript" in page.content()
    assert page.locator("noscript p").count() == 1
    context.close()
