"""How a query was understood, in lines for the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from araclip.gallery.plan import Interpretation

NAMES = {"date": "التاريخ", "folder": "المجلد"}


def understood_lines(found: "Interpretation") -> list[str]:
    """One line for each thing that was understood otherwise than typed, the last one saying how to prevent it."""
    lines = []
    if found.also:
        lines.append(f"بحثنا أيضًا عن: {'، '.join(found.also)}")
    if found.excluded:
        lines.append(f"استبعدنا: {'، '.join(found.excluded)}")
    for each in found.filters:
        if each.applied:
            lines.append(f"{NAMES[each.part]} «{each.words}»: {' '.join(each.where)}")
        else:
            lines.append(f"{NAMES[each.part]} «{each.words}»: لا صور، فبحثنا عن الكلمات")
    if lines:
        lines[-1] += "  (--literal يبحث عن الكلمات كما كُتبت)"
    if found.suggestion:
        lines.append(f"هل تقصد: {found.suggestion}")
    return lines
