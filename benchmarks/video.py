"""Seconds that indexing a minute of video takes: hash, scenes (decoding), vectors. Needs the extra `video`.

    python benchmarks/video.py --video clip.mp4 [--video more.mov]
    python benchmarks/video.py --make 60 --pictures FOLDER      # 1080p, H.264, 30 frames a second, a key frame a second

Made videos pan over photographs of the folder, four seconds each. Processor seconds are printed beside those of the
clock: on a busy machine only they can be compared. Decoding runs in one process on one core.
"""

import argparse
import random
import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from araclip import AraCLIP
from araclip.models.encoder_base import pixel_vectors
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.image_transform import transform_of
from araclip.pictures.video import decoder
from araclip.pictures.video.scenes import file_hash

RATE = 30
SIZE = (1920, 1080)
SHOT = 4  # seconds of a photograph


def made(path: Path, seconds: int, pictures: Path) -> Path:
    """A 1080p video that pans over photographs."""
    names = sorted(file for file in pictures.rglob("*") if file.suffix.lower() in SUFFIXES)
    shots = random.Random(0).sample(names, min(len(names), -(-seconds // SHOT)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.time_base, stream.gop_size = "yuv420p", Fraction(1, RATE), RATE
        for number in range(seconds * RATE):
            shot, at = divmod(number, SHOT * RATE)
            if at == 0:
                wide = Image.open(shots[shot % len(shots)]).convert("RGB").resize((SIZE[0] + SHOT * RATE * 2, SIZE[1]))
                pixels = np.asarray(wide)
            frame = np.ascontiguousarray(pixels[:, 2 * at : 2 * at + SIZE[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def processor() -> float:
    """Processor seconds of this process and of those it has ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measured(path: Path, model: AraCLIP) -> None:
    """Print one line for a video."""
    transform = transform_of(model)
    pixel_vectors(model, np.zeros((1, transform.size, transform.size, 3), np.uint8))  # opens the graph
    clocks = [(time.perf_counter(), processor())]
    with path.open("rb") as file:
        file_hash(file, str(path))
        clocks.append((time.perf_counter(), processor()))
        scenes = decoder.find_scenes(file, str(path), transform)
        decoder.CHILDREN.close()  # its processor time counts once it has ended
        clocks.append((time.perf_counter(), processor()))
    pixel_vectors(model, scenes.pixels)
    clocks.append((time.perf_counter(), processor()))
    with av.open(str(path)) as container:
        minutes = (container.duration or 0) / 60e6
    parts = [
        f"{name} {clock - before[0]:.2f} s ({used - before[1]:.2f})"
        for name, before, (clock, used) in zip(("hash", "scenes", "vectors"), clocks, clocks[1:], strict=False)
    ]
    whole = clocks[-1][0] - clocks[0][0], clocks[-1][1] - clocks[0][1]
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, {minutes * 60:.0f} s, {scenes.facts.width} x "
        f"{scenes.facts.height}, {len(scenes.times)} scenes; {', '.join(parts)}; a minute of video: "
        f"{whole[0] / minutes:.2f} s ({whole[1] / minutes:.2f} s of processor time, process start included)"
    )


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, action="append", default=[])
    parser.add_argument("--make", type=int, default=0, help="Seconds of a video to make.")
    parser.add_argument("--pictures", type=Path, help="Folder of photographs for it.")
    given = parser.parse_args()
    model = AraCLIP.load(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        for path in given.video:
            measured(path, model)
        if given.make:
            measured(made(Path(folder) / "made.mp4", given.make, given.pictures), model)


if __name__ == "__main__":
    main()
