"""The viewer with photographs: details, the original behind a preview, a search by a part, the slideshow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from doing import Visit, patiently, serving, shown, until
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from playwright.sync_api import Page, expect

from araclip import AraCLIP, Gallery

FOLDER = "رحلة (summer) 2023"


@pytest.fixture(scope="module")
def photos(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a large picture with all that can be told of one, its copy, a smaller version, and two small ones."""
    root = tmp_path_factory.mktemp("photos")
    folder = root / "pictures" / FOLDER
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    exif = Image.Exif()
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.DateTimeOriginal] = "2023:05:17 18:30:00"
    camera[ExifTags.Base.ExposureTime] = IFDRational(1, 250)
    camera[ExifTags.Base.FNumber] = IFDRational(28, 10)
    camera[ExifTags.Base.ISOSpeedRatings] = 200
    camera[ExifTags.Base.FocalLength] = IFDRational(50, 1)
    camera[ExifTags.Base.LensModel] = "EF50mm f/1.8"
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS R6"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (24.0, 42.0, 49.0), 3: "E", 4: (46.0, 40.0, 31.0)})
    large = Image.fromarray(pixels).resize((2000, 1200), Image.Resampling.NEAREST)
    large.save(folder / "large.jpg", exif=exif)
    (folder / "large.txt").write_text("برج في الرياض", encoding="utf-8")
    large.resize((400, 240)).save(folder / "small.png")
    (root / "pictures" / "copy.jpg").write_bytes((folder / "large.jpg").read_bytes())
    for name, colour in (("red.png", (250, 9, 9)), ("blue.png", (9, 9, 250))):
        Image.new("RGB", (300, 200), colour).save(folder / name)
    with Gallery.open(root / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([root / "pictures"])
    with serving(root / "gallery", tiny_model, show_paths=True) as address:
        yield address


def opened(page: Page, name: str) -> None:
    shown(page)
    page.locator(f".tile a[aria-label*='{name}']").first.press("Enter")
    page.wait_for_selector("#viewer[open] dl")


def test_details_tell_camera_place_captions_copies_and_path(visit: Visit, photos: str) -> None:
    page = visit("?q=برج", at=photos, permissions=["clipboard-read", "clipboard-write"])
    opened(page, "copy")
    facts = page.locator("#viewer .facts")
    for text in ("Canon EOS R6", "EF50mm f/1.8", "٢٤٫٧١٣٦١", "٤٦٫٦٧٥٢٨", "١٧ مايو ٢٠٢٣"):
        expect(facts).to_contain_text(text)
    expect(facts.locator("a[href='geo:24.71361,46.67528']")).to_be_visible()
    facts.get_by_role("button", name="نسخ الإحداثيات").click()
    assert page.evaluate("navigator.clipboard.readText()") == "24.71361,46.67528"
    expect(facts).to_contain_text("f/2.8 · 1/250 s · ISO 200 · 50 mm")
    expect(facts.locator(".text mark")).to_have_text("برج")  # the caption beside the other file, with the word found
    expect(facts.locator(".text")).to_contain_text("برج في الرياض")
    facts.locator("summary", has_text="نسخة أخرى مطابقة").click()
    expect(facts.locator("details li")).to_have_text(f"large.jpg · {FOLDER}")
    facts.get_by_role("button", name="small.png").click()  # the same picture, smaller
    expect(page.locator("#viewer h2")).to_have_text("small.png")
    page.go_back()
    expect(page.locator("#viewer h2")).to_have_text("copy.jpg")
    page.go_forward()
    expect(page.locator("#viewer h2")).to_have_text("small.png")
    page.keyboard.press("Escape")  # closes the viewer, not this picture alone
    expect(page.locator("#viewer")).to_be_hidden()
    opened(page, "red")
    code = page.locator("#viewer code")
    assert code.inner_text().endswith(f"/{FOLDER}/red.png")
    assert code.locator("bdi").all_inner_texts()[-2:] == [FOLDER, "red.png"]


def test_a_large_picture_has_a_preview_and_its_original_zoomed(visit: Visit, photos: str) -> None:
    page = visit("?q=برج", at=photos)
    opened(page, "copy")
    source = "document.querySelector('.photo img').src"
    until(page, f"{source}.includes('size=1600')")
    page.keyboard.press("+")
    page.keyboard.press("+")
    until(page, f"{source}.includes('/images/')")
    expect(page.locator("[data-key=fit]")).to_contain_text("٪")
    page.keyboard.press("PageDown")
    until(page, f"!{source}.includes('size=1600')")
    assert page.locator(".stage[data-zoomed]").count() == 0


@pytest.mark.parametrize("by", ["keyboard", "mouse"])
def test_a_box_on_a_picture_searches_by_that_part(visit: Visit, photos: str, by: str) -> None:
    page = visit("?q=برج", at=photos)
    opened(page, "copy")
    page.get_by_role("button", name="صور تشبه جزءًا منها").click()
    part = page.locator(".part")
    expect(part).to_be_focused()
    before = part.bounding_box()
    if by == "keyboard":
        for key in ("ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
            page.keyboard.press(key)
        after = part.bounding_box()
        moved = (after["x"] - before["x"], after["y"] - before["y"], before["width"] - after["width"])
        assert moved == pytest.approx((16, 16, 16), abs=0.5)
        page.keyboard.press("Escape")
        expect(part).to_be_hidden()
        expect(page.locator("#viewer")).to_be_visible()
        page.get_by_role("button", name="صور تشبه جزءًا منها").click()
        expect(part).to_be_focused()
        page.keyboard.press("Enter")
    else:
        image = page.locator(".photo img").bounding_box()
        page.mouse.move(image["x"] + 10, image["y"] + 10)
        page.mouse.down()
        page.mouse.move(image["x"] - 500, image["y"] + 130, steps=4)  # the box ends at the picture's edge
        page.mouse.move(image["x"] + 110, image["y"] + 130, steps=4)
        page.mouse.up()
        drawn = part.bounding_box()
        assert (drawn["x"], drawn["width"]) == pytest.approx((image["x"] + 10, 100), abs=1)
        page.get_by_role("button", name="البحث بهذا الجزء").click()
    until(page, "new URL(location).searchParams.has('picture')")
    expect(page.locator("#viewer")).to_be_hidden()
    assert shown(page)
    chip = page.locator("#chips img").first
    size = chip.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    ratio = 2000 / 1200 if by == "keyboard" else 100 / 120
    assert size[0] / size[1] == pytest.approx(ratio, abs=0.05)


def test_the_slideshow_goes_on_by_itself_and_waits(visit: Visit, photos: str) -> None:
    page = visit("?q=برج", at=photos)
    names = shown(page)
    heading = page.locator("#viewer h2")
    page.clock.install()
    page.click("#play")
    expect(heading).to_have_text(names[0])
    until(page, "document.fullscreenElement?.matches('.stage')")
    expect(page.locator(".about")).to_be_hidden()

    def passing(seconds: int) -> str:
        page.wait_for_timeout(50)
        page.clock.run_for(seconds * 1000)
        return page.evaluate("document.querySelector('#viewer h2').textContent")

    page.clock.run_for(1000)
    patiently(page, lambda: passing(6) == names[1])
    page.keyboard.press("Space")
    assert passing(60) == names[1]
    page.keyboard.press("End")
    page.keyboard.press("Space")
    patiently(page, lambda: passing(6) == names[0])  # after the last one
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert passing(60) == names[0]
    page.keyboard.press("Escape")
    expect(page.locator(".about")).to_be_visible()
    expect(heading).to_have_text(names[0])
    until(page, "!document.fullscreenElement")


def test_the_slideshow_plays_what_is_browsed_or_chosen(visit: Visit, photos: str) -> None:
    page = visit("?where=format%3DPNG", at=photos)
    page.wait_for_selector("#timeline .tile")
    page.click("#play")
    until(page, "document.querySelector('#viewer[data-playing]')")
    expect(page.locator("#viewer .about .soft").first).to_contain_text("من ٣")
    for _ in range(2):
        page.keyboard.press("PageDown")
    heading = page.locator("#viewer h2")
    last = heading.inner_text()
    page.keyboard.press("Home")
    expect(heading).not_to_have_text(last)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    for tile in page.locator("#timeline .tile").all()[:2]:
        tile.locator(".check").click()
    page.locator("#chosen").get_by_role("button", name="عرض الشرائح").click()
    until(page, "document.querySelector('#viewer[data-playing]')")
    expect(page.locator("#viewer .about .soft").first).to_contain_text("من ٢")
    page.keyboard.press("PageDown")
    expect(page.locator(".turn.next")).to_be_disabled()
