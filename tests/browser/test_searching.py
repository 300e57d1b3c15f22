"""Searching: by words, by pictures, by both; chips; the URL; pages of results."""

import base64
import io
import re
from pathlib import Path

import pytest
from doing import FAILED, Visit, patiently, search, shown, until
from PIL import Image
from playwright.sync_api import Page, Route, expect

from araclip.pictures import formats

HEIC = Path(__file__).parents[1] / "samples" / "turned.heic"


def picture_bytes(colour: str, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (900, 600), colour).save(out, kind)
    return out.getvalue()


def hand_over(page: Page, event: str, data: bytes, kind: str = "image/png") -> None:
    """Drop or paste a file, as the browser would tell the page of it."""
    page.evaluate(
        """([event, data, type]) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], 'given', { type }));
          const told = event === 'paste'
            ? new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true })
            : new DragEvent(event, { dataTransfer: transfer, bubbles: true, cancelable: true });
          document.body.dispatchEvent(told);
        }""",
        [event, base64.b64encode(data).decode(), kind],
    )


def colours(page: Page) -> list[int]:
    """0, 1, 2 for red, green, blue of the pictures shown: their number modulo 3."""
    special = {"قطة cat (1) - نسخة.jpg": 0, '"><img src=x onerror=alert(1)>.png': 1}
    return [special[name] if name in special else int(name[:3]) % 3 for name in shown(page)]


# ------------------------------------------------------------------ words


def test_a_word_finds_its_pictures_and_the_address_holds_it(visit: Visit) -> None:
    page = visit()
    search(page, "أحمر")
    assert set(colours(page)[:10]) == {0}
    assert page.evaluate("new URLSearchParams(location.search).get('q')") == "أحمر"
    assert page.input_value("#query") == "أحمر"


def test_what_was_understood_is_shown_with_a_way_back(visit: Visit) -> None:
    page = visit("?q=لون احمر بدون كلاب")
    understood = page.locator("#understood")
    expect(understood).to_contain_text("أحمر")
    expect(understood).to_contain_text("كلاب")
    understood.locator("button.bare").first.click()
    until(page, "new URLSearchParams(location.search).get('ignore') === 'words'")
    expect(understood).not_to_contain_text("أحمر")
    understood.locator("button.link").last.click()
    until(page, "!new URLSearchParams(location.search).has('ignore')")
    understood.locator("button.link").last.click()
    until(page, "new URLSearchParams(location.search).has('literal')")
    expect(understood).not_to_contain_text("كلاب")
    search(page, "أزرق")
    expect(understood).to_be_hidden()


def test_a_query_that_only_excludes_lists_the_others(visit: Visit) -> None:
    page = visit("?q=بدون كلاب")
    had = len(shown(page))
    assert had > 10
    expect(page.locator(".more")).to_be_visible()
    while page.locator(".more").is_visible():
        expect(page.locator("#count")).to_have_text("الباقي من ٩٦ بعد الاستبعاد")  # no number that grows
        page.locator(".more").scroll_into_view_if_needed()
        until(page, f"document.querySelectorAll('.tile').length > {had}")
        had = page.locator(".tile").count()
    expect(page.locator("#count")).to_have_text(re.compile(r"^[٠-٩]+ صورة من [٠-٩]+$"))
    search(page, "أحمر بدون كلاب")
    expect(page.locator("#count")).to_contain_text("أقرب")


def test_a_date_that_was_understood_is_named_alone(visit: Visit) -> None:
    page = visit("?q=أحمر 2023")
    expect(page.locator("#understood .chip")).to_have_text("تاريخ الالتقاط: ٢٠٢٣")


def test_filters_that_nothing_satisfies_are_named_together(visit: Visit) -> None:
    page = visit("?q=أحمر مجلد رحلة 2023")  # pictures of this folder have no date
    shown(page)
    expect(page.locator("#understood")).to_contain_text(re.compile("لا صور تجمع .*2023.*، فبحثنا عن الكلمات"))
    expect(page.locator("#understood")).to_contain_text("رحلة")


