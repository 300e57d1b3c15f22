"""The home page's pictures: by month, albums, chosen ones, hidden ones."""

import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from doing import Visit, patiently, serving, until
from fingers import Fingers
from playwright.sync_api import Locator, Page, Route, expect

READ, WRITE = "read-" + "r" * 32, "write-" + "w" * 32


def tiles(page: Page) -> int:
    return page.locator("#timeline .tile").count()


def test_home_shows_months_and_the_viewer_turns_through_them(visit: Visit) -> None:
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


def test_albums_lead_to_their_pictures_and_filters_need_no_words(visit: Visit) -> None:
    page = visit("?show=albums")
    page.get_by_role("link", name="holiday").click()
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    expect(page.locator(".trail b")).to_have_text("holiday")
    page.locator(".trail").get_by_role("link", name="الألبومات").click()
    expect(page.locator(".card")).to_have_count(2)
    page.go_back()
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    page.goto(page.url.split("?")[0] + "?where=captured%3D1999")
    expect(page.locator(".notice.nothing")).to_contain_text("لم نجد ما يطابق")
    expect(page.locator(".notice.nothing")).not_to_contain_text("كلمات")  # there are none
    page.goto(page.url.split("?")[0] + "?where=hidden%3Dyes")
    expect(page.locator(".notice.nothing h2")).to_have_text("لا صور مخفية")


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
    page.locator("#timeline .tile").nth(1).hover()
    page.locator("#timeline .check").nth(1).click()
    page.locator("#timeline .tile a").nth(4).click(modifiers=["Shift"])
    expect(page.locator("#chosen p")).to_have_text("٤ صور محددة")
    page.locator("#timeline .tile a").first.click(modifiers=["Shift"])  # the range now ends on the other side
    expect(page.locator("#chosen p")).to_have_text("صورتان محددتان")
    page.locator("#timeline .tile a").first.focus()
    page.keyboard.press("Control+a")
    expect(page.locator("#chosen p")).to_have_text("٩٦ صورة محددة")
    page.keyboard.press("Escape")
    expect(page.locator("#chosen")).to_be_hidden()


def test_a_finger_held_on_a_picture_chooses_and_then_taps_do(visit: Visit) -> None:
    page = visit(width=390, height=780, has_touch=True, is_mobile=True)
    fingers = Fingers(page)
    first, second = (page.locator("#timeline .tile").nth(number) for number in (0, 1))
    first.scroll_into_view_if_needed()
    at = middle(first)
    page.clock.install()  # a busy machine must not make a quick finger a slow one
    page.clock.pause_at(datetime.now() + timedelta(seconds=5))
    fingers.drag((at, (at[0], at[1] - 30)))  # a scroll chooses nothing
    page.clock.run_for(600)
    expect(page.locator("#chosen")).to_have_count(0)
    fingers.down(middle(first))
    page.clock.run_for(600)
    fingers.up()
    page.clock.resume()
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")
    fingers.tap(middle(second))
    expect(page.locator("#chosen p")).to_have_text("صورتان محددتان")
    fingers.tap(middle(first))
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")
    expect(page.locator("#viewer")).to_be_hidden()


def test_a_tap_after_holding_counts_without_a_click(visit: Visit) -> None:
    page = visit(width=390, height=780, has_touch=True, is_mobile=True)
    fingers = Fingers(page)
    first, second = (page.locator("#timeline .tile").nth(number) for number in (0, 1))
    first.evaluate("tile => tile.scrollIntoView({ block: 'center' })")  # the bar of what is chosen covers the edge
    page.clock.install()
    page.clock.pause_at(datetime.now() + timedelta(seconds=5))
    fingers.down(middle(first))
    page.clock.run_for(600)
    fingers.cancel()
    fingers.tap(middle(second))  # at once: the clock stands
    expect(page.locator("#chosen p")).to_have_text("صورتان محددتان")


PLACES = [(30.0, 31.2, 12), (24.7, 46.7, 3)]  # latitude, longitude, pictures


