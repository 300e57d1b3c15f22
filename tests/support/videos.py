"""Small videos that tests make: coloured scenes, with PyAV's own encoders."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pictures import GREEN, RED

BLUE = (0, 0, 255)


def video(
    path: Path,
    scenes: Sequence[tuple[int, int, int]] = (RED, GREEN, BLUE),
    *,
    seconds: int = 2,
    codec: str = "mpeg4",
    size: tuple[int, int] = (64, 48),
    noise: int = 0,
    rate: int = 4,
    b_frames: int = 0,
    key_every: int = 1,
    options: dict[str, str] | None = None,
    **about: str,
) -> Path:
    """A video of one colour after the other, of so many seconds each, with a key frame a second or less often.

    Args:
        noise: the seed of a pattern in every scene: two videos of different seeds are different files.
        rate: frames a second.
        b_frames: the most frames in a row that are made from frames before and after them.
        key_every: the most seconds from one key frame to the next.
        options: of FFmpeg's writer of the container.
    """
    grain = np.random.default_rng(noise).integers(-25, 26, (size[1] // 8, size[0] // 8, 1)).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(about)
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        stream.gop_size = rate * key_every
        stream.max_b_frames = b_frames
        for colour in scenes:
            pixels = np.clip(grain + np.array(colour), 0, 255).astype(np.uint8)  # a plain frame is no scene
            for _ in range(seconds * rate):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return path


def trimmed(source: Path, path: Path, begin: float, end: float = 1e6) -> Path:
    """A copy of a video's part without encoding it again: MP4 then marks frames before `begin` as not to be shown."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is None or packet.pts * packet.time_base > end:
                continue
            shift = round(begin / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            part.mux(packet)
    return path
