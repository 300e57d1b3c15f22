"""Old names, which work for one release more and say so.

A module whose names were renamed has `__getattr__ = renamed(__name__, {"Old": Renamed("araclip.errors:New", "0.3")})`;
whatever else is old (an argument, a key) calls `warn_of`. `until` is the first release that refuses the old name; a
test fails from that release on, until the entry is gone.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """What replaces an old name: `module:name`, and the first release without the old one."""

    new: str
    until: str

    @property
    def shown(self) -> str:
        """The new name as code writes it."""
        return self.new.replace(":", ".")

    def value(self) -> Any:
        """What the new name stands for."""
        home, _, name = self.new.partition(":")
        return getattr(import_module(home), name)


def warn_of(old: str, renamed: Renamed, *, stacklevel: int = 2) -> None:
    """Warn that `old` is used; `stacklevel` as in `warnings.warn`, counted from the caller of this function."""
    text = f"{old} is now {renamed.shown}; AraCLIP {renamed.until} no longer has the old name. Use the new one."
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel + 1)


def renamed(module: str, names: Mapping[str, Renamed]) -> Callable[[str], Any]:
    """A module's `__getattr__` that finds what has other names now, with a warning."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_of(f"{module}.{name}", names[name])
        return names[name].value()

    return find