def test_found_words_end_with_a_whole_line(visit: Visit) -> None:
    page = visit("?q=قطة", width=360)
    shown(page)
    cut = """(text) => {
      const box = document.querySelector('.matched');
      box.textContent = text;
      const bottom = box.getBoundingClientRect().top + box.clientHeight;
      const range = document.createRange();
      range.selectNodeContents(box);
      return [...range.getClientRects()].filter((line) => line.top < bottom - 3 && line.bottom > bottom + 3).length;
    }"""
    assert page.evaluate(cut, "كلمات كثيرة لا تتسع لها ثلاثة أسطر في صورة صغيرة على الهاتف، فتُقطع بعد سطرين") == 0


def test_a_link_with_a_query_shows_its_results_at_once(visit: Visit) -> None:
    page = visit("?q=blue")
    assert set(colours(page)[:10]) == {2}


def test_back_and_forward_go_through_searches_and_keep_the_place(visit: Visit) -> None:
    page = visit(height=500)
    search(page, "أحمر")
    first = shown(page)
    page.mouse.wheel(0, 700)
    until(page, "scrollY > 600")
    search(page, "أخضر")
    assert shown(page) != first
    assert page.evaluate("scrollY") == 0
    page.go_back()
    until(page, "scrollY > 600")
    assert shown(page)[: len(first)] == first
    assert page.input_value("#query") == "أحمر"
    page.go_forward()
    expect(page.locator("#query")).to_have_value("أخضر")
    page.go_back()
    page.go_back()
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#results .tile")).to_have_count(0)


def test_the_count_is_announced_in_the_readers_digits(visit: Visit) -> None:
    page = visit("?q=أحمر")
    count = len(shown(page))
    digits = str(count).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    expect(page.locator("#count[role=status]")).to_contain_text(f"{digits} صورة من ٩٦")


def test_examples_of_the_gallery_can_be_tried(visit: Visit) -> None:
    page = visit()
    example = page.locator(".tries a").first
    text = example.inner_text()
    example.click()
    expect(page.locator("#query")).to_have_value(text)
    assert shown(page)


def test_the_latest_result_wins_when_answers_overtake_each_other(visit: Visit) -> None:
    page = visit()
    red = "**/search?q=%D8%A3%D8%AD%D9%85%D8%B1*"
    held: list[Route] = []
    page.route(red, lambda route: held.append(route))  # noqa: PLW0108  (Playwright cannot wrap a builtin)
    page.fill("#query", "أحمر")
    page.press("#query", "Enter")
    patiently(page, lambda: bool(held))
    search(page, "أزرق")
    with page.expect_response(red) as late:  # the answer of the first search comes after that of the second
        held[0].continue_()
    late.value.finished()
    page.wait_for_timeout(100)
    assert set(colours(page)[:10]) == {2}


def test_thumbnails_of_last_search_are_cancelled_by_next_one(visit: Visit) -> None:
    page = visit()
    held: set[str] = set()
    given_up: set[str] = set()
    page.on("requestfailed", lambda request: given_up.add(request.url))
    page.route("**/thumbnails/*", lambda route: held.add(route.request.url))  # and never answered
    search(page, "أحمر")
    patiently(page, lambda: bool(held))
    page.route("**/search?*", lambda route: None)  # the next search has no answer yet
    page.fill("#query", "أزرق")
    page.press("#query", "Enter")
    patiently(page, lambda: held <= given_up)


def test_a_search_that_is_left_before_its_answer_leaves_no_trace(visit: Visit) -> None:
    page = visit("?where=folder%3Dholiday")
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    page.route("**/search?*", lambda route: None)
    page.fill("#query", "أحمر")
    page.press("#query", "Enter")
    expect(page.locator("#count")).to_have_text("جارٍ البحث…")
    page.go_back()
    expect(page.locator("#count")).to_have_text("٤٨ صورة")
    assert page.locator("main").get_attribute("aria-busy") == "false"
    assert page.locator("main").get_attribute("data-late") is None


