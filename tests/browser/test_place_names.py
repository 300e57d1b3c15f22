"""Places and dates on the page: in albums, on the map, in details, while typing; newest first; a changing folder."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doing import Visit, patiently, search, serving, shown
from playwright.sync_api import Page, expect

from araclip import AraCLIP, Gallery
from pictures import CAIRO, taken_at, trips


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trips")
    with Gallery.open(home / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([trips(home / "رحلات")])
    return home


@pytest.fixture(scope="module")
def there(folder: Path, tiny_model: Path) -> Iterator[str]:
    with serving(folder / "gallery", tiny_model, index=(folder / "رحلات",)) as address:
        yield address


@pytest.mark.parametrize(
    ("language", "town", "heading"),
    [("ar", "دبي، الإمارات", "الأماكن"), ("en", "Dubai, United Arab Emirates", "Places")],
)
def test_a_town_is_an_album_a_pin_and_a_detail(
    visit: Visit, there: str, language: str, town: str, heading: str
) -> None:
    page = visit("?show=albums", at=there, language=language)
    expect(page.locator("#albums h2")).to_have_text(heading)
    page.get_by_role("link", name=town).click()
    expect(page.locator("#count")).to_contain_text("picture" if language == "en" else "صورة")
    page.locator("#timeline .tile a").first.click()
    expect(page.locator("#viewer dl")).to_contain_text(town)
    page.close()
    page = visit("?show=map", at=there, language=language)
    pin = page.locator(".world li small").filter(has_text=re.split("[،,]", town)[0])
    expect(pin).to_be_visible()
    page.close()


def test_a_place_is_suggested_read_and_taken_back(visit: Visit, there: str) -> None:
    page = visit(at=there)
    page.fill("#query", "دب")
    page.get_by_role("option", name="دبي").click()
    expect(page.locator("#chips")).to_contain_text("دبي")
    search(page, "صور القاهرة")
    expect(page.locator("#timeline .tile, #results .tile").first).to_be_visible()
    expect(page.locator("#understood .chip")).to_have_count(0)  # the chosen place replaces the one of the words
    page.close()
    page = visit(at=there)
    search(page, "صور القاهرة")
    expect(page.locator("#understood .chip")).to_contain_text("القاهرة")
    page.close()


def test_newest_first_is_a_button_and_stays_in_the_address(visit: Visit, there: str) -> None:
    page = visit("?q=بحر&unfold", at=there)
    shown(page)
    page.get_by_role("button", name="الأحدث أولًا").click()
    patiently(page, lambda: shown(page)[:2] == ["sea.jpg", "libya.jpg"], "sorted")
    assert "sort=date" in page.url
    expect(page.locator("#sort")).to_have_attribute("aria-pressed", "true")
    page.reload()
    assert shown(page)[:2] == ["sea.jpg", "libya.jpg"]
    page.close()


def test_a_new_picture_in_the_folder_appears_without_a_reload(visit: Visit, there: str, folder: Path) -> None:
    page: Page = visit(at=there)
    expect(page.locator("#timeline .tile")).to_have_count(7)
    taken_at(folder / "رحلات" / "جديدة.jpg", CAIRO, "2026:11:01 10:00:00", (90, 20, 20))
    expect(page.locator("#timeline .tile")).to_have_count(8, timeout=120_000)
    page.close()
