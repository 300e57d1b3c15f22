"""The process that decodes untrusted pictures for the server, with little memory and no tokens or open files.

It reads jobs from its standard input and answers on its standard output, to `sandbox`, in the messages of
`core.child_process`.
"""

import io
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from PIL import Image

from araclip.core.child_process import Parent, Reply
from araclip.core.limits import allow_processor, restrict
from araclip.core.messages import message, message_as_json
from araclip.errors import ImageError, ImageTooLarge
from araclip.gallery.ingest.intake import read_source
from araclip.pictures import limits, plugins
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import encode_picture, open_image

PLACEHOLDER_SIDE = 8  # pixels of the longer side of a placeholder, a preview shown until the thumbnail has loaded
PLACEHOLDER_BYTES = 130  # limit: bytes of a placeholder (tiny preview); as a data URI, it has less than 200 characters
THUMBNAIL_QUALITY = 80


def thumbnail(data: bytes, side: int) -> Reply:
    """Make an upright WebP thumbnail without metadata; return it and its placeholder, a tiny preview."""
    image = open_image(io.BytesIO(data), side // 2)  # keeps 2 × this size or more, so at least `side` pixels
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return {"width": image.width, "height": image.height}, [_to_webp(image, THUMBNAIL_QUALITY), _tiny_webp(image)]


def read(data: bytes, transform: dict[str, Any]) -> Reply:
    """Read an uploaded picture for the catalogue; return the parts from which `Sandbox.read` makes a LoadedPicture."""
    loaded = read_source(data, set(), ImageTransform(**transform))
    assert loaded.decoded is not None  # `read_source` always decodes bytes, and makes a JPEG of them to store
    assert loaded.stored_pixels is not None
    about = {
        "path": loaded.file.path,
        "bytes": loaded.file.size,
        "digest": loaded.digest.hex(),
        "facts": asdict(loaded.decoded.facts),
        "phash": loaded.decoded.phash,
    }
    return about, [loaded.decoded.pixels.tobytes(), loaded.stored_pixels]


def _to_webp(image: Image.Image, quality: int) -> bytes:
    clean = Image.frombytes("RGB", image.size, image.tobytes())  # a copy without metadata and colour profile
    return encode_picture(clean, "WEBP", quality=quality, method=4)


def _tiny_webp(image: Image.Image) -> bytes:
    scale = PLACEHOLDER_SIDE / max(image.size)
    tiny = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    for quality in (40, 20, 0):
        if len(encoded_image := _to_webp(tiny, quality)) <= PLACEHOLDER_BYTES:
            return encoded_image
    return b""


JOBS: dict[str, Callable[[bytes, Any], Reply]] = {"thumbnail": thumbnail, "read": read}


def main() -> None:
    """Decode the pictures that the server sends, until it closes the pipe."""
    parent = Parent()
    Image.init()  # loads all plugins while files may still be opened
    plugins.import_libraries()
    restrict(int(sys.argv[1]), threads=plugins.most_decoder_threads())
    parent.answer({"ready": True})
    while (question := parent.question()) is not None:
        about, (data,) = question
        # a global limit of pixels, set for this picture: the process has one job at a time
        limits.MAX_PIXELS = about["max_pixels"]
        allow_processor(about["seconds"])
        try:
            answer, blobs = JOBS[about["job"]](data, about["target"])
        except ImageError as error:
            answer, blobs = {"error": type(error).__name__, **message_as_json(error)}, []
        except MemoryError:
            too_large = ImageTooLarge(message("picture no memory", name="upload"))
            answer, blobs = {"error": ImageTooLarge.__name__, **message_as_json(too_large)}, []
        parent.answer(answer, blobs)


if __name__ == "__main__":
    main()
