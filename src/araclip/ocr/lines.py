"""Lines of text from what a recogniser of PaddleOCR gives: boxes put in order, Arabic letters from left to right turned
into reading order. Pure."""

import re
from collections.abc import Sequence

from araclip.text.script import is_arabic, words

SAME_LINE = 0.5  # of a box's height: boxes whose middles are nearer than that stand in one line
_LATIN = "a-zA-Z0-9\u0660-\u0669"
_RUN = re.compile(rf"[{_LATIN}]+(?:[ :*./%+-]+[{_LATIN}]+)*|.", re.DOTALL)

Box = tuple[float, float, float, float]  # left, top, right, bottom


def reading_order(seen: str) -> str:
    """A line as a recogniser of Arabic sees it, from left to right, in the order in which it is read.

    Arabic letters are turned round, Latin words and numbers stay as they are (PaddleOCR, `pred_reverse`).
    """
    return "".join(_RUN.findall(seen)[::-1]) if _has_arabic(seen) else seen


def page(found: Sequence[tuple[Box, str]]) -> str:
    """Texts with their boxes as lines from top to bottom; in a line with Arabic letters the rightmost box is first."""
    lines: list[list[tuple[Box, str]]] = []
    for box, text in sorted(found, key=lambda each: _middle(each[0])):
        height = box[3] - box[1]
        if lines and abs(_middle(lines[-1][-1][0]) - _middle(box)) < SAME_LINE * height:
            lines[-1].append((box, text))
        else:
            lines.append([(box, text)])
    return "\n".join(" ".join(text for _, text in _ordered(line)) for line in lines)


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _ordered(line: Sequence[tuple[Box, str]]) -> list[tuple[Box, str]]:
    return sorted(line, key=lambda each: each[0][0], reverse=any(_has_arabic(text) for _, text in line))


def _has_arabic(text: str) -> bool:
    return any(is_arabic(match.group()) for match in words(text))
