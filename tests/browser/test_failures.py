"""Error states: missing, invalid, busy, protected."""

import json
import shutil
from pathlib import Path

import pytest
from doing import FAILED, Visit, ask, boxes, patiently, serving, shown, until
from playwright.sync_api import Page, Route, expect

from araclip import AraCLIP, Gallery

TOKEN = "a-token-of-this-test-alone"


def problem(status: int, title: str, detail: str, **headers: str) -> dict[str, object]:
    body = {"type": "about:blank", "status": status, "title": title, "detail": detail}
    return {
        "status": status,
        "body": json.dumps(body),
        "headers": {"Content-Type": "application/problem+json"} | {k.replace("_", "-"): v for k, v in headers.items()},
    }


def unanswered(visit: Visit) -> Page:
    """The page after a search that the server does not answer."""
    page = visit(expecting=FAILED)
    page.route("**/search?*", lambda route: route.abort())
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text("الخادم لا يجيب")
    return page


@pytest.mark.parametrize(("language", "letters"), [("ar", "ا"), ("en", "e")])
def test_an_unreadable_query_is_explained_in_ones_language(visit: Visit, language: str, letters: str) -> None:
    page = visit("?q=-%200.5:كلب", language=language, expecting=FAILED)
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    title = alert.get_by_role("heading").inner_text()
    assert letters in title
    assert title.isascii() == (language == "en")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (problem(503, "Not ready", "The server is starting."), "المعرض غير متاح الآن"),
        ({"status": 502, "body": "<h1>Bad gateway</h1>", "content_type": "text/html"}, "الخادم لا يجيب"),
        ({"status": 418, "body": "teapot"}, "أجاب الخادم بالرمز ٤١٨"),
        (problem(422, "عنوان", "raw English of a library"), "عنوان"),
    ],
)
def test_no_english_of_server_or_proxy_stands_in_arabic_page(
    visit: Visit, answer: dict[str, object], said: str
) -> None:
    page = visit(expecting=FAILED)
    page.route("**/search?*", lambda route: route.fulfill(**answer))
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text(said)
    assert not any(letter in page.get_by_role("alert").inner_text() for letter in "abcdefghijklmnopqrstuvwxyz")


