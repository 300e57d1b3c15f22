"""The viewer under real fingers, the mouse and the keyboard: swipe, pinch, wheel, keys; what they must not do."""

import pytest
from doing import Visit, boxes, focused, patiently, shown, until
from fingers import Fingers
from playwright.sync_api import Locator, Page, expect

PHONE = {"width": 390, "height": 780, "has_touch": True, "is_mobile": True}
MIDDLE = (195, 200)


def opened(page: Page, number: int = 0) -> list[str]:
    """Open a result; the names of all."""
    names = shown(page)
    page.locator(".tile a").nth(number).press("Enter")
    page.wait_for_selector("#viewer[open] dl")
    return names


def place(page: Page, what: str = ".photo") -> list[float]:
    """Shift and scale of an element: x, y, scale."""
    return page.evaluate(
        "what => (({ e, f, a }) => [e, f, a])(new DOMMatrix(getComputedStyle(document.querySelector(what)).transform))",
        what,
    )


def under(image: Locator, point: tuple[float, float]) -> list[float]:
    """Where in the picture a point of the screen is, in shares of its sides."""
    box = image.bounding_box()
    return [(point[0] - box["x"]) / box["width"], (point[1] - box["y"]) / box["height"]]


def at_rest(page: Page) -> None:
    patiently(page, lambda: place(page)[:2] == [0, 0], "the picture is back in its place")


@pytest.mark.parametrize(("language", "onward"), [("ar", 1), ("en", -1)])
def test_a_swipe_follows_the_finger_and_closes_nothing(visit: Visit, language: str, onward: int) -> None:
    page = visit("?q=red", language=language, **PHONE)
    names = opened(page)
    before = page.evaluate("history.length")
    fingers = Fingers(page)
    heading = page.locator("#viewer h2")

    x, y = MIDDLE
    fingers.drag((MIDDLE, (x - onward * 150, y)))  # before the first there is none
    at_rest(page)
    expect(heading).to_have_text(names[0])

    fingers.drag((MIDDLE, (x + onward * 60, y)), lift=False)
    assert place(page)[0] == onward * 60
    expect(page.locator(".side")).to_be_visible()
    fingers.move((x + onward * 20, y))  # thought better of it
    page.wait_for_timeout(200)
    fingers.up()
    at_rest(page)
    expect(heading).to_have_text(names[0])

    fingers.drag((MIDDLE, (x + onward * 150, y)))
    expect(heading).to_have_text(names[1])
    at_rest(page)
    fingers.drag(((x + onward * -190, y), (x + onward * 150, y)))  # from the very edge
    expect(heading).to_have_text(names[2])
    at_rest(page)
    fingers.drag((MIDDLE, (x - onward * 150, y)))
    expect(heading).to_have_text(names[1])
    assert page.evaluate("history.length") == before
    expect(page.locator("#viewer")).to_be_visible()


def test_two_fingers_zoom_one_moves_the_picture_and_down_closes(visit: Visit) -> None:
    page = visit("?q=red", **PHONE)
    names = opened(page, 1)
    fingers = Fingers(page)
    heading = page.locator("#viewer h2")
    x, y = MIDDLE

    fingers.drag(((x - 30, y), (x - 90, y)), ((x + 30, y), (x + 90, y)))
    assert place(page, ".photo img")[2] == pytest.approx(3, abs=0.1)
    assert page.evaluate("visualViewport.scale") == 1  # the page itself is not zoomed
    fingers.drag((MIDDLE, (x + 900, y + 900)), steps=12)  # far beyond its edge
    frame, image = boxes(page, ".stage", ".photo img")
    assert image["x"] == pytest.approx(frame["x"], abs=1)
    expect(heading).to_have_text(names[1])  # a zoomed picture is moved, not turned

    fingers.tap(MIDDLE, times=2)
    patiently(page, lambda: place(page, ".photo img")[2] == 1, "a double tap shows the whole picture")
    fingers.tap(MIDDLE, times=2)
    patiently(page, lambda: place(page, ".photo img")[2] >= 2, "and another one its pixels")
    fingers.tap(MIDDLE, times=2)
    patiently(page, lambda: place(page, ".photo img")[2] == 1)

    fingers.drag((MIDDLE, (x, y - 150)))  # upwards: nothing
    expect(page.locator("#viewer")).to_be_visible()
    fingers.drag((MIDDLE, (x, y + 40)), steps=3, lift=False)
    patiently(page, lambda: place(page)[1] == 40, "the picture has followed the finger")
    page.wait_for_timeout(250)
    fingers.up()  # too little
    at_rest(page)
    expect(page.locator("#viewer")).to_be_visible()
    fingers.drag((MIDDLE, (x, y + 200)))
    expect(page.locator("#viewer")).to_be_hidden()
    assert names[1] in focused(page)


def test_wheel_and_keys_zoom_within_bounds(visit: Visit) -> None:
    page = visit("?q=red")
    names = opened(page)
    image = page.locator(".photo img")
    box = image.bounding_box()
    point = (box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
    page.mouse.move(*point)
    page.mouse.wheel(0, -450)
    until(page, "document.querySelector('.stage').matches('[data-zoomed]')")
    share, scale = under(image, point), place(page, ".photo img")[2]
    page.mouse.wheel(0, -100)
    patiently(page, lambda: place(page, ".photo img")[2] > scale)
    assert under(image, point) == pytest.approx(share, abs=0.01)  # what is under the pointer stays there
    page.mouse.wheel(0, 9000)
    patiently(page, lambda: place(page, ".photo img") == [0, 0, 1])

    page.mouse.wheel(
        -900, 0
    )  # two fingers sideways on a touch pad: neither back in the history nor to the next picture
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    zoomed = place(page, ".photo img")
    assert zoomed[2] > 3
    page.keyboard.press("ArrowRight")
    assert place(page, ".photo img")[0] < zoomed[0]
    expect(page.locator("#viewer h2")).to_have_text(names[0])
    page.keyboard.press("-")
    assert place(page, ".photo img")[2] < zoomed[2]
    page.keyboard.press("0")
    patiently(page, lambda: place(page, ".photo img") == [0, 0, 1])
    page.mouse.dblclick(*point)
    patiently(page, lambda: place(page, ".photo img")[2] >= 2)
    left = place(page, ".photo img")[0]
    page.mouse.move(*point)
    page.mouse.down()
    page.mouse.move(point[0] - 50, point[1], steps=4)
    page.mouse.up()
    assert place(page, ".photo img")[0] == pytest.approx(left - 50, abs=1)
    page.mouse.dblclick(*point)
    patiently(page, lambda: place(page, ".photo img") == [0, 0, 1])


def test_space_home_and_end_turn_the_viewer(visit: Visit) -> None:
    page = visit("?q=red")
    names = opened(page)
    heading = page.locator("#viewer h2")
    for key, name in (("Space", names[1]), ("PageDown", names[2]), ("Shift+Space", names[1]), ("End", names[-1])):
        page.keyboard.press(key)
        expect(heading).to_have_text(name)
    page.keyboard.press("Home")
    expect(heading).to_have_text(names[0])
    page.locator("[data-key=in]").focus()
    page.keyboard.press("Space")
    patiently(page, lambda: place(page, ".photo img")[2] > 1)
    expect(heading).to_have_text(names[0])
