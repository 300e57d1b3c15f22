"""One finding of an installation, and how findings are printed."""

from dataclasses import dataclass
from typing import Literal

from araclip.core.display import shown

Mark = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One fact of an installation: what it is about, the fact, how it is, and what to do where it is not fine."""

    about: str
    fact: str
    mark: Mark = "ok"
    remedy: str = ""


def block(findings: list[Finding]) -> str:
    """The findings as lines to paste into a report."""
    marks: dict[Mark, str] = {"ok": " ", "note": "·", "fault": "!"}
    width = max(len(finding.about) for finding in findings)
    lines = [f"{marks[each.mark]} {each.about:<{width}}  {shown(each.fact)}" for each in findings]
    return "\n".join(
        line + (f"  → {each.remedy}" if each.remedy and each.mark != "ok" else "")
        for line, each in zip(lines, findings, strict=True)
    )
