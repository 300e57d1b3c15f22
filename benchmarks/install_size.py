"""What an installation takes on the disk, by package: `araclip` and all that it requires, and what extras add.

    python benchmarks/install_size.py [video openvino …]

Run it with the Python of an environment in which araclip and the extras are installed. Counts the files that pip
recorded, compiled Python files among them.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement  # comes with onnxruntime


def closure(name: str, known: dict[str, int], extra: str = "") -> None:
    """Add to `known` the bytes of a package and of all that it requires, with one of its extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    try:
        found = distribution(name)
    except PackageNotFoundError:  # required on other systems only
        return
    if key in known and not extra:
        return
    known[key] = sum(Path(file.locate()).stat().st_size for file in found.files or () if Path(file.locate()).is_file())
    for text in found.requires or ():
        required = Requirement(text)
        if required.marker is None or required.marker.evaluate({"extra": extra}):
            closure(required.name, known)


def main() -> None:
    sizes: dict[str, int] = {}
    closure("araclip", sizes)
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:8.1f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:8.1f} MB  in {len(sizes)} packages")
    for extra in sys.argv[1:]:
        more = dict(sizes)
        closure("araclip", more, extra)
        added = [name for name in more if name not in sizes]
        print(f"{sum(more[name] for name in added) / 1e6:8.1f} MB  more with [{extra}]: {', '.join(added)}")


if __name__ == "__main__":
    main()