def test_back_from_a_failed_search_brings_its_thumbnails(visit: Visit) -> None:
    page = visit()
    held: list[Route] = []
    page.route("**/thumbnails/*", lambda route: held.append(route))  # noqa: PLW0108
    search(page, "أحمر")
    patiently(page, lambda: bool(held))
    page.route("**/search?*", lambda route: None)
    page.fill("#query", "أزرق")
    page.press("#query", "Enter")
    until(page, "document.title.startsWith('أزرق')")
    page.unroute("**/thumbnails/*")
    page.go_back()
    until(page, "document.querySelector('#results .tile[data-loaded]')")
    assert page.locator("#results .tile img:not([src])").count() == 0


def test_weaker_matches_stand_below_a_divider(visit: Visit) -> None:
    page = visit("?q=سيارة أحمر في الشارع")  # some of the first 40 are weak, some are not
    divider = page.get_by_role("heading", name="نتائج أضعف صلة")
    expect(divider).to_be_visible()
    line = divider.bounding_box()["y"]
    tops = page.locator(".tile").evaluate_all(
        "tiles => tiles.map((tile) => [tile.getBoundingClientRect().top, tile.querySelector('a').ariaLabel])"
    )
    above = ["ضعيفة" in label for top, label in tops if top < line]
    below = ["ضعيفة" in label for top, label in tops if top > line]
    assert above and not any(above)
    assert below and all(below)
    assert all("الصلة" in label for _, label in tops)


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_dropped_or_pasted_finds_pictures_like_it(visit: Visit, event: str) -> None:
    page = visit()
    hand_over(page, event, picture_bytes("#00f", "JPEG"), "image/jpeg")
    assert set(colours(page)[:10]) == {2}
    expect(page.locator(".chip img")).to_be_visible()
    page.reload()
    assert set(colours(page)[:10]) == {2}


