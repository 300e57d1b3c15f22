"""Peak memory of `araclip index` on the largest pictures that each format may hold, above that of ordinary pictures.

    python tests/trials/picture_memory.py
    python tests/trials/picture_memory.py --only png --threads 16

Each row is a folder of ordinary pictures, so that the model is loaded and has run, followed by four copies
(`--copies`) that differ by a byte behind the picture, indexed by a real `araclip index` in a child process; peaks are
the child's, as the system counts them when it ends, less those of ordinary pictures alone. The limit is
`araclip.pictures.limits.PEAK`; exit code 1 when a row is above it.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]
from araclip.gallery.ingest.intake import COMMIT_EVERY
from araclip.pictures.limits import PEAK
from tiny import write_tiny_model

Image.MAX_IMAGE_PIXELS = None
SIDE = 12_247  # squared, it is just below the limit of 150 megapixels
WEBP_SIDE = 8_000
CHILD = """
import os, sys
cores = set(range(int(sys.argv[1])))
os.sched_getaffinity = lambda process: cores  # as on a machine with so many cores
sys.argv = ["araclip", *sys.argv[2:]]
from araclip.cli import main
main()
"""


def large(mode: str, kind: str, size: tuple[int, int] = (SIDE, SIDE), **options: object) -> Callable[[Path], None]:
    """A function that writes a large picture: 4 megapixels of it noise."""

    def write(path: Path) -> None:
        start = "L" if mode in ("I;16", "F", "1", "P", "LA") else "RGBA" if mode == "RGBA" else "RGB"
        picture = Image.new(start, size, "#c81e1e80" if start == "RGBA" else "#c81e1e")
        noise = Image.effect_noise((min(2000, size[0]), min(2000, size[1])), 90).convert(start)
        picture.paste(noise, (0, 0))
        picture.convert("L" if mode == "I;16" else mode).convert(mode).save(path, kind, **options)

    return write


def png_of_one_column(path: Path, height: int = 150_000_000) -> None:
    """A column of eight-bit RGB pixels, deflated to a two-hundredth."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(1)
    rows = bytes((0, 200, 30, 30)) * 1_000_000
    data = b"".join(packer.compress(rows) for _ in range(height // 1_000_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 1, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def png_of_text(path: Path) -> None:
    """A small picture with 30 MB of text that takes 30 kB."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for number in range(30):
        texts.add_text(f"text {number}", "a" * 1_000_000, zip=True)
    Image.new("RGB", (64, 64), "red").save(path, "PNG", pnginfo=texts)


CASES: dict[str, Callable[[Path], None]] = {
    "PNG 1 × 150,000,000": png_of_one_column,
    "PNG 1 × 90,000,000": partial(png_of_one_column, height=90_000_000),
    "PNG RGB": large("RGB", "PNG", compress_level=1),
    "PNG RGBA": large("RGBA", "PNG", compress_level=1),
    "PNG palette": large("P", "PNG", compress_level=1),
    "PNG 16 bit": large("I;16", "PNG", compress_level=1),
    "PNG with 30 MB of text": png_of_text,
    "JPEG": large("RGB", "JPEG"),
    "JPEG progressive 4:4:4": large("RGB", "JPEG", progressive=True, subsampling=0),
    "JPEG CMYK": large("CMYK", "JPEG"),
    "WebP, 64 MP": large("RGB", "WEBP", (WEBP_SIDE, WEBP_SIDE), method=0),
    "WebP lossless RGBA, 64 MP": large("RGBA", "WEBP", (WEBP_SIDE, WEBP_SIDE), method=0, lossless=True),
    "GIF": large("P", "GIF"),
    "BMP, 450 MB": large("RGB", "BMP"),
    "TIFF LZW RGB": large("RGB", "TIFF", compression="tiff_lzw"),
    "TIFF LZW 16 bit": large("I;16", "TIFF", compression="tiff_lzw"),
    "TIFF float, 600 MB": large("F", "TIFF"),
    "TIFF turned": large("RGB", "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
}


def indexed(folder: Path, model: str, threads: int) -> tuple[int, float, str]:
    """Peak of resident bytes, seconds of processor time and the last line of indexing a folder."""
    options = ["--gallery", f"{folder}-gallery", "--model", model]
    command = [sys.executable, "-c", CHILD, str(threads), "index", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read().strip().splitlines()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"araclip index ended with {process.returncode}: {said[-1:]}")
    result = next((line for line in said if "pictures indexed" in line), "")
    return used.ru_maxrss * 1024, used.ru_utime + used.ru_stime, result


def cases(only: str, plain: Path, copies: int) -> Iterator[tuple[str, Path, int]]:
    """Name, folder and bytes of a file of each case; the folder is emptied afterwards."""
    for number, name in enumerate(CASES):
        if only.lower() not in name.lower():
            continue
        folder = plain.with_name(f"case {number}")
        folder.mkdir()
        for earlier in range(COMMIT_EVERY):  # so that the model is loaded and has run before
            shutil.copy(plain / f"{earlier}.jpg", folder / f"0 {earlier}.jpg")
        first = folder / "1.jpg"  # a suffix decides nothing
        # In a process of its own: Linux counts its parent's peak as a child's.
        subprocess.run([sys.executable, __file__, "--write", name, first], check=True)
        for copy in range(2, copies + 1):
            whole = folder / f"{copy}.jpg"
            subprocess.run(["cp", "--reflink=auto", first, whole], check=True)
            with whole.open("ab") as stream:
                stream.write(bytes([copy]))
        yield name, folder, first.stat().st_size
        for path in folder.iterdir():
            path.unlink()


def main() -> int:
    """Print a row for each case and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only cases whose name has this text")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 16])
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--model", default="", help="default: a tiny one, since only decoding is measured")
    parser.add_argument("--write", nargs=2, metavar=("CASE", "FILE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        CASES[asked.write[0]](Path(asked.write[1]))
        return 0
    worst = 0
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        model, base = asked.model or str(write_tiny_model(home / "model")), {}
        plain = home / "plain"
        plain.mkdir()
        for number in range(COMMIT_EVERY + asked.copies):
            Image.effect_noise((64 + number, 48), 90).convert("RGB").save(plain / f"{number}.jpg")
        for threads in asked.threads:
            base[threads], seconds, _ = indexed(plain, model, threads)
            subprocess.run(["rm", "-r", f"{plain}-gallery"], check=True)
            print(f"ordinary pictures, {threads} threads: {base[threads] / 1e6:.0f} MB, {seconds:.1f} s")
        heads = "".join(f" {threads} threads, MB | s |" for threads in asked.threads)
        print(f"\n| four pictures of | file MB |{heads} read |\n|---|---|{'---|---|' * len(asked.threads)}---|")
        for name, folder, size in cases(asked.only, plain, asked.copies):
            row, read = "", ""
            for threads in asked.threads:
                peak, seconds, read = indexed(folder, model, threads)
                above = peak - base[threads]
                worst = max(worst, above)
                row += f" {above / 1e6:.0f} | {seconds:.0f} |"
                subprocess.run(["rm", "-r", f"{folder}-gallery"], check=True)
            print(
                f"| {name} | {size / 1e6:.1f} |{row} {int(read.split(' ')[0]) - COMMIT_EVERY} of {asked.copies} |",
                flush=True,
            )
    print(f"\nworst: {worst / 1e6:.0f} MB above ordinary pictures; the limit is {PEAK / 1e6:.0f}")
    return int(worst > PEAK)


if __name__ == "__main__":
    raise SystemExit(main())
