"""Real touch events, through the protocol of Chromium's developer tools: the browser sees fingers."""

from collections.abc import Iterable

from playwright.sync_api import Page

Point = tuple[float, float]
STEP_MS = 16


class Fingers:
    """Fingers on the page's screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = page.context.new_cdp_session(page)

    def down(self, *points: Point) -> None:
        """Put fingers down."""
        self._send("touchStart", points)

    def move(self, *points: Point) -> None:
        """Move them there at once."""
        self._send("touchMove", points)
        self.page.wait_for_timeout(STEP_MS)

    def up(self) -> None:
        """Lift all fingers."""
        self._send("touchEnd", ())

    def cancel(self) -> None:
        """The browser takes the fingers for itself: no click follows."""
        self._send("touchCancel", ())

    def drag(self, *ways: tuple[Point, Point], steps: int = 6, lift: bool = True) -> None:
        """Each finger along its way, from a point to a point."""
        self.down(*(start for start, _ in ways))
        for step in range(1, steps + 1):
            share = step / steps
            self.move(*((x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for (x0, y0), (x1, y1) in ways))
        if lift:
            self.up()

    def tap(self, point: Point, times: int = 1) -> None:
        """Tap, or tap twice."""
        for _ in range(times):
            self.down(point)
            self.up()

    def _send(self, kind: str, points: Iterable[Point]) -> None:
        touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
