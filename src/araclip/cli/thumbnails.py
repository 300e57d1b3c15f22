"""Small pictures in a terminal: the protocols of kitty and iTerm2, sixel, or coloured half blocks anywhere else.

The first three send pixels in escape sequences, which other terminals would print as letters. They are used only if the
environment names a terminal that supports them. ARACLIP_TERMINAL_PICTURES can name one of METHODS instead.
"""

import base64
import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from araclip.errors import InputError, UnreadableImage
from araclip.gallery.ingest.intake import scene_jpeg
from araclip.pictures.images import encode_picture, open_image
from araclip.pictures.video.scenes import scene_of

if TYPE_CHECKING:
    from rich.console import Console

VARIABLE = "ARACLIP_TERMINAL_PICTURES"
METHODS = ("kitty", "iterm", "sixel", "blocks")
ROWS = 8  # height of a thumbnail, in lines of the terminal
COLUMNS = 24
SIDE = 160  # pixels of the longer side: 8 lines of about 20 pixels
COLOURS = 128  # colours of a sixel picture; terminals have 256 at most
CHUNK = 4096  # bytes of base64 in one escape sequence of kitty


def choose_method(environment: Mapping[str, str]) -> str:
    """Return how this terminal shows pictures: one of METHODS."""
    if chosen := environment.get(VARIABLE):
        if chosen not in METHODS:
            raise InputError(f"${VARIABLE} is {chosen!r}. Set it to one of {', '.join(METHODS)}, or unset it.")
        return chosen
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    # draw with block characters, because tmux and screen discard pictures
    if environment.get("TMUX") or terminal.startswith(("screen", "tmux")):
        return "blocks"
    if terminal in ("xterm-kitty", "xterm-ghostty") or "KITTY_WINDOW_ID" in environment:
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "vscode", "mintty") or "KONSOLE_VERSION" in environment:
        return "iterm"
    return "sixel" if terminal.startswith(("foot", "mlterm", "contour", "yaft")) else "blocks"


def show(console: "Console", path: str, environment: Mapping[str, str] = os.environ) -> None:
    """Print a picture file or a scene of a video, ROWS lines high at most."""
    method = choose_method(environment)
    picture = _open_picture(path)
    picture.thumbnail((2 * SIDE, SIDE), Image.Resampling.BICUBIC)
    if method == "blocks":
        _print_blocks(console, picture)
        return
    draw = {"kitty": kitty, "iterm": iterm, "sixel": sixel}[method]
    console.file.write(draw(picture) + "\n")
    console.file.flush()


def _open_picture(path: str) -> Image.Image:
    scene = scene_of(path)
    if scene is None:
        return open_image(path, SIDE)
    try:
        return open_image(io.BytesIO(scene_jpeg(scene)), SIDE, name=path)
    except OSError as error:
        raise UnreadableImage(f"{scene.video}: cannot be read ({error.strerror or error}).") from None


def kitty(picture: Image.Image) -> str:
    """Return the picture in kitty's graphics protocol, in pieces of CHUNK bytes."""
    data = base64.standard_b64encode(_encode_png(picture)).decode()
    pieces = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    out = []
    for i, piece in enumerate(pieces):
        keys = f"a=T,f=100,r={ROWS}," if i == 0 else ""
        out.append(f"\x1b_G{keys}m={int(i + 1 < len(pieces))};{piece}\x1b\\")
    return "".join(out)


def iterm(picture: Image.Image) -> str:
    """Return the picture in iTerm2's protocol of inline images."""
    data = _encode_png(picture)
    base64_text = base64.standard_b64encode(data).decode()
    return f"\x1b]1337;File=inline=1;size={len(data)};height={ROWS};preserveAspectRatio=1:{base64_text}\x07"


def sixel(picture: Image.Image) -> str:
    """Return the picture as sixels (DEC): bands of six rows, and for each colour of a band one run of bit columns."""
    indexed = picture.convert("RGB").quantize(COLOURS)
    pixels = np.asarray(indexed)  # (height, width), indices into the palette
    palette = np.array(indexed.getpalette() or [], dtype=np.int64).reshape(-1, 3) * 100 // 255
    used = np.unique(pixels)
    out = [f'\x1bPq"1;1;{picture.width};{picture.height}']
    out += [f"#{number};2;{';'.join(map(str, palette[number]))}" for number in used]
    for top in range(0, picture.height, 6):
        band = pixels[top : top + 6]
        weights = 1 << np.arange(len(band))[:, None]
        for number in np.unique(band):
            columns = ((band == number) * weights).sum(axis=0)  # for each column: one bit for each of the six rows
            out.append(f"#{number}{_encode_runs(columns + 63)}$")
        out.append("-")
    return "".join([*out, "\x1b\\"])


def _encode_runs(codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """Return the characters with these codes, with sixel's short form of repetitions: !5~ instead of ~~~~~."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(np.append(starts, len(codes)))
    return "".join(
        f"!{length}{chr(codes[start])}" if length > 3 else chr(codes[start]) * length
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    )


def _print_blocks(console: "Console", picture: Image.Image) -> None:
    """Print two pixels as one letter ▀: the letter has the upper pixel's colour, its background the lower pixel's."""
    from rich.text import Text

    small = picture.copy()
    small.thumbnail((COLUMNS, 2 * ROWS), Image.Resampling.BICUBIC)
    pixels = np.asarray(small.convert("RGB"))
    lines = Text()
    for top in range(0, len(pixels) - len(pixels) % 2, 2):
        for upper, lower in zip(pixels[top].tolist(), pixels[top + 1].tolist(), strict=True):
            lines.append("▀", "rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower))
        lines.append("\n")
    console.print(lines, end="")


def _encode_png(picture: Image.Image) -> bytes:
    bare = Image.new("RGB", picture.size)  # a new picture, because Pillow would save the old one's metadata
    bare.paste(picture)
    return encode_picture(bare, "PNG")
