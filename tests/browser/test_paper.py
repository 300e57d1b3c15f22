"""On paper: what is looked at, and nothing that is there to be pressed."""

from pathlib import Path

import pytest
from doing import Visit, boxes, shown, until
from playwright.sync_api import Browser, Page, expect

from araclip.evaluation import report
from araclip.evaluation.significance import summarise
from measured import evaluated
from pictures import solid

# Each in one call: a locator finds elements and reads them in two, and paper lays the months out anew in between.
TOPS = "[...document.querySelectorAll('#timeline > li')].map((each) => each.getBoundingClientRect().top)"
LABEL = """(() => {
  const tile = document.querySelector('#timeline .open');
  return [getComputedStyle(tile, '::after').content, tile.ariaLabel];
})()"""


def on_paper(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")


def pressable(page: Page) -> list[str]:
    """What could be pressed if paper could be."""
    return page.evaluate(
        """[...document.querySelectorAll('button, input, select')]
          .filter((each) => each.checkVisibility())
          .map(({ id, outerHTML }) => id || outerHTML)"""
    )


def test_results_are_printed_with_their_names(visit: Visit) -> None:
    page = visit("?q=أحمر %2B أخضر - أزرق&where=orientation%3Dportrait")
    names = shown(page)
    page.locator("#query").focus()
    on_paper(page)
    assert pressable(page) == ["query"]
    assert page.locator(".box").evaluate("box => getComputedStyle(box).boxShadow") == "none"
    expect(page.locator(".tile .name").first).to_be_visible()
    assert page.locator(".tile .name").all_inner_texts() == names
    expect(page.locator(".chip.filter")).to_be_visible()
    assert not any(chip.is_visible() for chip in page.locator(".chip:not(.filter)").all())  # the query says it


@pytest.mark.parametrize("query", ["", "?where=format%3DJPEG,PNG,WEBP"])
def test_pictures_by_month_are_printed_with_name_and_date(visit: Visit, query: str) -> None:
    page = visit(query, height=400)
    until(page, "document.querySelectorAll('#timeline .tile').length")
    drawn = page.locator("#timeline .tile").count()
    on_paper(page)
    assert pressable(page) == []
    assert page.locator("#timeline .tile").count() > drawn
    tops = page.evaluate(TOPS)
    assert tops == sorted(tops)
    printed, label = page.evaluate(LABEL)
    assert label and printed.strip('"') == label


def test_a_picture_in_the_viewer_is_printed_above_its_details(visit: Visit) -> None:
    page = visit("?q=أحمر")
    shown(page)
    page.locator(".tile a").first.click()
    page.wait_for_selector("#viewer dl")
    on_paper(page)
    assert pressable(page) == []
    expect(page.locator("#results .tile").first).to_be_hidden()
    picture, about = boxes(page, ".photo img", ".about")
    assert picture["y"] + picture["height"] <= about["y"]
    expect(page.locator(".about dl").first).to_be_visible()


def test_a_report_is_printed_inside_the_edges_of_the_paper(browser: Browser, tmp_path: Path) -> None:
    pictures = [solid(tmp_path / f"{i}.jpg", (i * 12, 0, 255 - i * 12)) for i in range(20)]
    (tmp_path / "report.html").write_text(report.render(summarise([evaluated(pictures=pictures)])), encoding="utf-8")
    page = browser.new_page(viewport={"width": 700, "height": 1000})  # an A4 page between its margins
    page.goto((tmp_path / "report.html").as_uri())
    page.emulate_media(media="print")
    beyond = """[...document.querySelectorAll('img, svg, table, p')].filter((each) => {
      const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(each);
      const frame = outlineStyle === 'none' ? 0 : parseFloat(outlineWidth) + parseFloat(outlineOffset);
      const { left, right, width } = each.getBoundingClientRect();
      return width && (left - frame < 0 || right + frame > document.body.clientWidth);
    }).map((each) => each.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []
    page.close()
