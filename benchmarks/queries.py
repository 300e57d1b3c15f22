"""How queries of everyday life are answered: those of the sample gallery, and sixty over a folder of one's own.

    python benchmarks/queries.py [--gallery FOLDER] [--pictures FOLDER]
    python benchmarks/queries.py --gallery FOLDER --page PAGE.html [--queries FILE]

Without --gallery the sample pictures are made and indexed first (a minute). Two measures, both over the whole gallery:

- Every drawing's Arabic name (Unicode CLDR) as a query, and every photograph's description (`demo.PHOTOGRAPHS`): how
  often its own picture is first, and among the first four. Nothing is chosen here. Some names are no description
  («علم: …», «زر …»), and several drawings may fit one name, so this is a lower bound.
- POOL: everyday queries, one to three words, written down before any of them was asked, each with the words that make a
  picture's name right. `araclip demo` asks those of `demo.QUERIES`, which were chosen from this pool by what is printed
  here: the first picture is right, and three of the first four are, or the first is a photograph. So their own share of
  right answers says nothing about other queries; that of the pool does.

--page writes a page to look at, of any gallery: each query with its first seven hits, near-duplicates behind the best
one as in the terminal, their relevance, and whether «no picture fits» is said. The judgement is the reader's;
docs/log/2026-12.md states one.
"""

import argparse
import tempfile
from html import escape
from pathlib import Path

from araclip import Gallery
from araclip.demo import QUERIES, Sample, available, sample_pictures
from araclip.gallery.results import fits_nothing
from araclip.text.folding import fold

QUERIES_FILE = Path(__file__).with_name("everyday_queries.txt")
TOP = 4  # pictures that araclip demo shows for a query
# query → words, one of which a right picture's Arabic name must contain
POOL: dict[str, tuple[str, ...]] = {
    "قطة": ("قط",),
    "كلب": ("كلب", "كلاب", "بودل"),
    "حصان": ("حصان", "خيل", "حصن"),
    "أسد": ("أسد",),
    "فيل": ("فيل", "ماموث"),
    "سمكة": ("سمك", "سمكة", "قرش"),
    "طائر": ("طائر", "طيور", "بطريق", "حمام", "نسر", "بط", "بوم", "ببغاء", "ديك", "كتكوت", "إوزة", "بجع", "عنقاء"),
    "فراشة": ("فراش",),
    "أرنب": ("أرنب",),
    "سلحفاة": ("سلحفاة",),
    "بيتزا": ("بيتزا",),
    "تفاحة": ("تفاح",),
    "موز": ("موز",),
    "فنجان قهوة": ("قهوة", "مشروب ساخن", "شاي"),
    "خبز": ("خبز", "رغيف"),
    "كعكة عيد ميلاد": ("كعك", "كيك"),
    "آيس كريم": ("آيس كريم", "مثلجات", "بوظة"),
    "بيضة": ("بيض",),
    "سيارة": ("سيارة", "تاكسي"),
    "سيارة حمراء": ("سيارة",),
    "دراجة": ("دراجة",),
    "طائرة": ("طائرة",),
    "قطار": ("قطار", "قاطرة", "مترو", "ترام", "سكة"),
    "سفينة": ("سفينة", "قارب", "عبارة", "مركب", "يخت"),
    "ساعة": ("ساعة", "منبه"),
    "مفتاح": ("مفتاح",),
    "كتاب": ("كتاب", "كتب", "دفتر"),
    "كاميرا": ("كاميرا",),
    "كرة قدم": ("كرة قدم",),
    "مظلة": ("مظلة", "شمسية"),
    "شجرة نخيل": ("نخيل", "نخلة"),
    "وردة": ("ورد", "زهر", "زنبق", "توليب", "لوتس", "كركديه", "باقة", "عباد"),
    "شمس": ("شمس",),
    "قمر": ("قمر", "هلال", "بدر"),
    "ثلج": ("ثلج", "ثلوج", "جليد"),
    "نار": ("نار", "حريق", "لهب"),
    "مطر": ("مطر", "ممطر", "أمطار"),
    "رائد فضاء": ("رائد فضاء", "رائدة فضاء"),
    "صاروخ": ("صاروخ",),
    "نجوم في الفضاء": ("نجوم", "نجم", "مجرة", "مجرات", "درب التبانة"),
    "جدار من الطوب": ("طوب",),
    "عملات معدنية قديمة": ("عمل", "نقود"),
    "عشب أخضر": ("عشب",),
    "وجه قطة": ("قط",),
    "وجه يضحك": ("يضحك", "ضحك", "مبتسم", "ابتسامة", "مرح", "دموع الفرح"),
    "وجه يبكي": ("يبكي", "باك", "بكاء", "دموع"),
    "طبيب": ("طبيب", "صحي", "طبي"),
    "قلب أحمر": ("قلب",),
}


