"""The viewer: picture, details, keyboard and focus."""

import pytest
from colours import HOSTILE_NAME, MIXED_NAME
from doing import FAILED, Visit, focused, shown, until
from playwright.sync_api import Page, expect


def viewed(page: Page) -> str:
    """The name of the picture in the open viewer, once its details are there."""
    page.wait_for_selector("#viewer[open] dl")
    return page.locator("#viewer h2").inner_text()


@pytest.mark.parametrize(
    ("language", "onward", "back"), [("ar", "ArrowLeft", "ArrowRight"), ("en", "ArrowRight", "ArrowLeft")]
)
def test_arrows_turn_pages_in_the_direction_of_reading(visit: Visit, language: str, onward: str, back: str) -> None:
    page = visit("?q=red", language=language)
    names = shown(page)
    page.locator(".tile a").first.press("Enter")
    assert viewed(page) == names[0]
    page.keyboard.press(onward)
    expect(page.locator("#viewer h2")).to_have_text(names[1])
    page.keyboard.press(onward)
    expect(page.locator("#viewer h2")).to_have_text(names[2])
    page.keyboard.press(back)
    expect(page.locator("#viewer h2")).to_have_text(names[1])
    page.keyboard.press(back)
    page.keyboard.press(back)
    expect(page.locator("#viewer h2")).to_have_text(names[0])
    turn = page.locator(".turn.next").bounding_box()
    assert (turn["x"] < 640) == (language == "ar")


def test_escape_closes_and_the_focus_is_on_the_picture_seen_last(visit: Visit) -> None:
    page = visit("?q=أحمر")
    names = shown(page)
    page.locator(".tile a").first.press("Enter")
    viewed(page)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer h2")).to_have_text(names[1])
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert names[1] in focused(page)
    assert "view=" not in page.url


def test_tab_stays_inside_the_viewer(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    page.locator(".tile a").first.press("Enter")
    viewed(page)
    inside = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        inside.add(
            page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#viewer')")
        )
    assert inside == {True}


def test_back_closes_and_forward_opens_again(visit: Visit) -> None:
    page = visit("?q=أحمر")
    name = shown(page)[2]
    page.locator(".tile a").nth(2).click()
    viewed(page)
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()
    page.go_forward()
    assert viewed(page) == name


def test_what_brought_a_picture_is_told_word_by_word_when_asked(visit: Visit) -> None:
    page = visit("?q=شيء أحمر")
    page.locator(".tile a").first.press("Enter")
    viewed(page)
    page.locator("#viewer summary", has_text="لماذا ظهرت هذه الصورة؟").click()
    expect(page.locator("#viewer .shares dt")).to_have_text(["شيء", "أحمر"])
    expect(page.locator("#viewer .shares meter").nth(1)).to_have_attribute("value", "1")  # the largest share


def test_details_are_shown(visit: Visit) -> None:
    page = visit("?q=أخضر+onerror")  # the name has the word, so that the hit is strong
    shown(page)
    page.get_by_role("link", name=HOSTILE_NAME).click()
    assert viewed(page) == HOSTILE_NAME
    told = page.locator("#viewer dl")
    for text in ("٢٤٠ × ٣٢٠", "PNG", "holiday", "قوية"):
        expect(told).to_contain_text(text)
    expect(page.locator("#viewer code")).to_contain_text(HOSTILE_NAME)


def test_names_in_both_directions_are_kept_apart(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    expect(page.locator(".tile .name bdi").filter(has_text=MIXED_NAME)).to_have_count(1)
    page.get_by_role("link", name=MIXED_NAME).click()
    viewed(page)
    expect(page.locator("#viewer h2 bdi")).to_have_text(MIXED_NAME)


def test_the_picture_is_downloaded_as_it_is(visit: Visit) -> None:
    page = visit("?q=أخضر")
    shown(page)
    page.get_by_role("link", name="004.png").or_(page.get_by_role("link", name="007.png")).first.click()
    name = viewed(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="تنزيل الصورة").click()
    assert download.value.suggested_filename == name
    assert download.value.path().read_bytes()[:4] == b"\x89PNG"


def test_the_path_is_copied_with_a_message(visit: Visit) -> None:
    page = visit("?q=أحمر", permissions=["clipboard-read", "clipboard-write"])
    name = shown(page)[0]
    page.locator(".tile a").first.click()
    viewed(page)
    page.get_by_role("button", name="نسخ المسار").click()
    expect(page.locator("#viewer #toast")).to_have_text("نُسخ المسار")
    assert page.evaluate("navigator.clipboard.readText()").endswith(name)


def test_a_link_to_a_picture_shows_it_among_those_of_the_home(visit: Visit) -> None:
    page = visit("?q=أحمر")
    name = shown(page)[0]
    view = page.locator(".tile a").first.evaluate("a => new URL(a.href).searchParams.get('view')")
    page = visit(f"?view={view}")
    assert viewed(page) == name
    expect(page.locator(".turn")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()


def test_a_missing_picture_is_reported(visit: Visit) -> None:
    page = visit(f"?view={'0' * 32}", expecting=FAILED)
    expect(page.locator("#viewer [role=alert]")).not_to_be_empty()


def test_turning_past_the_last_picture_fetches_more(visit: Visit) -> None:
    page = visit("?q=أحمر")
    had = len(shown(page))
    page.locator(".tile a").last.click()
    viewed(page)
    page.keyboard.press("ArrowLeft")
    until(page, f"document.querySelectorAll('.tile').length > {had}")
    expect(page.locator("#viewer .about .soft").first).to_contain_text("من")
