"""Every published layout, pulled: the model folder's vectors beside those of the model's own library.

A tiny random checkpoint in each layout becomes a folder of float32 graphs, with its whole vocabulary and cut to Arabic
and English; texts and pictures are encoded by both. Prints the largest difference of any number of any vector: of texts
and of pictures that are squares already; and of pictures of odd sizes, which transformers resizes through torchvision,
whose values differ from Pillow's by a few of 255. Ends with 1 if one of the first is above 0.0001.

    python tests/trials/pulled_layouts.py [LAYOUT ...]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from PIL import Image

from araclip import AraCLIP
from araclip.errors import AraCLIPError
from araclip.peers.pull import make_model_folder
from test_pull import BOTH, LAYOUTS, TEXTS, written
from tiny_peers import small_open_clip

CLOSE = 1e-4
ROUNDED = 5e-2  # of the tiny random towers


def differences(spec: str, folder: Path) -> tuple[float, float]:
    """Of the vectors of a pulled folder to those of the library: of texts and squares; of pictures to be resized."""
    library, pulled = AraCLIP.load(spec), AraCLIP.load(folder)
    side, rng = library.image_size, np.random.default_rng(1)
    texts = [np.abs(pulled.encode_text(text) - library.encode_text(text)).max() for text in TEXTS]
    found = []
    for sizes in (((side, side),), ((33, 51), (60, 17))):
        pictures = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]
        found.append(float(np.abs(pulled.encode_image(pictures) - library.encode_image(pictures)).max()))
    return float(max(*texts, found[0])), found[1]


def main() -> int:
    """1 if a layout differs or fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layouts", nargs="*", metavar="LAYOUT", help=f"by default all: {', '.join(LAYOUTS)}")
    chosen = parser.parse_args().layouts or list(LAYOUTS)
    if unknown := set(chosen) - set(LAYOUTS):
        parser.error(f"no layout {', '.join(sorted(unknown))}; there are {', '.join(LAYOUTS)}")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "open_clip").mkdir()
        with small_open_clip(Path(name) / "open_clip"):
            for layout in chosen:
                torch.manual_seed(0)
                spec = written(layout, Path(name) / layout)
                for languages in (None, BOTH):
                    start = time.perf_counter()
                    try:
                        out = make_model_folder(spec, Path(name) / "out", languages=languages)
                        found, resized = differences(spec, out)
                    except AraCLIPError as error:
                        found = resized = float("nan")
                        print(f"{layout}: {error}", file=sys.stderr)
                    failed |= not (found <= CLOSE and resized <= ROUNDED)
                    cut = ",".join(languages or ("all",))
                    seconds = time.perf_counter() - start
                    print(f"{layout:24} {cut:8} {found:.1e} resized {resized:.1e} {seconds:6.1f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
