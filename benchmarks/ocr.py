"""How well words and numbers in pictures are read: 300 lines of Arabic, rendered and made to look photographed.

    for font in amiri cairo tajawal lateef reem-kufi lalezar changa el-messiri aref-ruqaa noto-naskh-arabic rakkas \\
        noto-kufi-arabic scheherazade-new; do npm pack --ignore-scripts @fontsource/$font; done
    python benchmarks/ocr.py --fonts FOLDER [--tesseract NAME=TESSDATA …] [--rapidocr RECOGNISER.onnx …] [--show OUT]

Lines of signs, menus, receipts, screenshots and chats, in thirteen fonts (SIL Open Font License): with digits of both
kinds, with tashkeel, with English words between. Two of three are turned, seen at an angle, blurred, shaded, made noisy
and saved as JPEG, as a telephone would. Every engine reads the same pictures. For each kind of line:

    CER       character errors a character of the line, without tashkeel; spaces count
    words     share of the words of three letters or more that a search for them would find (compared as search does)
    numbers   share of the numbers that are read right, digit by digit, whichever digits they are written with
    wrong     share of the numbers that the engine printed which do not stand in the line: what must not be printed

Half of the lines (`--half fit`) are for choosing limits, the other half (`--half report`) for the figures in docs/.
"""

import argparse
import io
import random
import re
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from araclip import normalize
from araclip.pictures.ocr.engines import Engine, RapidOcr, Tesseract, find_tesseract
from araclip.text.folding import fold

