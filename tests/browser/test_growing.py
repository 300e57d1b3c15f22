"""A gallery that grows while its pictures are looked at: what is looked at stays where it is."""

from pathlib import Path

import pytest
from colours import write_pictures
from doing import FAILED, Visit, changed, serving, shown, until
from PIL import Image
from playwright.sync_api import expect

from araclip import AraCLIP, Gallery


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """An indexed folder; its gallery is beside it."""
    folder = tmp_path / "صور"
    write_pictures(folder)
    with Gallery.open(tmp_path / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([folder])
    return folder


def test_new_pictures_join_those_that_are_looked_at(visit: Visit, tiny_model: Path, folder: Path) -> None:
    with serving(folder.parent / "gallery", tiny_model, offer=folder) as address:
        page = visit(at=address)
        page.click("#filter-switch")  # its panel is made when it is first opened
        page.wait_for_selector("#filters fieldset")
        page.click("#filter-switch")
        first = page.locator("#timeline .tile a").first
        first.focus()
        # What is drawn anew has lost these marks.
        page.evaluate("for (const tile of document.querySelectorAll('#timeline .tile')) tile.before_ = true")
        page.evaluate(
            "document.querySelector('.tries').before_ = document.querySelector('#filters').firstChild.before_ = true"
        )
        top = page.evaluate("document.activeElement.getBoundingClientRect().top")
        for i in range(9):
            Image.new("RGB", (200, 150), (200, 20 * i, 40)).save(folder / "holiday" / f"جديدة {i}.png")
        page.evaluate("fetch('index', { method: 'POST' })")
        expect(page.locator(".total")).to_have_text("١٠٥ صور في هذا المعرض")
        expect(page.locator("#progress p")).to_have_text("اكتملت الفهرسة")
        assert page.locator(".coming").count() == 0
        assert page.evaluate("[...document.querySelectorAll('#timeline .tile')].every((tile) => tile.before_)")
        assert page.evaluate("document.activeElement.parentNode.before_")
        assert page.evaluate("document.querySelector('#filters').firstChild.before_")
        assert page.evaluate("document.activeElement.getBoundingClientRect().top") == top
        page.close()


def test_a_picture_that_moves_within_its_month_keeps_the_focus(visit: Visit, tiny_model: Path, folder: Path) -> None:
    with serving(folder.parent / "gallery", tiny_model, offer=folder) as address:
        page = visit(at=address)
        page.get_by_role("slider", name="الانتقال إلى شهر").press("End")
        until(page, "document.querySelectorAll('#timeline .tile').length > 3")
        page.locator("#timeline .tile a").last.focus()
        focused = page.evaluate("document.activeElement.href")
        for i in range(9):
            Image.new("RGB", (200, 150), (200, 20 * i, 40)).save(folder / "holiday" / f"جديدة {i}.png")
        page.evaluate("fetch('index', { method: 'POST' })")
        expect(page.locator(".total")).to_have_text("١٠٥ صور في هذا المعرض")
        assert page.evaluate("document.activeElement.href") == focused
        places = page.locator("#timeline .tile").evaluate_all("tiles => tiles.map((tile) => tile.index)")
        assert places == sorted(places)  # as a screen reader goes through them
        page.keyboard.press("ArrowRight")  # to the one before it
        until(page, "(id) => document.activeElement.href && document.activeElement.href !== id", arg=focused)
        page.close()


def test_a_term_that_is_typed_stays_while_the_gallery_changes(visit: Visit) -> None:
    page = visit("?q=أحمر", expecting=FAILED)
    shown(page)
    until(page, "document.body.dataset.generation")
    page.get_by_role("button", name="إضافة").click()
    page.keyboard.type("أخ")
    changed(page)
    page.keyboard.type("ضر")
    expect(page.locator(".chip input")).to_have_value("أخضر")


def test_nothing_found_is_said_once_until_something_is(visit: Visit) -> None:
    page = visit("?q=أحمر&where=captured%3D1999", expecting=FAILED)
    reset = page.get_by_role("button", name="إزالة التصفية").last
    reset.focus()
    changed(page)
    expect(reset).to_be_focused()
    page.route("**/search?*", lambda route: route.continue_(url=route.request.url.replace("1999", "2021")))
    changed(page)
    page.wait_for_selector(".tile")
    expect(page.locator(".notice")).to_have_count(0)


def test_the_map_stays_where_it_was_moved_to(visit: Visit) -> None:
    page = visit("?show=map", expecting=FAILED)
    until(page, "document.body.dataset.generation")
    page.wait_for_selector("#map [role=status]:not(:empty)")
    larger = page.get_by_role("button", name="تكبير")
    larger.click()
    larger.click()
    seen = "document.querySelector('.world > svg').getAttribute('viewBox')"
    before = page.evaluate(seen)
    place = {"latitude": 25.2, "longitude": 55.3, "pictures": 3, "box": [25, 55, 26, 56], "cover": None, "name": None}
    page.route("**/places?*", lambda route: route.fulfill(json={"pictures": 3, "places": [place]}))
    changed(page)
    expect(page.locator("#map [role=status]")).to_contain_text("٣ صور")
    assert page.evaluate(seen) != before  # the first places there are have come: they are shown
    larger.click()
    before = page.evaluate(seen)
    changed(page, "a third")
    page.wait_for_timeout(300)
    assert page.evaluate(seen) == before
    expect(larger).to_be_focused()
    page.evaluate("document.querySelector('#language').click()")
    expect(page.locator("#map [role=status]")).to_contain_text("3 pictures")
    assert page.evaluate(seen) == before


def test_keyboard_stays_on_album_while_gallery_changes(visit: Visit) -> None:
    page = visit("?show=albums", expecting=FAILED)
    until(page, "document.body.dataset.generation")
    page.locator("#albums .card").nth(1).focus()
    with page.expect_response("**/folders?*"):
        changed(page)
    expect(page.locator("#albums .card").nth(1)).to_be_focused()
