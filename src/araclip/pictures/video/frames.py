"""Decode key frames of a video that is open as a stream: at regular times, or at a given time. Runs only in `worker`.

FFmpeg gets bytes through the stream, and may open nothing by name. Only key frames are decoded, each after a jump to
it, so an hour of video takes as long as four minutes.
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cached_property
from typing import IO, Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from PIL import Image

from araclip.errors import ImageTooLarge, UnreadableImage
from araclip.pictures.captions import join_captions
from araclip.pictures.metadata import PhotoMetadata, camera_name, coordinates, iso_time
from araclip.pictures.video.formats import CODECS, DEMUXERS

MAX_PIXELS = 7680 * 4320  # frames larger than 8K are refused
MAX_STREAMS = 64
GAP = 1.0  # the fewest seconds between two frames that are examined
NEAR = 0.002  # limit: seconds by which a rounded time may differ from the time of its frame
MEASURE_S = 20.0  # seconds for reading a video whose header does not tell its length; enough for gigabytes
PACKETS = 2000  # packets after which a search is given up; phones write a key frame every second, films every ten
# how many seconds before a time to jump to, tried in this order, since a jump may land too late
BACK = (0.0, 2.0, 10.0, 60.0)
# format → seconds to jump earlier: in these formats FFmpeg finds frames by the time of decoding, not of showing
EARLY = {"mpeg": 1.0, "mpegts": 1.0}
_APPLE = "com.apple.quicktime."
DATES = (f"{_APPLE}creationdate", "creation_time", "date")
# latitude and longitude in degrees as ISO 6709 writes them, such as +30.04+031.24
_PLACE = re.compile(r"([+-]\d{1,2}(?:\.\d{1,9})?)([+-]\d{1,3}(?:\.\d{1,9})?)(?![\d.])")
SIDE = 1024  # limit: pixels of the longer side to which FFmpeg scales a frame


class Video:
    """An open video, of which the first stream with moving pictures is read.

    Raises:
        UnreadableImage, ImageTooLarge: the stream is no video that is read, or its frames are too large.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        limits = {"max_pixels": str(MAX_PIXELS), "threads": "1"}
        whitelists = {"format_whitelist": ",".join(DEMUXERS), "codec_whitelist": ",".join(CODECS),
                      "protocol_whitelist": "none", "max_streams": str(MAX_STREAMS)}  # fmt: skip
        try:
            opened = av.open(
                stream, "r", options=limits, container_options=whitelists, io_open=_refuse, metadata_errors="replace"
            )
        except av.FFmpegError as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UnreadableImage(
                f"not a video that is read, or damaged ({reason}). Convert it to MP4, or remove it."
            ) from None
        assert isinstance(opened, InputContainer)
        self._container = opened
        pictures = [each for each in opened.streams.video if not each.disposition & each.disposition.attached_pic]
        if not pictures:
            raise UnreadableImage("no pictures in it, only sound or data. Rename it or remove it.")
        self._stream = pictures[0]
        codec = self._stream.codec_context
        if codec is None or codec.name not in CODECS:
            raise UnreadableImage("its codec is not read. Convert it to H.264.")
        if codec.width * codec.height > MAX_PIXELS:
            raise ImageTooLarge(f"{codec.width} x {codec.height} pixels, the limit is 8K. Save a smaller copy.")
        codec.thread_count = 1
        self._base = self._stream.time_base or Fraction(1, 1000)
        self._start = self._stream.start_time or 0

    def size(self) -> tuple[int, int]:
        """Return the upright picture's width and height in pixels, taken from the first key frame that decodes."""
        frame = next(self._key_frames(0.0), (0.0, None))[1]
        if frame is None:
            raise UnreadableImage("no frame of it can be decoded. Restore it from a copy, or remove it.")
        width, height = self._square_pixels(frame)
        return (height, width) if frame.rotation % 180 else (width, height)

    def upright(self, frame: VideoFrame, side: int = SIDE) -> Image.Image:
        """Convert a frame to an upright RGB picture with square pixels, with at most `side` pixels a side."""
        width, height = self._square_pixels(frame)
        scale = min(1.0, side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = frame.reformat(*size, format="rgb24", interpolation=Interpolation.AREA)
        picture = Image.fromarray(small.to_ndarray())
        return picture.rotate(frame.rotation, expand=True) if frame.rotation % 360 else picture

    def _square_pixels(self, frame: VideoFrame) -> tuple[int, int]:
        ratio = float(self._stream.sample_aspect_ratio or 1)
        return (max(1, round(frame.width * ratio)) if 0.1 < ratio < 10 else frame.width), frame.height

    @cached_property
    def seconds(self) -> float:
        """The video's length in seconds; if the container lacks it, the time of the last packet, see `_last_time`."""
        own, whole = self._stream.duration, self._container.duration
        length = float(own * self._base) if own else (whole or 0) / av.time_base
        return length if length > 0 else self._last_time()

    def _last_time(self) -> float:
        """Read packets for at most MEASURE_S, without decoding; return the time of the last one.

        Needed for videos that browsers have recorded, because these do not tell their length.
        """
        last, until = 0.0, time.monotonic() + MEASURE_S
        with suppress(av.FFmpegError):  # an error means that the rest of the video is damaged
            for packet in self._container.demux(self._stream):
                last = max(last, self._seconds_of(packet.pts)) if packet.pts is not None else last
                if time.monotonic() > until:
                    break
        return last

    def frames(self, most: int, *, until: float = float("inf")) -> Iterator[tuple[float, VideoFrame]]:
        """Yield up to `most` key frames with their times, spread evenly over the video and at least about GAP s apart.

        Args:
            until: the `time.monotonic()` at which to end early.
        """
        step, after, wanted, vain = max(GAP, self.seconds / most), -1.0, 0.0, set[int]()
        for _ in range(4 * most):
            found = next(self._key_frames(wanted, after=after, most=1, vain=vain), None)
            if found is not None:
                yield found
            after = max(wanted, found[0] if found else 0.0)
            wanted = after + step
            if wanted >= self.seconds or time.monotonic() > until:
                return

    def at(self, seconds: float) -> VideoFrame:
        """Return the key frame at a time that `frames` has yielded; raise UnreadableImage if it cannot be decoded.

        In an MPEG program stream, the time of a key frame depends on where FFmpeg's seek has landed. So if no key frame
        has this time, the nearest one that is less than GAP / 2 away is returned.
        """
        nearest: VideoFrame | None = None
        least = GAP / 2
        for back in BACK:
            for time_found, frame in self._key_frames(max(0.0, seconds + NEAR - back)):
                distance = abs(time_found - seconds)
                if distance <= NEAR:
                    return frame
                if distance < least:
                    least, nearest = distance, frame
                if time_found > seconds:
                    break
        if nearest is None:
            raise UnreadableImage(f"no frame of it at {seconds:.3f} s can be decoded.")
        return nearest

    def _key_frames(
        self, seconds: float, *, after: float = -1.0, most: int = 64, vain: set[int] | None = None
    ) -> Iterator[tuple[float, VideoFrame]]:
        """Jump to a time, and yield the key frames from there on, at most `most`; skip those at or before `after`.

        A jump may land early, so the key frames that are skipped do not count towards `most`.

        Args:
            vain: a set of time stamps. If the search is given up, the time stamp where its jump landed is added. Later
                jumps that land there end at once: a recording of a screen may have minutes without a key frame.
        """
        codec = self._stream.codec_context
        assert codec is not None
        try:
            begin = seconds - EARLY.get(self._container.format.name, 0.0)
            self._container.seek(self._start + round(begin / self._base), stream=self._stream)
            landed = None
            for number, packet in enumerate(self._container.demux(self._stream)):
                landed = packet.pts if number == 0 else landed
                if vain is not None and landed is not None and number > PACKETS:
                    vain.add(landed)
                if not packet.size or number > PACKETS or most == 0 or (vain and landed in vain):
                    return
                if not packet.is_keyframe:
                    continue
                if packet.pts is not None and self._seconds_of(packet.pts) <= after:
                    continue
                most -= 1
                frames = [*codec.decode(_undiscarded(packet)), *codec.decode(None)]
                codec.flush_buffers()
                for frame in frames[:1]:
                    if frame.pts is not None and isinstance(frame, VideoFrame):
                        yield self._seconds_of(frame.pts), frame
        except av.FFmpegError:
            return  # the rest of the video is damaged; the frames before the damage are used

    def _seconds_of(self, pts: int) -> float:
        """Return the time in seconds of FFmpeg's time stamp `pts`, from the beginning of the video.

        The time is 0 for a key frame from before the beginning, on which the first frames of a trimmed video depend.
        """
        return max(0.0, round(float((pts - self._start) * self._base), 3))

    def about(self) -> PhotoMetadata:
        """Return date, camera and place, as the container tells them.

        The date is the camera's local time if the container has it (QuickTime), else UTC.
        """
        about = self._metadata()
        date = next(filter(None, (_parse_date(about.get(key, "")) for key in DATES)), None)
        camera = camera_name(about.get(f"{_APPLE}make"), about.get(f"{_APPLE}model"))
        found = _PLACE.match(about.get(f"{_APPLE}location.iso6709") or about.get("location", ""))
        place = coordinates(float(found[1]), float(found[2])) if found else None
        latitude, longitude = place or (None, None)
        return PhotoMetadata(captured_at=date, camera=camera, latitude=latitude, longitude=longitude)

    def caption(self) -> str:
        """Return the titles, descriptions and keywords embedded in the video, a line each; empty if there are none."""
        about = self._metadata()
        return join_captions(about[key] for key in ("title", "description", "comment", "keywords") if key in about)

    def _metadata(self) -> dict[str, str]:
        both = {**self._stream.metadata, **self._container.metadata}
        return {str(key).lower(): str(value)[:4000] for key, value in both.items()}


def _undiscarded(packet: "Packet[Any]") -> "Packet[Any]":
    """Return the packet without the mark "decode, but do not show", so that decoding it yields a frame.

    If a video was trimmed without encoding it again, MP4's edit list marks its first key frame so.
    """
    if not packet.is_discard:
        return packet
    shown = Packet(bytes(packet))
    shown.pts, shown.dts, shown.time_base = packet.pts, packet.dts, packet.time_base
    return shown


def _parse_date(text: str) -> str | None:
    """Return a container's date as ISO 8601; None if it is invalid, or stands for no date."""
    when = iso_time(text)
    return when if when and when >= "1971" else None  # 1904 and 1970 are what a container has without a date


def _refuse(url: str, flags: int, options: Any) -> IO[bytes]:
    """Raise PermissionError; FFmpeg calls this function to open another file."""
    raise PermissionError("a video may not open other files")