def test_a_server_that_does_not_answer_can_be_tried_again(visit: Visit) -> None:
    page = unanswered(visit)
    page.unroute("**/search?*")
    page.get_by_role("button", name="إعادة المحاولة").click()
    assert shown(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_half_of_an_answer_is_none(visit: Visit) -> None:
    page = visit()
    page.route("**/search?*", lambda route: route.fulfill(content_type="application/json", body='{"results": ['))
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text("الخادم لا يجيب")


def test_all_that_failed_at_the_start_comes_with_a_retry(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    failing = ["search", "stats"]

    def answer(route: Route) -> None:
        name = route.request.url.split("?")[0].rpartition("/")[2]
        if name not in failing:
            return route.continue_()
        failing.remove(name)
        return route.abort()

    page.route("**/search?*", answer)
    page.route("**/stats", answer)
    page.goto(page.url + "?q=أحمر")
    page.get_by_role("button", name="إعادة المحاولة").click()
    shown(page)
    page.click("#filter-switch")
    expect(page.locator("#filters legend").first).to_be_visible()
    expect(page.locator("#count")).to_contain_text("٩٦")


def test_error_is_said_anew_in_language_that_is_switched_to(visit: Visit) -> None:
    page = unanswered(visit)
    page.click("#language")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")


def test_where_the_browser_keeps_nothing_the_page_works(visit: Visit) -> None:
    page = visit()
    page.add_init_script(
        """for (const name of ['localStorage', 'sessionStorage'])
             Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } })"""
    )
    page.goto(page.url + "?q=أحمر")
    assert shown(page)
    page.goto(page.url.split("?")[0] + "?show=albums")
    page.wait_for_selector(".card")


def test_without_network_it_retries_by_itself_once_there_is_one(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.context.set_offline(True)
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text("لا اتصال بالشبكة")
    page.context.set_offline(False)
    page.wait_for_selector(".tile")


def test_a_network_that_carries_nothing_at_first_is_asked_again(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.context.set_offline(True)
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text("لا اتصال بالشبكة")
    failed = []
    page.route("**/search?*", lambda route: (failed.append(route.request.url), route.abort()), times=1)
    page.context.set_offline(False)
    page.wait_for_selector(".tile")
    assert len(failed) == 1


def test_without_a_network_a_view_comes_once_there_is_one(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.wait_for_selector("#timeline .tile")
    page.context.set_offline(True)
    page.get_by_role("link", name="الخريطة").click()
    expect(page.get_by_role("alert")).to_contain_text("لا اتصال بالشبكة")
    views, notice = boxes(page, "#views", ".notice")
    assert views["y"] + views["height"] <= notice["y"]  # the views stay where they were
    page.get_by_role("link", name="الصور").click()
    expect(page.locator(".notice")).to_have_count(0)
    page.get_by_role("link", name="الألبومات").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.context.set_offline(False)
    page.wait_for_selector("#albums .card")


def test_a_busy_server_is_asked_again_after_the_time_it_names(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    asked = []

    def answer(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(**problem(429, "مشغول", "طلبات كثيرة", Retry_After="2"))
        else:
            route.continue_()

    page.route("**/search?*", answer)
    ask(page, "أحمر")
    expect(page.get_by_role("alert")).to_contain_text("بعد ثانيتين")
    page.wait_for_selector(".tile")
    assert len(asked) == 2


def test_failure_while_paging_leaves_results_and_button(visit: Visit) -> None:
    page = visit("?q=أحمر", expecting=FAILED)
    had = len(shown(page))
    page.route("**/search?*", lambda route: route.fulfill(**problem(503, "لا يعمل", "لاحقًا")))
    page.get_by_role("button", name="عرض المزيد").click()
    expect(page.locator("#toast")).to_have_text("لا يعمل. لاحقًا")
    assert len(shown(page)) == had
    page.unroute("**/search?*")
    page.get_by_role("button", name="عرض المزيد").click()
    until(page, f"document.querySelectorAll('.tile').length > {had}")


def test_nothing_found_says_what_to_try(visit: Visit) -> None:
    page = visit("?q=أحمر&where=captured%3D1999")
    expect(page.locator(".notice")).to_contain_text("لم نجد ما يطابق")
    expect(page.locator(".notice")).to_contain_text("إزالة التصفية")


def test_an_empty_gallery_says_how_to_fill_it(visit: Visit, tiny_model: Path, tmp_path: Path) -> None:
    Gallery.open(tmp_path / "empty", model=AraCLIP(tiny_model), create=True).close()
    with serving(tmp_path / "empty", tiny_model) as address:
        page = visit(at=address)
        expect(page.locator(".notice")).to_contain_text("المعرض فارغ")
        expect(page.locator(".notice code")).to_have_text("araclip index")
        page.close()  # before the server, whose end would be an error on the console


def test_a_protected_gallery_asks_for_its_token_and_forgets_it(visit: Visit, gallery: Path, tiny_model: Path) -> None:
    with serving(gallery, tiny_model, token_read=TOKEN) as address:
        page = visit("?q=أحمر", at=address, expecting=FAILED)
        expect(page.get_by_role("heading", name="المعرض محمي")).to_be_visible()
        page.get_by_label("رمز الدخول").fill("a-wrong-token-is-refused")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("لم يُقبل هذا الرمز.")
        for _ in range(3):
            page.keyboard.press("Escape")  # there is nothing behind the dialog
        page.get_by_label("رمز الدخول").fill(TOKEN)
        page.keyboard.press("Enter")
        assert shown(page)
        until(page, "document.querySelector('.tile[data-loaded]')")
        assert page.evaluate("JSON.stringify(localStorage)").find(TOKEN) < 0
        assert TOKEN not in page.url
        page.reload()
        assert shown(page)  # for as long as the tab lives
        page.context.clear_cookies()
        page.evaluate("sessionStorage.clear()")
        page.reload()
        expect(page.get_by_role("heading", name="المعرض محمي")).to_be_visible()


def test_a_session_that_has_ended_is_begun_again_by_the_page(visit: Visit, gallery: Path, tiny_model: Path) -> None:
    with serving(gallery, tiny_model, token_read=TOKEN, events_seconds=1) as address:
        page = visit("?q=أحمر", at=address, expecting=FAILED)
        page.get_by_label("رمز الدخول").fill(TOKEN)
        page.keyboard.press("Enter")
        until(page, "document.querySelector('.tile[data-loaded]')")
        page.context.clear_cookies()  # as after twelve hours, or when the server was started again
        page.reload()
        until(page, "document.querySelector('.tile[data-loaded]')")
        assert page.locator(".gone").count() == 0
        page.context.clear_cookies()
        patiently(page, lambda: bool(page.context.cookies()))  # the next stream of events is refused
        page.close()


def test_a_link_with_a_picture_of_another_device_says_so(visit: Visit) -> None:
    page = visit("?picture=abcdef")
    expect(page.get_by_role("alert")).to_contain_text("إفلاتها هنا من جديد")


def test_a_picture_that_cannot_be_shown_leaves_its_place(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.route("**/thumbnails/*", lambda route: route.fulfill(status=404, body=""))
    ask(page, "أحمر")
    page.wait_for_selector(".tile")
    expect(page.locator(".tile .gone").first).to_have_text("تعذّر عرض الصورة")


@pytest.mark.parametrize(
    ("news", "text"),
    [
        ({"state": "running", "done": 1200, "found": 12000}, "جارٍ فهرسة الصور · ١٬٢٠٠ من ١٢٬٠٠٠"),
        ({"state": "done", "done": 12000, "found": 12000}, "اكتملت الفهرسة"),
        (
            {"state": "failed", "done": 3, "found": 12000, "message": "indexing failed", "cause": "full"},
            "توقفت الفهرسة: \u2068القرص ممتلئ.\u2069",
        ),
    ],
)
def test_the_progress_of_indexing_is_shown(visit: Visit, news: dict[str, object], text: str) -> None:
    page = visit("?q=أحمر", expecting=FAILED)
    shown(page)
    body = f"event: indexing\ndata: {json.dumps(news)}\n\n"
    page.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.reload()
    expect(page.locator("#progress p")).to_have_text(text)


def test_a_closed_failure_of_indexing_stays_closed_until_news(visit: Visit) -> None:
    page = visit("?q=أحمر", expecting=FAILED)
    shown(page)
    news = {"state": "failed", "done": 1, "found": 9, "cause": "full"}
    asked = []

    def answer(route: Route) -> None:  # again and again, as whenever a browser connects anew
        asked.append(route)
        body = f"retry: 50\nevent: indexing\ndata: {json.dumps(news)}\n\n"
        route.fulfill(body=body, content_type="text/event-stream")

    page.route("**/events", answer)
    page.reload()
    page.locator("#progress button").click()
    had = len(asked)
    patiently(page, lambda: len(asked) > had + 2)
    expect(page.locator("#progress")).to_be_hidden()
    news |= {"state": "running"}
    expect(page.locator("#progress")).to_be_visible()


def test_months_that_do_not_come_are_not_asked_for_without_end(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    asked = []

    def refuse(route: Route) -> None:
        asked.append(route)
        route.fulfill(**problem(503, "لا يعمل", "لاحقًا"))

    page.route("**/pictures?offset=*", refuse)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("لا يعمل")
    page.wait_for_timeout(1000)
    assert len(asked) < 6
    page.unroute("**/pictures?offset=*")
    page.get_by_role("button", name="إعادة المحاولة").click()
    page.wait_for_selector("#timeline .tile")


def test_pictures_that_are_gone_leave_the_results_when_asked_for(
    visit: Visit, gallery: Path, tiny_model: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(gallery, tmp_path / "copy")
    with serving(copy, tiny_model) as address:
        page = visit("?q=أحمر", at=address, expecting=FAILED)  # thumbnails of what is gone
        shown(page)
        until(page, "document.body.dataset.generation")  # the page knows the first generation
        with Gallery.open(copy, model=AraCLIP(tiny_model)) as other:
            other.remove([gallery.parent / "pictures" / "رحلة"])
        page.get_by_role("button", name="تحديث النتائج").click()
        until(page, "document.querySelector('#count').textContent.includes('٤٨')")
        expect(page.get_by_role("button", name="تحديث النتائج")).to_have_count(0)
        page.close()  # before the server, whose end would be an error on the console


def test_months_that_fail_to_come_stay_and_can_be_chosen(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.wait_for_selector("#timeline .tile")
    page.route("**/hidden", lambda route: route.fulfill(json={"changed": 1}))
    page.route("**/timeline?*", lambda route: route.fulfill(**problem(503, "لا يعمل", "لاحقًا")))
    marks = page.locator("#timeline .check")
    marks.nth(1).dispatch_event("click")
    page.get_by_role("button", name="إخفاء", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("لا يعمل")
    marks.nth(2).dispatch_event("click")
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")
    page.locator("#timeline .open").nth(2).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#timeline .open").nth(3)).to_be_focused()
    page.unroute("**/timeline?*")
    with page.expect_response("**/timeline?*"):
        page.get_by_role("button", name="إعادة المحاولة").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")


def test_a_failure_far_down_is_said_in_sight(visit: Visit) -> None:
    page = visit(height=400, expecting=FAILED)
    page.wait_for_selector("#timeline .tile")
    counts = {"months": [{"month": None, "pictures": 600}], "pictures": 600}
    page.route("**/timeline?*", lambda route: route.fulfill(json=counts))
    page.reload()
    page.wait_for_selector("#timeline .tile")
    page.locator("#timeline .check").first.dispatch_event("click")
    page.context.set_offline(True)
    top = "document.querySelector('#timeline').getBoundingClientRect().top"  # what comes late above it moves no picture
    scrolled, left = page.evaluate(f"(scrollTo(0, 8000), [scrollY, {top}])")
    assert scrolled == 8000
    expect(page.locator("#toast")).to_contain_text("لا اتصال بالشبكة")
    page.context.set_offline(False)
    expect(page.locator(".notice")).to_have_count(0)
    expect(page.locator("#toast")).to_be_empty()
    until(page, f"(left) => Math.abs({top} - left) < 5", arg=left)
    expect(page.locator("#chosen p")).to_have_text("صورة محددة")


def test_statistics_that_fail_are_asked_for_again(visit: Visit) -> None:
    page = visit(expecting=FAILED)
    page.route("**/stats", lambda route: route.fulfill(**problem(429, "مشغول", "طلبات كثيرة")))
    page.goto(page.url + "?q=أحمر")
    shown(page)
    expect(page.locator("#filters legend")).to_have_count(0)
    page.unroute("**/stats")
    until(page, "document.body.dataset.generation")
