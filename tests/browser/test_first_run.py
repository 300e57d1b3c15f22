"""A gallery without pictures: the offer to index a folder, pictures as they come, an empty folder."""

from pathlib import Path

import pytest
from colours import write_pictures
from doing import FAILED, Visit, search, serving, until
from playwright.sync_api import Page, expect

TOKEN, OWNER = "a-token-to-read-alone", "a-token-to-write-too"


def left(page: Page) -> None:
    """Close the page, once no picture of it is being made."""
    until(
        page,
        "[...document.images].every((image) => image.complete || !image.checkVisibility() || image.y > innerHeight)",
    )
    page.close()


def test_a_folder_is_indexed_by_a_button_and_its_pictures_come(visit: Visit, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "صور العائلة"
    write_pictures(folder)
    with serving(tmp_path / "gallery", tiny_model, offer=folder) as address:
        page = visit(at=address)
        expect(page.locator(".notice h2")).to_have_text("المجلد \u2068صور العائلة\u2069 لم يُفهرس بعد")
        expect(page.locator(".notice code")).to_have_count(0)  # no advice for the command line
        page.get_by_role("button", name="فهرسة الصور").click()
        page.wait_for_selector(".tries a")  # queries that suit the pictures that are there
        expect(page.locator("body")).not_to_contain_text("المعرض فارغ")
        search(page, "أحمر")
        until(page, "document.querySelectorAll('.tile').length > 10")
        left(page)


@pytest.mark.parametrize("language", ["ar", "en"])
def test_an_empty_folder_says_so_and_is_looked_at_again(
    visit: Visit, tiny_model: Path, tmp_path: Path, language: str
) -> None:
    folder = tmp_path / "فارغ"
    folder.mkdir()
    with serving(tmp_path / "gallery", tiny_model, index=(folder,), watch=False) as address:
        page = visit(at=address, language=language)
        said = {"ar": "لا صور في المجلد \u2068فارغ\u2069", "en": "There are no pictures in \u2068فارغ\u2069"}[language]
        expect(page.locator(".notice h2")).to_have_text(said)
        write_pictures(folder)
        page.get_by_role("button", name={"ar": "البحث عن صور من جديد", "en": "Look again"}[language]).click()
        page.wait_for_selector(".tries a")
        left(page)


def test_who_may_only_read_is_asked_for_a_token_that_may_write(visit: Visit, tiny_model: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "صور")
    settings = {"offer": tmp_path / "صور", "token_read": TOKEN, "token_write": OWNER}
    with serving(tmp_path / "gallery", tiny_model, **settings) as address:
        page = visit(at=address, expecting=FAILED)
        page.get_by_label("رمز الدخول").fill(TOKEN)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="فهرسة الصور").click()
        page.get_by_label("رمز الدخول").fill(OWNER)
        page.keyboard.press("Enter")
        page.wait_for_selector(".tries a")
        left(page)


def test_a_folder_of_formats_that_are_not_read_says_which(visit: Visit, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "تصميم"
    folder.mkdir()
    for name in ("شعار.svg", "غلاف.psd", "ملصق.psd"):
        (folder / name).write_bytes(b"not read")
    with serving(tmp_path / "gallery", tiny_model, index=(folder,)) as address:
        page = visit(at=address)
        expect(page.locator(".notice.empty")).to_contain_text("ملفات بصيغ لا تُقرأ")
        kinds = page.locator(".notice.empty p").first
        expect(kinds).to_contain_text("SVG")
        order = """(text) => {
          const node = document.querySelector('.notice.empty p').firstChild;
          const range = document.createRange();
          range.setStart(node, node.data.indexOf(text));
          range.setEnd(node, node.data.indexOf(text) + text.length);
          return range.getBoundingClientRect().right;
        }"""
        ends = [page.evaluate(order, text) for text in ("تُقرأ", "Photoshop", "٢", "SVG", "١")]
        assert ends == sorted(ends, reverse=True)  # from the right, as one reads
        page.close()


def test_a_first_run_that_fails_says_why_once(visit: Visit, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "قرص"
    folder.mkdir()
    with serving(tmp_path / "gallery", tiny_model, offer=folder) as address:
        page = visit(at=address)
        folder.rmdir()
        page.get_by_role("button", name="فهرسة الصور").click()
        expect(page.locator(".notice.broken")).to_contain_text("المجلد غير موجود")
        expect(page.locator("#progress")).not_to_be_visible()
        page.close()
