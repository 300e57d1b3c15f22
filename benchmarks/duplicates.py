"""Near copies: recall of changed copies of photographs, and drawn pages of one layout that must not be called copies.

    python benchmarks/duplicates.py --data FLICKR8K_FOLDER [--pictures 500] [--split dev]

Each photograph is changed in every way below; a changed copy should be near its original. 200 pairs of screenshots,
receipts, documents and pages are drawn, Arabic and English, two of one layout: in half of the pairs every line differs,
in the other half about three lines of ten. None of these pairs is a copy; each first page, saved again at quality 75
and reduced to half, is one. "hash": perceptual hashes at most NEAR bits apart. "compared": these, and then the pictures
themselves (araclip.pictures.same_picture), which is what `araclip duplicates` calls near.

How many cells may differ was chosen on one half of the photographs and pairs, sixteen of every 32, among which each
kind of page is; the table is of the other half. Finally, near
pairs among all photographs of the set are listed. Flickr8k has bursts of one scene, so look at them before counting one
as an error. The pages are drawn in DejaVu Sans, which Debian's fonts-dejavu-core installs.
"""

import argparse
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from araclip.evaluation.sets import read_pictures
from araclip.gallery.near_hashes import NEAR, near_pairs
from araclip.pictures import phash
from araclip.pictures.images import encode_picture, open_image, square
from araclip.pictures.same_picture import MOST_DIFFERENT, count_different, open_grey

FACE = "DejaVuSans.ttf"
WORDS = (
    "سكر دقيق زيت ملح ماء بيض حليب زبدة موعد طبيب يوم مساء صباح ساعة شارع مدينة بيت كتاب مدرسة سيارة فاتورة مجموع "
    "سعر خبز قهوة شاي رسالة اجتماع مكتب تقرير سنة شهر أسبوع عمل صديق عائلة سفر مطار فندق غرفة باب نافذة طريق بحر جبل",
    "sugar flour oil salt water eggs milk butter meeting doctor day evening morning hour street city house book "
    "school car invoice total price kilo bread coffee tea letter office report year month week work friend family "
    "hotel",
)
KINDS = {  # width, height, font sizes from and below, numbers of lines from and below
    "screenshot": (720, 1280, (24, 34), (8, 14)),
    "receipt": (480, 1000, (16, 24), (10, 18)),
    "document": (1240, 1754, (24, 30), (14, 26)),
    "page": (900, 1400, (26, 32), (24, 32)),
}
THEMES = (("#ffffff", "#111111", "#e8f5e9"), ("#f2f2f7", "#1c1c1e", "#ffffff"), ("#121b22", "#e9edef", "#1f2c34"))
PAIRS, SHARES = 200, (1.0, 0.3)  # share of lines that differ between the two pages of a pair
LIMITS = (0, 1, 2, 4, 8, 16, 32)


def drawn(number: int, copy: int) -> Image.Image:
    """The first or second page of a pair: kind, script, share and layout are the pair's own."""
    kind, words = list(KINDS)[number % 4], WORDS[number // 4 % 2].split()
    width, height, sizes, counts = KINDS[kind]
    plan, kept, own = (np.random.default_rng((number, seed)) for seed in (0, 1, 2 + copy))
    ground, ink, bubble = THEMES[plan.integers(3) if kind == "screenshot" else 0]
    font = ImageFont.truetype(FACE, int(plan.integers(*sizes)))
    margin, count = int(width * plan.uniform(0.05, 0.12)), int(plan.integers(*counts))
    image = Image.new("RGB", (width, height), ground)
    draw, step = ImageDraw.Draw(image), (height - 3 * margin) / count
    for line in range(count):
        rng = own if plan.random() < SHARES[number // 8 % 2] or not line else kept
        room = plan.uniform(0.55, 1) * (width - 2 * margin) * (0.7 if kind == "receipt" else 1)
        text = more = str(rng.choice(words))
        while font.getlength(more) <= room:
            text, more = more, f"{more} {rng.choice(words)}"
        y, right = margin * 1.5 + line * step, number // 4 % 2 == 0
        if kind == "screenshot" and plan.random() < 0.7:
            left = width - margin * 1.5 - room if right else margin / 2
            draw.rounded_rectangle((left, y - step * 0.15, left + room + margin, y + step * 0.7), 12, fill=bubble)
        draw.text((width - margin - font.getlength(text) if right else margin, y), text, font=font, fill=ink)
        if kind == "receipt":
            price = f"{rng.integers(1, 400)}.{rng.integers(10, 100)}"
            draw.text((margin if right else width - margin - font.getlength(price), y), price, font=font, fill=ink)
    return image


def resaved(image: Image.Image, kind: str, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encode_picture(image, kind, quality=quality))).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize(
        (max(1, int(image.width * factor)), max(1, int(image.height * factor))), Image.Resampling.LANCZOS
    )


def cropped(image: Image.Image, share: float) -> Image.Image:
    w, h = int(image.width * share), int(image.height * share)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return image.crop((left, top, left + w, top + h))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encode JPEG 90": lambda i: resaved(i, "JPEG", 90),
    "re-encode JPEG 75": lambda i: resaved(i, "JPEG", 75),
    "re-encode JPEG 60": lambda i: resaved(i, "JPEG", 60),
    "re-encode JPEG 20": lambda i: resaved(i, "JPEG", 20),
    "re-encode WEBP 60": lambda i: resaved(i, "WEBP", 60),
    "resize to half": lambda i: scaled(i, 0.5),
    "resize to a quarter, JPEG 75": lambda i: resaved(scaled(i, 0.25), "JPEG", 75),
    "resize to double": lambda i: scaled(i, 2.0),
    "grey": lambda i: i.convert("L").convert("RGB"),
    "brighter by 20 %": lambda i: ImageEnhance.Brightness(i).enhance(1.2),
    "darker by 20 %": lambda i: ImageEnhance.Brightness(i).enhance(0.8),
    "crop to 97 %": lambda i: cropped(i, 0.97),
    "crop to 95 %": lambda i: cropped(i, 0.95),
    "crop to 80 %": lambda i: cropped(i, 0.80),
    "mirrored": ImageOps.mirror,
}


