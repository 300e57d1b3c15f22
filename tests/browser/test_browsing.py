"""The home page's pictures: by month, albums, chosen ones, hidden ones; a link to a search."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doing import Visit, serving, until
from playwright.sync_api import Page, expect

READ, WRITE = "read-" + "r" * 32, "write-" + "w" * 32


def tiles(page: Page) -> int:
    return page.locator("#timeline .tile").count()


def test_home_shows_the_pictures_by_month_and_the_viewer_turns_through_them(visit: Visit) -> None:
    page = visit(height=700)
    expect(page.locator("#timeline .month").first).to_contain_text("٢٠٢٣")
    until(page, "document.querySelectorAll('#timeline .tile').length > 6")
    drawn = tiles(page)
    page.get_by_role("slider", name="الانتقال إلى شهر").press("End")
    expect(page.locator("#timeline .month").last).to_contain_text("بلا تاريخ")
    assert tiles(page) < 96  # what is out of sight is not there
    page.get_by_role("slider", name="الانتقال إلى شهر").press("Home")
    until(page, f"document.querySelectorAll('#timeline .tile').length >= {min(drawn, 6)}")
    first = page.locator("#timeline .tile a").first
    first.focus()
    page.keyboard.press("ArrowLeft")
    second = page.evaluate("new URL(document.activeElement.href).searchParams.get('view')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    until(page, "id => location.search.includes(id)", arg=second)
    page.keyboard.press("Escape")
    until(page, "id => document.activeElement.href?.includes(id)", arg=second)


def test_albums_lead_to_their_pictures_and_filters_work_without_words(visit: Visit) -> None:
    page = visit("?show=albums")
    page.get_by_role("link", name="holiday").click()
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    expect(page.locator(".trail b")).to_have_text("holiday")
    page.locator(".trail").get_by_role("link", name="الألبومات").click()
    expect(page.locator(".card")).to_have_count(2)
    page.go_back()
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    page.goto(page.url.split("?")[0] + "?where=captured%3D1999")
    expect(page.locator(".notice.nothing")).to_be_visible()


def test_pictures_are_chosen_downloaded_hidden_and_brought_back(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    first = page.locator("#timeline .tile a").first.get_attribute("href")
    page.locator("#timeline .tile").first.hover()
    page.locator("#timeline .check").first.click()
    page.locator("#timeline .tile a").first.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#chosen p")).to_have_text("٣ صور محددة")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#chosen p")).to_have_text("صورتان محددتان")
    with page.expect_download() as saved:
        page.locator("#chosen").get_by_role("button", name="تنزيل").click()
    saved.value.save_as(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2
    page.locator("#chosen").get_by_role("button", name="إخفاء").click()
    expect(page.locator("#toast")).to_contain_text("أُخفيت صورتان")
    page.locator("#toast").get_by_role("button", name="تراجع").click()
    expect(page.locator("#toast")).to_contain_text("تم التراجع")
    expect(page.locator("#timeline .tile a").first).to_have_attribute("href", first)  # they are back
    page.locator("#timeline .tile a").first.focus()
    page.keyboard.press("Control+a")
    expect(page.locator("#chosen p")).to_have_text("٩٦ صورة محددة")
    page.keyboard.press("Escape")
    expect(page.locator("#chosen")).to_be_hidden()


@pytest.fixture
def protected(gallery: Path, tiny_model: Path) -> Iterator[str]:
    with serving(gallery, tiny_model, token_read=READ, token_write=WRITE) as address:
        yield address


def test_a_link_shows_one_search_to_somebody_without_a_token(protected: str, visit: Visit) -> None:
    page = visit("?where=folder%3Dholiday", at=protected, expecting="401")
    page.locator("#token input").fill(READ)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="رابط للمشاركة").click()
    page.get_by_role("button", name="إنشاء الرابط").click()
    link = page.get_by_label("الرابط", exact=True).input_value()
    other = visit(link.removeprefix(protected), at=protected, expecting="401", ready="#pictures .tile")
    expect(other.locator("#until")).to_contain_text("٤٨ صورة")
    other.locator("#pictures .tile button").first.click()
    until(other, "document.querySelector('.large')?.naturalWidth > 0")
    assert other.request.get(f"{protected}stats").status == 401
