"""Tiny camera RAW files: a DNG with sensor data of a few pixels and, if asked for, an embedded JPEG."""

import io
import struct

from PIL import Image

Entry = tuple[int, int, int, bytes]  # tag, type, count, value


def preview(size: tuple[int, int] = (640, 480), colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A JPEG of one colour with a blue corner top left."""
    picture = Image.new("RGB", size, colour)
    picture.paste((30, 30, 200), (0, 0, size[0] // 4, size[1] // 4))
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=95)
    return written.getvalue()


def dng(
    jpeg: bytes | None,
    sensor: tuple[int, int] = (64, 48),
    orientation: int = 1,
    jpeg_size: tuple[int, int] = (640, 480),
) -> bytes:
    """A DNG of a sensor with 16 bits a pixel; the first directory is the JPEG's, or without one the sensor's."""
    width, height = sensor
    data = b"".join(struct.pack("<H", (x * 900 + y * 500) % 60000) for y in range(height) for x in range(width))
    jpeg_at = 8 + len(data)
    camera: list[Entry] = [
        (271, 2, 6, b"Canon\0"), (272, 2, 8, b"Test R5\0"), (274, 3, 1, _shorts(orientation)),
        (50706, 1, 4, bytes([1, 4, 0, 0])), (50708, 2, 6, b"TestX\0"),
        (50721, 10, 9, _rationals(1, 0, 0, 0, 1, 0, 0, 0, 1)), (50728, 5, 3, _rationals(1, 1, 1)),
        (50778, 3, 1, _shorts(21)),
    ]  # fmt: skip
    of_sensor: list[Entry] = [
        (254, 4, 1, _longs(0)), (256, 4, 1, _longs(width)), (257, 4, 1, _longs(height)), (258, 3, 1, _shorts(16)),
        (259, 3, 1, _shorts(1)), (262, 3, 1, _shorts(32803)), (273, 4, 1, _longs(8)), (277, 3, 1, _shorts(1)),
        (278, 4, 1, _longs(height)), (279, 4, 1, _longs(len(data))), (33421, 3, 2, _shorts(2, 2)),
        (33422, 1, 4, bytes([0, 1, 1, 2])), (50714, 3, 1, _shorts(0)), (50717, 3, 1, _shorts(60000)),
    ]  # fmt: skip
    if jpeg is None:
        return b"II*\0" + _longs(jpeg_at) + data + _directory(of_sensor + camera, jpeg_at)
    jpeg_bytes = jpeg + b"\0" * (len(jpeg) % 2)
    sensor_at = jpeg_at + len(jpeg_bytes)
    second = _directory(of_sensor, sensor_at)
    first: list[Entry] = [
        (254, 4, 1, _longs(1)), (256, 4, 1, _longs(jpeg_size[0])), (257, 4, 1, _longs(jpeg_size[1])),
        (258, 3, 3, _shorts(8, 8, 8)), (259, 3, 1, _shorts(7)), (262, 3, 1, _shorts(6)), (273, 4, 1, _longs(jpeg_at)),
        (277, 3, 1, _shorts(3)), (278, 4, 1, _longs(jpeg_size[1])), (279, 4, 1, _longs(len(jpeg))),
        (330, 4, 1, _longs(sensor_at)),
    ]  # fmt: skip
    first_at = sensor_at + len(second)
    return b"II*\0" + _longs(first_at) + data + jpeg_bytes + second + _directory(first + camera, first_at)


def _shorts(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def _longs(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _rationals(*values: int) -> bytes:
    return b"".join(struct.pack("<ii", value, 1) for value in values)


def _directory(entries: list[Entry], at: int) -> bytes:
    """A TIFF directory that stands at this offset, with the values that do not fit into its entries behind it."""
    head, behind, begin = _shorts(len(entries)), b"", at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        if len(value) <= 4:
            head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            head += struct.pack("<HHII", tag, kind, count, begin + len(behind))
            behind += value + b"\0" * (len(value) % 2)
    return head + _longs(0) + behind
