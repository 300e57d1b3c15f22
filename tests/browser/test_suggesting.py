"""Suggestions while typing, near-duplicates behind one tile, weak results behind a button, results that keep up."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from colours import write_pictures
from doing import PATIENCE_MS, Visit, patiently, search, serving, shown, until
from fingers import Fingers
from PIL import Image
from playwright.sync_api import Page, Route, expect

from araclip import AraCLIP, Gallery
from araclip.gallery.query import parse


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The colours, two near-duplicates of one of them, and captions."""
    folder = tmp_path_factory.mktemp("suggesting")
    write_pictures(folder / "pictures")
    first = Image.open(folder / "pictures" / "رحلة" / "006.jpg")
    for side in (200, 120):
        copy = first.resize((side * first.width // 100, side * first.height // 100))
        copy.save(folder / "pictures" / "رحلة" / f"copy {side}.png")
    for name, caption in {"006.txt": "أحمد على الشاطئ", "012.txt": "قارب أحمر"}.items():
        (folder / "pictures" / "رحلة" / name).write_text(caption, encoding="utf-8")
    with Gallery.open(folder / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        gallery.update([folder / "pictures"])
    return folder


@pytest.fixture(scope="module")
def address(album: Path, tiny_model: Path) -> Iterator[str]:
    with serving(album / "gallery", tiny_model) as address:
        yield address


def options(page: Page) -> list[str]:
    return page.locator("#suggestions [role=option] bdi").all_inner_texts()


def test_what_is_typed_is_completed_and_chosen_with_the_keyboard(visit: Visit) -> None:
    page = visit()
    search(page, "أحمر فاتح")
    field = page.get_by_role("combobox", name="ما الذي يظهر في الصورة؟")
    field.fill("")
    field.press_sequentially("احم")
    patiently(page, lambda: {"أحمر فاتح", "أحمد", "أحمر"} <= set(options(page)))
    assert options(page)[0] == "أحمر فاتح"  # an earlier search, without its hamza
    expect(field).to_have_attribute("aria-expanded", "true")
    at = options(page).index("أحمد")
    for _ in range(at + 1):
        field.press("ArrowDown")
    chosen = page.locator("#suggestions [aria-selected=true]")
    expect(chosen).to_have_count(1)
    expect(chosen).to_contain_text("أحمد")
    expect(field).to_have_attribute("aria-activedescendant", f"option-{at}")
    expect(field).to_have_value("احم")
    field.press("Enter")
    until(page, "new URLSearchParams(location.search).get('q') === 'أحمد'")
    expect(page.locator("#suggestions")).to_be_hidden()
    expect(field).to_have_attribute("aria-expanded", "false")
    assert shown(page)


def test_the_name_of_a_file_is_searched_as_it_stands(visit: Visit) -> None:
    page = visit()
    name = r'قهوة - شاي "2019" بدون سكر'
    answer = {"suggestions": [{"text": name, "kind": "file"}]}
    page.route("**/suggestions*", lambda route: route.fulfill(json=answer))
    page.get_by_role("combobox", name="ما الذي يظهر في الصورة؟").press_sequentially("قهو")
    page.locator("#suggestions [role=option]").click()
    until(page, "location.search.includes('q=')")
    asked = page.evaluate("new URLSearchParams(location.search).get('q')")
    assert [(term.value, term.quoted, term.weight) for term in parse(asked).terms] == [(name, True, 1.0)]


def test_escape_closes_the_list_and_leaves_what_is_typed(visit: Visit) -> None:
    page = visit(width=360)
    page.locator("#query").press_sequentially("شاط")
    expect(page.get_by_role("listbox")).to_be_visible()
    box, window = page.get_by_role("listbox").bounding_box(), page.viewport_size
    assert box["x"] >= 0 and box["x"] + box["width"] <= window["width"]
    assert page.locator("#suggestions li").first.bounding_box()["height"] >= 44
    page.locator("#query").press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(page.locator("#query")).to_have_value("شاط")
    page.locator("#query").press("ArrowDown")
    page.locator("#suggestions li", has_text="شاطئ").first.click()
    until(page, "location.search.startsWith('?q=')")
    assert "شاطئ" in page.input_value("#query")


def test_a_picture_to_search_by_is_asked_for_by_a_clear_button(visit: Visit) -> None:
    page = visit(width=360)
    with page.expect_file_chooser(timeout=PATIENCE_MS) as asked:
        page.get_by_role("button", name="بحث بصورة").click()
    asked.value.set_files({"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#toast")).to_contain_text("تعذّرت قراءة الصورة")


def test_near_duplicates_stand_behind_one_tile_or_beside_it(visit: Visit) -> None:
    page = visit("?q=أحمر")
    names = shown(page)
    tile = page.locator(".tile", has=page.locator(".near"))
    expect(tile).to_have_count(1)
    badge = tile.locator(".near")
    expect(badge).to_have_attribute("aria-label", "صورتان مشابهتان أخريان")
    badge.click()
    expect(badge).to_have_attribute("aria-expanded", "true")
    until(page, f"document.querySelectorAll('.tile').length === {len(names) + 2}")
    opened = page.locator(".tile .name").all_inner_texts()
    at = next(i for i, name in enumerate(opened) if name.startswith(("006", "copy")))
    assert {name.split(".")[0] for name in opened[at : at + 3]} == {"006", "copy 200", "copy 120"}
    page.reload()
    shown(page)
    until(page, f"document.querySelectorAll('.tile').length === {len(names) + 2}")  # the address holds it
    page.locator(".near").click()
    until(page, f"document.querySelectorAll('.tile').length === {len(names)}")
    page.click("#filter-switch")
    page.get_by_role("checkbox", name="إخفاء الصور المتشابهة").uncheck()
    until(page, "location.search.includes('unfold')")
    expect(page.locator(".near")).to_have_count(0)


def test_near_duplicates_pass_filters_that_are_read_from_words(visit: Visit) -> None:
    asked: list[list[str]] = []
    read = {"part": "date", "words": "2021", "where": ["captured=2021..2021"], "applied": True}
    order = {"part": "order", "words": "أحدث", "where": ["sort=date"], "applied": True}
    ignored = {"part": "place", "words": "دبي", "where": ["place=دبي"], "applied": False}
    page = visit()

    def understood(route: Route) -> None:
        answer = route.fetch().json()
        answer["interpretation"]["filters"] = [read, order, ignored]
        route.fulfill(json=answer)

    page.route("**/search?*", understood)
    page.on("request", lambda each: "/near?" in each.url and asked.append(parse_qs(urlsplit(each.url).query)["where"]))
    page.goto(page.url + "?q=أحمر&where=format%3DPNG,JPEG")
    page.locator(".near").first.click()
    patiently(page, lambda: bool(asked))
    assert asked == [["format=PNG,JPEG", "captured=2021..2021"]]


def test_where_all_is_weak_the_nearest_wait_behind_a_button(visit: Visit) -> None:
    page = visit("?q=لون")
    page.route("**/search?*", lambda route: route.fulfill(json=weakened(route.fetch().json())))
    page.goto(page.url.split("?")[0] + "?q=طائرة")
    expect(page.locator(".notice")).to_contain_text("لم نجد ما يطابق")
    expect(page.locator(".tile")).to_have_count(0)
    expect(page.locator(".more")).to_be_hidden()
    page.get_by_role("button", name="عرض أقرب الصور").click()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator(".tile a").first).to_be_focused()
    expect(page.locator(".notice")).to_have_count(0)
    page.locator(".tile a").first.click()
    page.go_back()
    expect(page.locator(".tile").first).to_be_visible()  # they stay


def weakened(answer: dict) -> dict:
    for result in answer["results"]:
        result |= {"weak": True, "relevance": 0.01}
    return answer


def test_new_pictures_come_by_themselves_below_what_is_seen(
    visit: Visit, album: Path, tiny_model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(album / "gallery", tmp_path / "gallery")
    with serving(copy, tiny_model) as address:
        page = visit("?q=أحمر", at=address, expecting="Failed to load resource")
        shown(page)
        until(page, "document.body.dataset.generation")
        before = page.locator(".tile").first.bounding_box(), shown(page)
        Image.new("RGB", (320, 240), "#f00").save(tmp_path / "reddest.png")
        with Gallery.open(copy, model=AraCLIP(tiny_model)) as other:
            other.add([tmp_path / "reddest.png"])
        new = page.get_by_role("button", name="عرض صورة جديدة")
        expect(new).to_be_visible()
        assert (page.locator(".tile").first.bounding_box(), shown(page)) == before  # nothing has moved
        new.click()
        until(page, "[...document.querySelectorAll('.tile .name')].some((name) => name.innerText.includes('reddest'))")
        expect(new).to_have_count(0)
        page.close()  # before the server, whose end would be an error on the console


def test_on_a_phone_the_filters_are_a_sheet(visit: Visit) -> None:
    page = visit("?q=أحمر", width=390, has_touch=True, is_mobile=True)
    shown(page)
    switch = page.locator("#filter-switch")
    switch.click()
    sheet = page.get_by_role("dialog", name="تصفية")
    expect(sheet).to_be_visible()
    assert sheet.evaluate("sheet => sheet.matches(':modal') && sheet.contains(document.activeElement)")
    box = sheet.bounding_box()
    assert box["y"] + box["height"] == pytest.approx(page.viewport_size["height"], abs=1)
    page.get_by_role("radio", name="مربعة").check()
    until(page, "location.search.includes('orientation')")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(switch).to_be_focused()
    expect(switch).to_have_attribute("aria-expanded", "false")
    switch.click()
    page.mouse.click(195, 20)  # outside
    expect(sheet).to_be_hidden()
    switch.click()
    page.get_by_role("button", name="تم").click()
    expect(sheet).to_be_hidden()
    switch.click()
    fingers, grip = Fingers(page), sheet.bounding_box()
    fingers.drag(((195, grip["y"] + 20), (195, grip["y"] + 60)))  # too short
    expect(sheet).to_be_visible()
    expect(sheet).to_have_css("translate", "none")  # it is back
    fingers.drag(((195, grip["y"] + 20), (195, grip["y"] + 180)))
    expect(sheet).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 800})
    switch.click()
    assert not sheet.evaluate("sheet => sheet.matches(':modal')")


def test_icons_stay_without_a_network(visit: Visit) -> None:
    page = visit(expecting="Failed to load resource")
    page.context.set_offline(True)
    page.fill("#query", "أحمر")
    page.press("#query", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("لا اتصال بالشبكة")
    drawn = "icons => icons.map((use) => use.getBoundingClientRect().width)"
    assert all(page.locator("#notice use, .tools use, .box use:visible").evaluate_all(drawn))


def test_on_paper_each_picture_has_its_name(visit: Visit) -> None:
    page = visit("?q=أحمر")
    names = shown(page)
    page.emulate_media(media="print")
    expect(page.locator(".tile .name").nth(20)).to_be_visible()
    seen = "all => all.every((name) => getComputedStyle(name).opacity === '1')"
    assert page.locator(".tile .name").evaluate_all(seen)
    tiles = page.locator(".tile").evaluate_all("all => all.map((tile) => tile.getBoundingClientRect().toJSON())")
    for one, other in itertools.pairwise(tiles):
        assert one["bottom"] <= other["top"] + 1 or abs(one["top"] - other["top"]) < 1  # none over another
    expect(page.locator("#query")).to_have_value("أحمر")  # what was asked is read on paper, too
    expect(page.locator("#query")).to_be_visible()
    for control in (".tools", ".more", ".go", ".near", ".adders"):
        expect(page.locator(control).first).to_be_hidden()
    pages = page.pdf(format="A4")
    assert pages.count(b"/Type /Page\n") >= 2 and len(names) > 12