def is_right(sample: Sample | None, words: tuple[str, ...]) -> bool:
    """Whether a picture's Arabic name contains one of the words, letters folded; a picture of no sample never is."""
    return sample is not None and any(fold(word) in fold(sample.arabic) for word in words)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gallery", type=Path, help="a gallery of the sample pictures")
    options.add_argument("--pictures", type=Path, help="its pictures, if not the folder beside it")
    options.add_argument("--page", type=Path, help="a page to look at, of sixty everyday queries")
    options.add_argument("--queries", type=Path, default=QUERIES_FILE, help="of the page, a line a query")
    given = options.parse_args()
    if given.page and given.gallery:
        write_page(given.gallery, given.queries, given.page)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        pictures = given.pictures or (given.gallery.parent if given.gallery else home) / "pictures"
        if given.gallery is None:
            sample_pictures(pictures, lambda done, found: None)
        with Gallery.open(given.gallery or home / "gallery", create=given.gallery is None) as gallery:
            if given.gallery is None:
                gallery.update([pictures])
            measure(gallery, {str(sample.path): sample for sample in available(pictures)})


def write_page(folder: Path, queries: Path, page: Path) -> None:
    """Write the hits of all queries as a page."""
    parts, none = [], 0
    with Gallery.open(folder) as gallery:
        for number, query in enumerate(filter(None, queries.read_text(encoding="utf-8").split("\n")), 1):
            hits = gallery.search(query, 7, collapse=True)
            told = fits_nothing([hit.relevance for hit in hits])
            none += told
            parts.append(
                f"<h3 dir=auto>{number}. {escape(query)}{' — no picture fits' * told}</h3>{hits._repr_html_()}"
            )
    page.write_text("<!doctype html><meta charset=utf-8>" + "".join(parts), encoding="utf-8")
    print(f"{len(parts)} queries, {none} told that no picture fits: {page}")


def measure(gallery: Gallery, samples: dict[str, Sample]) -> None:
    print(f"{len(gallery):,} pictures, {gallery.stats().model}")
    for kind, chosen in (
        ("names of drawings", [each for each in samples.values() if each.emoji]),
        ("descriptions of photographs", [each for each in samples.values() if not each.emoji]),
    ):
        ranks = []
        for sample in chosen:
            found = [hit.path for hit in gallery.search(sample.arabic, TOP, literal=True, text_weight=0)]
            ranks.append(found.index(str(sample.path)) if str(sample.path) in found else TOP)
        first, among = (sum(rank < most for rank in ranks) / len(ranks) for most in (1, TOP))
        print(f"{len(chosen):5,} {kind}: own picture first {first:.3f}, among the first {TOP} {among:.3f}")
    rows = []
    for query, words in POOL.items():
        hits = [samples.get(hit.path) for hit in gallery.search(query, TOP)]
        right = [is_right(sample, words) for sample in hits]
        rows.append((query, right, bool(right[0] and hits[0] and not hits[0].emoji)))
        names = "، ".join(
            f"{'' if ok else '✗ '}{sample.arabic if sample else '?'}" for ok, sample in zip(right, hits, strict=True)
        )
        marks = f"{'*' if query in QUERIES else ' '} {sum(right)}/{TOP} {'photo' if rows[-1][2] else '     '}"
        print(f"{marks} {query}: {names}")
    for name, asked in (
        ("all of the pool", rows),
        ("asked by araclip demo", [row for row in rows if row[0] in QUERIES]),
    ):
        if asked:
            first = sum(right[0] for _, right, _ in asked)
            four = sum(sum(right) for _, right, _ in asked)
            of_all = f"right among the first {TOP}: {four} of {TOP * len(asked)}"
            print(f"{name}: first right {first} of {len(asked)}; {of_all}")


if __name__ == "__main__":
    main()
