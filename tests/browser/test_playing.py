"""Videos on the page: the time on the tile, and the viewer, which plays from there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doing import Visit, serving, until
from playwright.sync_api import expect

from araclip import AraCLIP, Gallery

pytest.importorskip("av")

from pictures import RED
from videos import BLUE, video


@pytest.fixture(scope="module")
def videos(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gallery with a video that browsers play and one that they do not."""
    root = tmp_path_factory.mktemp("videos")
    (root / "clips").mkdir()
    video(root / "clips" / "بحر.webm", codec="libvpx", size=(320, 240))
    video(root / "clips" / "old.avi", [RED, BLUE], size=(320, 240), noise=3)
    with Gallery.open(root / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([root / "clips"])
    with serving(root / "gallery", tiny_model) as address:
        yield address


def test_a_scene_shows_its_time_and_opens_the_video_there(visit: Visit, videos: str) -> None:
    page = visit("?q=أخضر", at=videos, language="en", locale="en-GB")
    tile = page.locator(".tile a", has_text="بحر.webm")
    expect(tile.locator(".time")).to_contain_text("0:02")
    expect(tile).to_have_attribute("aria-label", re.compile("video at"))
    tile.click()
    playing = page.locator("#viewer video")
    expect(playing).to_be_visible()
    until(page, "document.querySelector('#viewer video').readyState >= 1")
    assert page.evaluate("document.querySelector('#viewer video').currentTime") == pytest.approx(2, abs=0.3)
    page.keyboard.press("Escape")
    expect(playing).to_have_count(0)


def test_of_video_that_browser_cannot_play_still_is_shown(visit: Visit, videos: str) -> None:
    page = visit("?q=أزرق", at=videos)
    page.locator(".tile a", has_text="old.avi").click()
    expect(page.locator(".facts")).to_contain_text("لا يمكن تشغيل هذا الفيديو")
    expect(page.locator("#viewer video")).to_have_count(0)
    until(page, "document.querySelector('#viewer img').naturalWidth === 320")