def test_text_with_a_picture_of_itself_is_pasted_as_text(visit: Visit) -> None:
    page = visit()
    page.focus("#query")
    taken = page.evaluate(  # as cells of a table are copied
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(['x'], 'image.png', { type: 'image/png' }));
          for (const kind of ['text/plain', 'text/html']) transfer.setData(kind, 'قطة');
          const told = new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true });
          return !document.activeElement.dispatchEvent(told);
        }"""
    )
    assert not taken  # the browser puts the text into the field


def test_a_picture_lost_by_a_link_is_there_again_once_dropped(visit: Visit) -> None:
    page = visit()
    hand_over(page, "drop", picture_bytes("#00f"))
    shown(page)
    page.evaluate("sessionStorage.clear()")  # as in another tab
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("إفلاتها هنا من جديد")
    hand_over(page, "drop", picture_bytes("#00f"))
    expect(page.locator(".chip img")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert set(colours(page)[:10]) == {2}


def test_a_picture_can_be_picked_and_joined_by_words(visit: Visit) -> None:
    page = visit()
    page.set_input_files("#file", {"name": "given.png", "mimeType": "image/png", "buffer": picture_bytes("#0f0")})
    assert set(colours(page)[:10]) == {1}
    page.fill("#query", "أحمر")
    page.press("#query", "Enter")
    expect(page.locator(".chip.plus")).to_have_count(2)
    assert 0 in colours(page)[:10]
    page.get_by_role("button", name=re.compile("إزالة.*صورة")).click()
    expect(page.locator(".chip img")).to_have_count(0)
    until(page, "!location.search.includes('picture')")


def test_a_picture_sent_is_small_and_carries_no_metadata(visit: Visit) -> None:
    page = visit()
    exif = Image.Exif()
    exif[0x010E] = "the secret place"
    out = io.BytesIO()
    Image.new("RGB", (3000, 2000), "#00f").save(out, "JPEG", exif=exif)
    with page.expect_request("**/search") as asked:
        hand_over(page, "drop", out.getvalue(), "image/jpeg")
    data = base64.b64decode(asked.value.post_data_json["pictures"][0]["data"].split(",")[1])
    picture = Image.open(io.BytesIO(data))
    assert picture.size == (768, 512)
    assert b"secret" not in data
    shown(page)


@pytest.mark.parametrize(("form", "kind"), [("TIFF", "image/tiff"), ("JPEG2000", "")])
def test_a_picture_only_the_server_reads_finds_others_like_it(visit: Visit, form: str, kind: str) -> None:
    page = visit()
    hand_over(page, "drop", picture_bytes("#00f", form), kind)
    assert set(colours(page)[:10]) == {2}
    expect(page.locator(".chip img")).to_be_visible()


def test_a_heic_can_be_picked(visit: Visit) -> None:
    page = visit()
    page.set_input_files("#file", HEIC)
    assert shown(page)
    until(page, "document.querySelector('.chip img').naturalHeight === 96")


def test_a_file_that_nobody_can_read_is_refused_with_the_formats(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    hand_over(page, "drop", b"<svg></svg>", "image/svg+xml")
    said = page.locator("#toast")
    expect(said).to_contain_text("تعذّر استعمال الصورة")
    for name in formats.READ:
        expect(said).to_contain_text(name)
    page.clock.install()
    page.clock.run_for(60_000)
    expect(said).to_contain_text("تعذّر استعمال الصورة")
    said.get_by_role("button", name="إغلاق").click()
    expect(said).to_be_hidden()


def test_a_file_that_is_no_picture_is_refused_with_a_message(visit: Visit) -> None:
    page = visit()
    until(page, "document.body.dataset.generation")  # the page knows what the server reads
    hand_over(page, "drop", b"not a picture", "image/png")
    expect(page.locator("#toast")).to_contain_text("تعذّرت قراءة الصورة")
    for name in formats.READ:
        expect(page.locator("#toast")).to_contain_text(name)
    hand_over(page, "drop", b"text", "text/plain")
    assert page.locator("body").get_attribute("data-page") == "home"


def test_files_dragged_over_the_page_show_the_drop_area(visit: Visit) -> None:
    page = visit()
    hand_over(page, "dragover", b"", "image/png")
    expect(page.get_by_text("إفلات الصورة هنا")).to_be_visible()


def test_the_drop_area_is_in_front_of_the_viewer(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    page.locator(".tile a").first.click()
    page.wait_for_selector("#viewer dl")
    hand_over(page, "dragover", b"", "image/png")
    expect(page.get_by_text("إفلات الصورة هنا")).to_be_visible()
    assert page.evaluate("document.querySelector('#viewer').contains(document.querySelector('#drop'))")
    hand_over(page, "drop", picture_bytes("#00f"))
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".chip img")).to_be_visible()
    hand_over(page, "dragover", b"", "image/png")
    expect(page.get_by_text("إفلات الصورة هنا")).to_be_visible()


def test_more_like_this_and_less_like_this(visit: Visit) -> None:
    page = visit("?q=أخضر")
    first = page.locator(".tile").first
    name = shown(page)[0]
    first.hover()
    first.get_by_role("button", name="صور مشابهة").click()
    until(page, "location.search.startsWith('?like=')")
    until(page, "document.querySelector('#query').value === ''")
    assert set(colours(page)[:8]) == {1}
    assert name not in shown(page)
    page.go_back()
    expect(page.locator("#query")).to_have_value("أخضر")
    page.locator(".tile a").first.click()
    page.get_by_role("button", name="استبعاد ما يشبهها").click()
    expect(page.locator(".chip.minus img")).to_be_visible()
    assert shown(page)


# ------------------------------------------------------------------ chips


def test_a_query_of_several_parts_shows_them_as_chips(visit: Visit) -> None:
    page = visit()
    search(page, "أحمر + أخضر - أزرق")
    expect(page.locator(".chip.plus .what")).to_have_text(["أحمر", "أخضر"])
    expect(page.locator(".chip.minus .what")).to_have_text(["أزرق"])


def test_adding_looks_like_included_and_excluding_does_not(visit: Visit) -> None:
    page = visit("?q=أحمر + أخضر - أزرق".replace("+", "%2B"))
    shown(page)
    colour = "node => getComputedStyle(node).backgroundColor"
    for name, kind in (("إضافة", "plus"), ("استبعاد", "minus")):
        button = page.get_by_role("button", name=name, exact=True)
        button.hover()
        assert button.evaluate(colour) == page.locator(f".chip.{kind}").first.evaluate(colour)


def test_something_is_excluded_by_a_chip_and_taken_back(visit: Visit) -> None:
    page = visit("?q=أحمر")
    page.get_by_role("button", name="استبعاد", exact=True).click()
    page.keyboard.type("أزرق")
    page.keyboard.press("Enter")
    expect(page.locator("#query")).to_have_value("أحمر - أزرق")
    page.get_by_role("button", name=re.compile("تضمين.*أزرق.*بدل الاستبعاد")).click()
    expect(page.locator("#query")).to_have_value("أحمر + أزرق")
    page.get_by_role("button", name=re.compile("إزالة.*أحمر")).click()
    expect(page.locator("#query")).to_have_value("أزرق")
    assert set(colours(page)[:10]) == {2}
    page.go_back()
    expect(page.locator("#query")).to_have_value("أحمر + أزرق")


def test_escape_closes_field_of_chip_and_gives_focus_back(visit: Visit) -> None:
    page = visit("?q=أحمر")
    page.get_by_role("button", name="إضافة", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="إضافة", exact=True)).to_be_focused()


# ------------------------------------------------------------------ recent searches


def test_recent_searches_are_kept_on_device_and_can_be_forgotten(visit: Visit) -> None:
    page = visit()
    for query in ("أحمر", "أخضر", "أزرق"):
        search(page, query)
    page.locator(".brand").click()
    expect(page.locator(".earlier a")).to_have_text(["أزرق", "أخضر", "أحمر"])
    page.reload()
    page.get_by_role("button", name=re.compile("حذف.*أخضر")).click()
    expect(page.locator(".earlier a")).to_have_text(["أزرق", "أحمر"])
    page.get_by_role("button", name="مسح القائمة").click()
    expect(page.locator(".earlier")).to_have_count(0)
    assert page.evaluate("localStorage.getItem('araclip.recent')") is None


# ------------------------------------------------------------------ pages


def test_scrolling_brings_more_without_moving_what_is_there(visit: Visit) -> None:
    page = visit("?q=أحمر&where=format%3DJPEG,PNG,WEBP", height=600)
    # As if everything matched: relevance unknown, so that scrolling goes on by itself.
    page.goto(
        page.url.split("?")[0]
        + "?like="
        + page.locator(".tile a").first.evaluate("a => new URL(a.href).searchParams.get('view')")
    )
    before = page.locator(".tile")
    shown(page)
    places = "tiles => tiles.map((tile) => [tile.offsetLeft, tile.offsetTop, tile.offsetWidth, tile.offsetHeight])"
    had = before.evaluate_all(places)
    page.mouse.wheel(0, 4000)
    until(page, f"document.querySelectorAll('.tile').length > {len(had)}")
    assert before.evaluate_all(places)[: len(had)] == had
    for _ in range(4):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(150)
    expect(page.locator(".more")).to_be_hidden()
    names = shown(page)
    assert len(names) == len(set(names)) == 95


def test_weak_results_wait_for_the_button_and_focus_goes_on(visit: Visit) -> None:
    page = visit("?q=سيارة أحمر في الشارع")
    had = len(shown(page))
    page.mouse.wheel(0, 9000)
    page.wait_for_timeout(300)
    assert len(shown(page)) == had
    page.get_by_role("button", name="عرض المزيد").press("Enter")
    until(page, f"document.querySelectorAll('.tile').length > {had}")
