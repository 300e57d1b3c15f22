"""Peak memory in bytes per pixel of opening a large valid picture, by format and mode.

    python tests/fuzz/peaks.py

The constants of `araclip.pictures.limits` are above these numbers. Pictures of 36 megapixels, each in a
separate process.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

SIDE = 6000  # 36 megapixels: JPEG 2000 is refused from 40 on
CASES = (
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {"method": 0}),
    ("WEBP", "RGBA", {"method": 0, "lossless": True}),
    ("WEBP", "RGB", {"method": 0, "save_all": True, "append_images": [Image.new("RGB", (SIDE, SIDE), "blue")]}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "I;16", {"compression": "tiff_lzw"}),
    ("TIFF", "F", {"compression": "tiff_lzw"}),
    ("AVIF", "RGBA", {"speed": 10}),
    ("JPEG2000", "RGBA", {}),
)
CHILD = """
import sys
from araclip.pictures.images import open_image
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
idle = peak()
open_image(sys.argv[1], int(sys.argv[2]) or None)
print((peak() - idle) * 1024)
"""


def main() -> None:
    """Print one row for each case: for a square of 224 pixels, and in full."""
    print("| format | mode | options | for a square | in full |\n|---|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        for kind, mode, options in CASES:
            path = Path(folder) / "large"
            picture = Image.new("RGB", (SIDE, SIDE), "red").convert("L" if mode in ("I;16", "F") else mode)
            picture.convert(mode).save(path, kind, **options)
            taken = [
                int(
                    subprocess.run(
                        [sys.executable, "-c", CHILD, str(path), size], capture_output=True, check=True
                    ).stdout
                )
                / SIDE**2
                for size in ("224", "0")
            ]
            named = ", ".join(name for name in options if name not in ("method", "append_images"))
            print(f"| {kind} | {mode} | {named} | {taken[0]:.1f} | {taken[1]:.1f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
