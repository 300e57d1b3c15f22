"""The page's pure modules, run in the browser: messages, query, rows, addresses, numbers."""

import random

import pytest
from doing import Visit
from playwright.sync_api import Page

from araclip.errors import InputError
from araclip.gallery.query import parse

CATEGORIES = {"ar": {"zero", "one", "two", "few", "many", "other"}, "en": {"one", "other"}}


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit()


def test_both_languages_have_same_messages_with_same_values(page: Page) -> None:
    messages = page.evaluate("import('./assets/messages.js').then(({ messages }) => messages)")
    assert list(messages["ar"]) == list(messages["en"])
    for key, arabic in messages["ar"].items():
        english = messages["en"][key]
        assert isinstance(arabic, dict) == isinstance(english, dict), key
        for language, message in (("ar", arabic), ("en", english)):
            if isinstance(message, dict):
                assert set(message) == CATEGORIES[language], key
        whole = (arabic["other"], english["other"]) if isinstance(arabic, dict) else (arabic, english)
        holes = [{part.split("}")[0] for part in text.split("{")[1:]} for text in whole]
        assert holes[0] == holes[1], key


def test_arabic_numbers_of_pictures_have_their_six_forms(page: Page) -> None:
    said = page.evaluate(
        "import('./assets/i18n.js').then(({ t }) => [0, 1, 2, 3, 11, 100, 1926].map((n) => t('gallery', { n })))"
    )
    assert said == [
        "لا صور في هذا المعرض بعد",
        "صورة واحدة في هذا المعرض",
        "صورتان في هذا المعرض",
        "٣ صور في هذا المعرض",
        "١١ صورة في هذا المعرض",
        "١٠٠ صورة في هذا المعرض",
        "١٬٩٢٦ صورة في هذا المعرض",
    ]


def test_sizes_and_dates_are_written_in_the_readers_way(page: Page) -> None:
    said = page.evaluate(
        """import('./assets/i18n.js').then(({ bytes, date }) => [
          ...[512, 1500, 999_600, 2_400_000].map(bytes),
          ...['2023', '2023-05', '2023-05-17', '2023-05-17T18:30:00', 'odd'].map(date)])"""
    )
    assert said == [
        "٥١٢ بايت", "٢ كيلوبايت", "١ ميغابايت", "٢٫٤ ميغابايت",
        "٢٠٢٣", "مايو ٢٠٢٣", "١٧ مايو ٢٠٢٣", "١٧ مايو ٢٠٢٣ في ٦:٣٠ م", "odd",
    ]  # fmt: skip


ALPHABET = ["قطة", "a", " ", "+", "-", "−", '"', "«", "»", "“", "”", "\\", ":", "2", "٫", ".", "/", "\u200f", "\t"]


def test_chips_split_a_query_as_the_gallery_does(page: Page) -> None:
    rng = random.Random(0)
    queries = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 14))) for _ in range(3000)]
    split = page.evaluate(
        """texts => import('./assets/query.js').then(({ split, join }) =>
          texts.map((text) => [split(text), join(split(text))]))""",
        queries,
    )
    compared = 0
    for query, (terms, joined) in zip(queries, split, strict=True):
        try:
            known = parse(query)
        except InputError:
            continue  # nothing that could be searched for
        compared += 1
        assert [term["sign"] > 0 for term in terms] == [term.weight > 0 for term in known.terms], query
        assert parse(joined) == known, query
    assert compared > 300


def test_rows_fill_the_width_exactly_and_are_near_the_target(page: Page) -> None:
    rng = random.Random(0)
    cases = [([rng.uniform(0.45, 3.2) for _ in range(rng.randint(1, 60))], rng.randint(280, 1900)) for _ in range(200)]
    laid = page.evaluate(
        """cases => import('./assets/layout.js').then(({ justify, heightFor }) =>
          cases.map(([ratios, width]) => {
            const target = heightFor(width);
            return { ...justify(ratios, { width, target, gap: 8 }), target };
          }))""",
        [list(case) for case in cases],
    )
    for (ratios, width), rows in zip(cases, laid, strict=True):
        boxes = rows["boxes"]
        assert len(boxes) == len(ratios)
        full = boxes[: rows["whole"]]
        for row in {box["row"] for box in full}:
            *_, last = (box for box in full if box["row"] == row)
            assert last["start"] + last["width"] == width
        for box, ratio in zip(boxes, ratios, strict=True):
            assert box["start"] >= 0
            assert box["start"] + box["width"] <= width + 1
            assert 0 < box["height"] <= 2.2 * rows["target"]
            assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.12, abs=0.1)