def hashes_of(images: Iterable[Image.Image]) -> np.ndarray:
    return phash.phash(np.stack([square(image, phash.SIZE) for image in images]))


def cells_of(ones: Iterable[Image.Image], others: Iterable[Image.Image]) -> np.ndarray:
    """For each pair, how many cells differ; -1 where the hashes differ already."""
    found = []
    for one, other in zip(ones, others, strict=True):
        first, second = hashes_of([one, other])
        near = first and second and np.bitwise_count(first ^ second) <= NEAR
        found.append(count_different(*map(open_grey, sorted((one, other), key=area, reverse=True))) if near else -1)
    return np.array(found)


def area(image: Image.Image) -> int:
    return image.width * image.height


def half(numbers: np.ndarray, which: int) -> np.ndarray:
    return numbers[np.arange(len(numbers)) // 16 % 2 == which]


def is_near(cells: np.ndarray, most: int) -> np.ndarray:
    return (cells >= 0) & (cells <= most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    rows = read_pictures(arguments.data, (), (), arguments.split)[: arguments.pictures]
    originals = [open_image(row.path) for row in rows]
    copies = {name: cells_of(originals, map(change, originals)) for name, change in CHANGES.items()}
    pages = [drawn(number, 0) for number in range(PAIRS)]
    false = cells_of(pages, (drawn(number, 1) for number in range(PAIRS)))
    some_lines = np.arange(PAIRS) // 8 % 2 == 1
    copies["drawn pages, half, JPEG 75"] = cells_of(pages, (resaved(scaled(page, 0.5), "JPEG", 75) for page in pages))
    print("choosing half; cells that may differ: false pairs, least recall of a change whose hashes are mostly near")
    for most in LIMITS:
        found = [(half(cells, 0), name) for name, cells in copies.items()]
        share, name = min((np.mean(each[each >= 0] <= most), name) for each, name in found if np.mean(each >= 0) > 0.5)
        print(f"  {most:2}: {is_near(half(false, 0), most).sum()}, {share:.3f} ({name})")
    print(f"reported half, {MOST_DIFFERENT} cells\n| pairs | hash | compared |\n|---|---|---|")
    for name, cells in copies.items():
        reported = half(cells, 1)
        print(f"| {name} | {(reported >= 0).mean():.3f} | {is_near(reported, MOST_DIFFERENT).mean():.3f} |")
    for name, pairs in (("every line differs", false[~some_lines]), ("three lines of ten differ", false[some_lines])):
        print(f"| drawn pages, {name} | {(pairs >= 0).sum()} of {len(pairs)} ", end="")
        print(f"| {is_near(pairs, MOST_DIFFERENT).sum()} of {len(pairs)} |")
    print(f"of these in the reported half: {is_near(half(false, 1), MOST_DIFFERENT).sum()} of {len(half(false, 1))}")
    found = list(phash.hashes(row.path for row in read_pictures(arguments.data, (), ())))
    paths = [path for path, value in found if isinstance(value, int)]
    near_hashes = near_pairs(np.array([value for _, value in found if isinstance(value, int)], np.uint64))
    alike = [(one, other) for a, b in near_hashes if (one := paths[a]) and (other := paths[b])]
    print(f"near hashes among all {len(paths)} photographs: {len(alike)} of {len(paths) * (len(paths) - 1) // 2} pairs")
    for one, other in alike[:20]:
        print(f"  {one.name} {other.name}: {cells_of([open_image(one)], [open_image(other)])[0]} cells differ")


if __name__ == "__main__":
    main()