LINES = 300
KINDS = ("sign", "menu", "receipt", "screenshot", "chat", "tashkeel")
SECONDS = 60.0
INDIC = str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")
WESTERN = str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")
SIGNS = (
    *("مطعم الشام", "صيدلية النهدي", "شارع الملك فيصل", "مخبز السعادة", "ممنوع الوقوف", "موقف سيارات", "مدخل الطوارئ"),
    *(
        "مكتبة المعرفة",
        "سوق السمك",
        "محطة الحافلات",
        "مستشفى المدينة",
        "حديقة الأزهر",
        "متحف الفن الإسلامي",
        "احذر الكلب",
    ),
    *(
        "للبيع أو الإيجار",
        "مغلق للصلاة",
        "ورشة ميكانيكا",
        "حلويات دمشق",
        "أهلا وسهلا بكم",
        "كلية الهندسة",
        "مسجد النور",
    ),
)
FOOD = (
    *("قهوة تركية", "شاي بالنعناع", "عصير برتقال", "كباب مشوي", "فلافل", "حمص بالطحينة", "سلطة فتوش", "كنافة نابلسية"),
    *("دجاج بالفرن", "سمك مقلي", "رز بسمتي", "خبز عربي", "لحم غنم", "بقلاوة", "شوربة عدس", "مياه معدنية", "ملوخية"),
)
RECEIPT = ("المجموع", "الضريبة", "الخصم", "رقم الفاتورة", "التاريخ", "نقدا", "الباقي", "الكمية", "السعر", "هاتف")
SCREEN = (
    *("تم حفظ التغييرات", "لا يوجد اتصال بالإنترنت", "تسجيل الدخول", "إعدادات الحساب", "كلمة المرور غير صحيحة"),
    *("تحديث النظام متوفر", "اضغط هنا للمتابعة", "البطارية منخفضة", "رسالة جديدة من أحمد", "موعد الاجتماع غدا"),
)
CHAT = (
    *("كيف حالك اليوم", "وين رايحين الليلة", "الحمد لله كله تمام", "اتصل فيني لما توصل", "عايز أشوفك بكرة"),
    *("مبروك النجاح يا غالي", "شو رأيك نطلع سوا", "صورني وأنا عند البحر", "لا تنسى تجيب الخبز معك", "ألف سلامة عليك"),
)
ENGLISH = ("WiFi", "Instagram", "iPhone", "Coffee", "Sale", "Open", "Visa", "Google Maps", "Netflix", "Uber")
TASHKEEL = (
    *("العِلْمُ نُورٌ", "مَنْ جَدَّ وَجَدَ", "الصَّبْرُ مِفْتَاحُ الفَرَجِ", "خَيْرُ الكَلامِ ما قَلَّ وَدَلَّ", "كُلُّ عَامٍ وَأَنْتُمْ بِخَيْرٍ"),
    *("الوَقْتُ كَالسَّيْفِ", "رَمَضَانُ كَرِيمٌ", "السَّلامُ عَلَيْكُمْ", "بِسْمِ اللهِ الرَّحْمٰنِ الرَّحِيمِ", "إِنَّ مَعَ العُسْرِ يُسْرًا"),
)
_NUMBER = re.compile(r"\d+(?:[.,:/٫]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Line:
    """A picture with one line of text: its kind, whether it looks photographed, and the encoded picture."""

    text: str
    kind: str
    photographed: bool
    picture: bytes


def line_of(kind: str, rng: random.Random) -> str:
    """A line of a kind. Numbers are Arabic-Indic in half of the lines."""
    number = rng.choice(
        [str(rng.randint(2, 99)), str(rng.randint(100, 9999)), f"{rng.randint(1, 99)}.{rng.choice('05')}0"]
    )
    if kind == "sign":
        text = rng.choice(SIGNS) + rng.choice(["", "", f" {number}", f" {rng.choice(ENGLISH)}"])
    elif kind == "menu":
        text = f"{rng.choice(FOOD)} {number}{rng.choice(['', ' ريال', ' جنيه', ' درهم'])}"
    elif kind == "receipt":
        date = f"{rng.randint(1, 28)}/{rng.randint(1, 12)}/{rng.randint(2015, 2026)}"
        text = f"{rng.choice(RECEIPT)} {rng.choice([number, number, date])}"
    elif kind == "screenshot":
        text = rng.choice(SCREEN) + rng.choice(
            ["", f" {rng.randint(1, 23)}:{rng.randint(10, 59)}", f" {rng.choice(ENGLISH)}"]
        )
    elif kind == "chat":
        text = rng.choice(CHAT) + rng.choice(["", "", f" {number}", f" {rng.choice(ENGLISH)}"])
    else:
        text = rng.choice(TASHKEEL)
    return text.translate(INDIC) if rng.random() < 0.5 else text


Font = ImageFont.FreeTypeFont
Faces = dict[str, tuple[bytes, bytes]]  # family → the font's files for Arabic and for Latin letters


def read_fonts(folder: Path) -> Faces:
    """The fonts of the npm packages in a folder."""
    faces = {}
    for archive in sorted(folder.glob("fontsource-*.tgz")):
        family = archive.name.removeprefix("fontsource-").rsplit("-", 1)[0]
        with tarfile.open(archive) as package:
            both = [
                package.extractfile(f"package/files/{family}-{script}-400-normal.woff")
                for script in ("arabic", "latin")
            ]
            faces[family] = (both[0].read(), both[1].read())  # type: ignore[union-attr]
    if not faces:
        raise SystemExit(f"{folder} has no fontsource-….tgz. The head of this file says how to get them.")
    return faces


def drawn(text: str, faces: tuple[bytes, bytes], rng: random.Random) -> Image.Image:
    """The line, from right to left, each word in the font of its script, dark on light or light on dark."""
    size = rng.randint(28, 64)
    arabic, latin = (ImageFont.truetype(io.BytesIO(face), size) for face in faces)
    runs = [_pieces(run, arabic, latin) for run in _RUN.findall(text)]
    widths = [sum(font.getlength(piece) for piece, font in pieces) for pieces in runs]
    gap, edge = size * 0.3, rng.randint(size // 2, size * 2)
    width, height = round(sum(widths) + gap * (len(runs) - 1)) + 2 * edge, size * 2 + 2 * edge
    paper = tuple(rng.randint(190, 255) for _ in range(3))
    ink = tuple(rng.randint(0, 70) for _ in range(3))
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = Image.new("RGB", (width, height), paper)
    pen, right = ImageDraw.Draw(image), float(width - edge)
    for pieces, wide in zip(runs, widths, strict=True):
        at = right - wide
        for piece, font in pieces:
            direction = "rtl" if re.search(r"[\u0621-\u065f]", piece) else "ltr"
            pen.text((at, edge + size * 1.3), piece, ink, font, anchor="ls", direction=direction)
            at += font.getlength(piece)
        right -= wide + gap
    return image


_RUN = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*|\S+")  # English words that follow each other stand from left to right


def _pieces(run: str, arabic: Font, latin: Font) -> list[tuple[str, Font]]:
    """The run in parts of one font each: few fonts of Arabic have signs between digits."""
    parts = re.findall(r"[\u0600-\u066a\u066c-\u06ff]+|[^\u0600-\u066a\u066c-\u06ff]+", run)
    return [
        (part.replace("٫", ","), arabic if re.match(r"[\u0600-\u066a\u066c-\u06ff]", part) else latin) for part in parts
    ]


def photographed(image: Image.Image, rng: random.Random) -> Image.Image:
    """The line as a telephone sees it: turned, at an angle, unevenly lit, blurred and noisy."""
    width, height = image.size
    corners = [(0, 0), (0, height), (width, height), (width, 0)]
    moved = [(x + rng.uniform(-0.04, 0.04) * height, y + rng.uniform(-0.08, 0.08) * height) for x, y in corners]
    rows = []
    for (x, y), (u, v) in zip(corners, moved, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    found = np.linalg.solve(np.array(rows), np.array(moved).reshape(-1))
    back = image.getpixel((2, 2))
    image = image.transform(
        image.size, Image.Transform.PERSPECTIVE, found.tolist(), Image.Resampling.BICUBIC, fillcolor=back
    )
    image = image.rotate(rng.uniform(-3, 3), Image.Resampling.BICUBIC, expand=True, fillcolor=back)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    pixels = np.asarray(image, np.float32)
    light = np.linspace(rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.0), pixels.shape[1])[None, :, None]
    noise = np.random.default_rng(rng.randint(0, 10**9)).normal(0, rng.uniform(2, 9), pixels.shape)
    return Image.fromarray((pixels * light + noise).clip(0, 255).astype(np.uint8))


def lines(faces: Faces, count: int) -> Iterator[Line]:
    """`count` lines, the same at each run."""
    families = sorted(faces)
    for number in range(count):
        rng = random.Random(f"ocr {number}")
        kind = KINDS[number % len(KINDS)]
        text = line_of(kind, rng)
        image = drawn(text, faces[rng.choice(families)], rng)
        taken = number // (2 * len(KINDS)) % 3 > 0
        file = io.BytesIO()
        if taken:
            photographed(image, rng).save(file, "JPEG", quality=rng.randint(60, 90))
        else:
            image.save(file, "PNG")
        yield Line(text, kind, taken, file.getvalue())


def distance(one: str, other: str) -> int:
    """Levenshtein's distance."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, rival in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (letter != rival)))
        before = now
    return before[-1]


def words_of(text: str) -> list[str]:
    """Words of three letters or more, as search compares them."""
    return [word for word in _WORD.findall(fold(text)) if len(word) >= 3]


def numbers_of(text: str) -> list[str]:
    """Numbers with Western digits; the separators of decimals and dates count as one."""
    return [re.sub(r"[.,:/٫]", ".", found.translate(WESTERN)) for found in _NUMBER.findall(text)]


def scores(line: Line, read: str) -> dict[str, tuple[int, int]]:
    """Numerator and denominator of each measure."""
    plain, got = " ".join(normalize(line.text).split()), " ".join(normalize(read).split())
    asked, found = words_of(line.text), set(words_of(read))
    numbers, printed = numbers_of(line.text), numbers_of(read)
    return {
        "CER": (min(distance(plain, got), len(plain)), len(plain)),
        "words": (sum(word in found for word in asked), len(asked)),
        "numbers": (sum(number in printed for number in numbers), len(numbers)),
        "wrong": (sum(number not in numbers for number in printed), len(printed)),
    }


def report(name: str, some: Sequence[Line], read: Callable[[bytes], str]) -> list[str]:
    """Read all lines and print the measures of each kind; what was read."""
    total: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    texts: list[str] = []
    start = time.monotonic()
    for line in some:
        texts.append(read(line.picture))
        for part in (line.kind, "photographed" if line.photographed else "rendered", "all"):
            for measure, (right, of) in scores(line, texts[-1]).items():
                total[part][measure][0] += right
                total[part][measure][1] += of
    print(f"\n{name}: {(time.monotonic() - start) / len(some):.2f} s a picture by the clock")
    print("| lines | CER | words | numbers | wrong |\n|---|---|---|---|---|")
    for part in (*KINDS, "rendered", "photographed", "all"):
        cells = [f"{right / of:.3f}" if of else "–" for right, of in total[part].values()]
        print(f"| {part} | {' | '.join(cells)} |", flush=True)
    return texts


def main() -> None:
    """Parse the command line and measure every engine that it names; without one, the machine's own Tesseract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True, help="folder of the npm packages of fonts")
    parser.add_argument("--tesseract", action="append", default=[], help="NAME=FOLDER of other tessdata")
    parser.add_argument("--rapidocr", action="append", default=[], type=Path, help="a recogniser (ONNX)")
    parser.add_argument("--half", choices=("fit", "report", "both"), default="report")
    parser.add_argument("--show", type=Path, help="write the pictures there, and what was read")
    args = parser.parse_args()
    every = list(lines(read_fonts(args.fonts), LINES))
    of_half = [number // len(KINDS) % 2 == (args.half == "report") or args.half == "both" for number in range(LINES)]
    some = [line for line, taken in zip(every, of_half, strict=True) if taken]
    engines: dict[str, Engine] = {"tesseract": find_tesseract()}
    for named in args.tesseract:
        name, _, folder = named.partition("=")
        engines[name] = Tesseract(find_tesseract().program, find_tesseract().languages, folder)
    engines |= {f"rapidocr {model.stem}": RapidOcr(model) for model in args.rapidocr}
    if args.show:
        args.show.mkdir(parents=True, exist_ok=True)
        for number, line in enumerate(some):
            (args.show / f"{number:03}{'.jpg' if line.photographed else '.png'}").write_bytes(line.picture)
    for name, engine in engines.items():
        texts = report(name, some, lambda picture, engine=engine: engine.read(picture, SECONDS))  # type: ignore[misc]
        if args.show:
            both = [
                f"{number:03} {line.kind}\n  {line.text}\n  {text!r}\n"
                for number, (line, text) in enumerate(zip(some, texts, strict=True))
            ]
            (args.show / f"{name.replace(' ', '-')}.txt").write_text("".join(both), encoding="utf-8")


if __name__ == "__main__":
    main()
