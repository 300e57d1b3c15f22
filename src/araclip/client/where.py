"""Filters as a request carries them."""

from collections.abc import Sequence
from typing import Protocol

from araclip.errors import InputError


class FiltersLike(Protocol):
    """The interface of `araclip.Filters`, not imported here since it needs further packages."""

    @property
    def collapse(self) -> bool:
        """Whether of near-duplicates only the best is returned."""

    def texts(self) -> list[str]:
        """The filters as texts KEY=VALUE."""


Where = FiltersLike | str | Sequence[str] | None


def where_texts(where: Where) -> list[str]:
    """The texts KEY=VALUE.

    Raises:
        InputError: it is of another type.
    """
    if where is None or isinstance(where, str):
        return [where] if where else []
    if not isinstance(where, Sequence) and not hasattr(where, "texts"):
        raise InputError(f"where takes Filters, a text or a list of texts, got {type(where).__name__}.")
    return list(where) if isinstance(where, Sequence) else where.texts()