def test_rows_before_a_divider_leave_no_hole(page: Page) -> None:
    rng = random.Random(1)
    cases = [([rng.uniform(0.45, 3.2) for _ in range(rng.randint(1, 30))], rng.randint(280, 1900)) for _ in range(200)]
    laid = page.evaluate(
        """cases => import('./assets/layout.js').then(({ justify, heightFor }) => cases.map(([ratios, width]) => {
          const target = heightFor(width);
          return { ...justify(ratios, { width, target, gap: 8, fill: true }), target };
        }))""",
        [list(case) for case in cases],
    )
    short = 0
    for (ratios, width), rows in zip(cases, laid, strict=True):
        assert len(rows["boxes"]) == len(ratios)
        last = [box for box in rows["boxes"] if box["row"] == rows["boxes"][-1]["row"]]
        left, right = last[0]["start"], width - last[-1]["start"] - last[-1]["width"]
        assert abs(left - right) <= 2  # the last row is full, or stands in the middle
        assert all(box["height"] <= 2.2 * rows["target"] for box in rows["boxes"])
        short += left > 2
    assert short < 30  # where one row of few pictures is all there is


def some_state(rng: random.Random) -> dict[str, object]:
    def text(letters: str, shortest: int) -> str:
        return "".join(rng.choices(letters, k=rng.randint(shortest, 8)))

    def pictures() -> list[dict[str, object]]:
        return [{"id": text("0123456789abcdef", 1), "weight": rng.choice([1, -1])} for _ in range(rng.randint(0, 2))]

    keys = rng.sample(["folder", "captured", "format", "meta.album"], k=rng.randint(0, 4))
    state = {
        "q": text('قطة +-&=%?#«»"\\ab', 0).strip(),
        "like": pictures(),
        "pictures": pictures(),
        "where": {key: text("a=&/ رحلة", 1) for key in keys},
        "strong": rng.random() < 0.5,
        "collapse": rng.random() < 0.5,
        "literal": rng.random() < 0.5,
        "ignore": rng.sample(["words", "exclusions", "date", "folder", "place"], k=rng.randint(0, 5)),
        "open": [text("0123456789abcdef", 1) for _ in range(rng.randint(0, 2))],
        "view": text("0123456789abcdef", 0),
        "show": "",
    }
    is_search = state["q"] or state["like"] or state["pictures"]
    return {**state, "sort": rng.choice(["", "date"]) if is_search else ""}


def test_an_address_holds_the_whole_state(page: Page) -> None:
    rng = random.Random(0)
    states = [some_state(rng) for _ in range(500)]
    again = page.evaluate(
        "states => import('./assets/address.js').then(({ read, write }) => states.map((state) => read(write(state))))",
        states,
    )
    for state, found in zip(states, again, strict=True):
        assert found == state


def test_a_picture_deep_in_a_long_list_is_found_by_its_month(page: Page) -> None:
    asked = page.evaluate(
        """(async () => {
          const { PictureList } = await import('./assets/picture-list.js');
          const { find } = await import('./assets/locate.js');
          const [asked, others] = [[], window.fetch];
          window.fetch = async (path, options) => {
            if (!String(path).includes('where=mine')) return others(path, options);
            const from = Number(new URLSearchParams(path.split('?')[1]).get('offset'));
            asked.push(from);
            return Response.json({ results: Array.from({ length: 120 }, (_, i) => ({ id: `p${from + i}` })) });
          };
          const list = new PictureList(['mine'], { arrived() {}, failed() {} });
          const months = [['2023-05', 300], ['2023-04', 400], [null, 9]];
          list.months = months.map(([month, pictures]) => ({ month, pictures }));
          await find(list, 'p650', '2023-04');
          await find(list, 'p705', null);
          return [asked, list.indexOf('p650'), list.indexOf('p705'), list.indexOf('p1')];
        })()"""
    )
    assert asked == [[240, 360, 480, 600], 650, 705, -1]