def test_the_map_follows_the_mouse_and_two_fingers_zoom_it(visit: Visit) -> None:
    places = [
        {"latitude": north, "longitude": east, "pictures": n, "cover": None, "box": [north, east, north, east]}
        for north, east, n in PLACES
    ]
    answer = {"known": True, "pictures": 15, "places": places, "generation": "x"}
    page = visit(width=390, height=780, has_touch=True, is_mobile=True)
    page.route("**/places*", lambda route: route.fulfill(json=answer))
    page.get_by_role("link", name="الخريطة").click()
    groups = page.locator(".world li")
    expect(groups).to_have_count(2)
    before = middles(groups)
    world = middle(page.locator(".world"))
    page.mouse.move(*world)
    page.mouse.down()
    page.mouse.move(world[0] + 40, world[1] + 25, steps=3)
    page.mouse.up()
    moved = middles(groups)
    assert moved == [(pytest.approx(x + 40, abs=1), pytest.approx(y + 25, abs=1)) for x, y in before]
    x, y = world
    Fingers(page).drag(((x - 60, y), (x - 30, y)), ((x + 60, y), (x + 30, y)))
    zoomed = middles(groups)
    assert zoomed[1][0] - zoomed[0][0] == pytest.approx((moved[1][0] - moved[0][0]) / 2, rel=0.05)
    assert "where=" not in page.url  # no group was opened by the way
    page.evaluate("document.querySelector('.world li a').click()")
    until(page, "location.search.includes('near')")


def test_names_on_a_phones_map_do_not_overlap(visit: Visit) -> None:
    towns = [("القاهرة", 30.0, 31.2, 9), ("بور سعيد", 31.3, 32.3, 5), ("المدينة المنورة", 24.5, 39.6, 4)]
    places = [
        {"latitude": north, "longitude": east, "pictures": n, "cover": None, "box": [north, east, north, east],
         "name": f"{name} · {name}"}
        for name, north, east, n in towns
    ]  # fmt: skip
    page = visit(width=390, height=780)
    answer = {"known": True, "pictures": 18, "places": places, "generation": "x"}
    page.route("**/places*", lambda route: route.fulfill(json=answer))
    page.get_by_role("link", name="الخريطة").click()
    names = page.locator(".world li small")
    expect(names).to_have_count(3)
    expect(names.nth(0)).to_be_visible()  # of the largest group
    expect(names.nth(1)).to_be_hidden()
    expect(names.nth(2)).to_be_visible()
    page.mouse.move(*middle(page.locator(".world li").nth(1)))
    for _ in range(4):
        page.mouse.wheel(0, -100)  # nearer, around this group
    expect(names.nth(1)).to_be_visible()


def test_button_that_opens_menu_does_not_take_hold_of_map(visit: Visit) -> None:
    page = visit("?show=map")
    page.wait_for_selector("#map [role=status]:not(:empty)")
    page.get_by_role("button", name="تكبير").click()
    seen = "document.querySelector('.world > svg').getAttribute('viewBox')"
    before = page.evaluate(seen)
    page.mouse.move(600, 500)
    page.mouse.down(button="right")  # and of its end a page hears nothing where a menu takes it
    page.mouse.move(640, 560, steps=3)
    assert page.evaluate(seen) == before


@pytest.mark.parametrize(("locale", "place"), [("ar-EG", "٢٤٫٧، ٤٦٫٧"), ("ar-MA", "24,7، 46,7")])
def test_a_place_is_said_in_the_readers_digits(visit: Visit, locale: str, place: str) -> None:
    page = visit("?where=near%3D24.7,46.7,1km", locale=locale)
    said = page.locator(".chip.filter > span").inner_text().translate(dict.fromkeys([0x200F, *range(0x2066, 0x206A)]))
    assert said == f"المكان: حول {place}"


@pytest.mark.parametrize("language", ["ar", "en"])
def test_pictures_of_this_day_begin_where_the_page_does(visit: Visit, language: str) -> None:
    page = visit(width=390, language=language, has_touch=True, is_mobile=True)
    found = page.request.get(page.url + "pictures?k=1&where=format%3DJPEG").json()
    results = [found["results"][0] | {"captured_at": f"{year}-01-01T10:00:00"} for year in range(2001, 2013)]
    page.route("**/pictures?*month*", lambda route: route.fulfill(json=found | {"results": results}))
    page.reload()
    cards = page.locator("#memories .card")
    expect(cards).to_have_count(len(results))
    views, first = (box.bounding_box() for box in (page.locator("#browse"), cards.first))
    edge = (lambda box: box["x"] + box["width"]) if language == "ar" else (lambda box: box["x"])
    assert edge(first) == pytest.approx(edge(views), abs=1)
    strip = page.locator("#memories ul").bounding_box()
    assert (strip["x"], strip["width"]) == (pytest.approx(0, abs=1), pytest.approx(390, abs=1))  # to the edges


def middle(of: Locator) -> tuple[float, float]:
    box = of.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def middles(of: Locator) -> list[tuple[float, float]]:
    """Middles of all elements at one moment, since a map that is drawn anew replaces its groups.

    Groups that were just replaced have no size yet; then it is asked again.
    """
    boxes: list[dict[str, float]] = []

    def all_have_a_size() -> bool:
        boxes[:] = of.evaluate_all("(all) => all.map((each) => each.getBoundingClientRect().toJSON())")
        return all(box["width"] for box in boxes)

    patiently(of.page, all_have_a_size, "elements with a size")
    return [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]


@pytest.fixture
def protected(gallery: Path, tiny_model: Path) -> Iterator[str]:
    with serving(gallery, tiny_model, token_read=READ, token_write=WRITE) as address:
        yield address


def test_a_closed_dialogs_message_takes_no_later_ones_along(visit: Visit) -> None:
    page = visit()
    page.evaluate("""async () => {
        const { toast } = await import(new URL('toast.js', document.querySelector('script[type=module]').src));
        const dialog = document.createElement('dialog');
        dialog.className = 'asked';
        document.body.append(dialog);
        dialog.showModal();
        toast('قبله');
    }""")
    expect(page.locator(".asked #toast")).to_have_text("قبله")
    page.evaluate("document.querySelector('.asked').remove()")
    own = "new URL('toast.js', document.querySelector('script[type=module]').src)"
    page.evaluate(f"import({own}).then(({{ toast }}) => toast('ما بعده'))")
    expect(page.locator("body > #toast")).to_have_text("ما بعده")


def test_the_albums_of_the_last_click_are_shown(visit: Visit) -> None:
    page = visit("?show=albums")
    cards = page.locator("#albums .card")
    expect(cards).to_have_count(2)
    held: list[Route] = []
    page.route("**/folders?*in=*", lambda route: held.append(route))  # noqa: PLW0108
    name = cards.first.locator("b").inner_text()
    cards.first.click()
    patiently(page, lambda: len(held) == 1)
    page.go_back()
    cards.nth(1).click()
    patiently(page, lambda: len(held) == 2)
    held[1].continue_()
    trail = page.locator("#albums .trail b")
    expect(trail).not_to_have_text(name)
    with page.expect_response("**/folders?*in=*") as late:
        held[0].continue_()
    late.value.finished()
    page.wait_for_timeout(200)
    expect(trail).to_have_count(1)
    expect(trail).not_to_have_text(name)


def test_further_albums_come_when_asked_for(visit: Visit) -> None:
    page = visit()
    names = [f"{day:03}" for day in range(503)]

    def answer(route: Route) -> None:
        first = int(route.request.url.partition("offset=")[2])
        albums = [{"key": each, "name": each, "pictures": 3, "albums": 0, "cover": None} for each in names]
        route.fulfill(json={"trail": [], "albums": albums[first : first + 500], "more": first == 0})

    page.route("**/folders?*", answer)
    page.goto(page.url + "?show=albums")
    more = page.locator("#albums").get_by_role("button", name="عرض المزيد")
    more.click()
    expect(page.locator("#albums .card")).to_have_count(503)
    expect(more).to_be_hidden()
    expect(page.locator("#albums .card").nth(500)).to_be_focused()


def test_back_to_the_pictures_by_month_is_where_they_were_left(visit: Visit) -> None:
    page = visit(height=500)
    until(page, "document.querySelectorAll('#timeline .tile').length > 9")
    page.evaluate("scrollTo(0, 900)")
    tab = page.locator("#views").get_by_role("link", name="الألبومات")
    left = tab.evaluate("(tab) => { const left = scrollY; tab.click(); return left; }")
    assert left >= 900  # more where what lies above the pictures came only now
    page.locator("#albums .card").first.click()
    page.wait_for_selector("#albums .trail")
    page.go_back()
    page.go_back()
    until(page, "(left) => Math.abs(scrollY - left) < 5", arg=left)
