"""What a client asks without a query: lists of pictures, and what is done with several of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import copyfileobj
from urllib.parse import urlencode

from araclip import atomic
from araclip.client.answers import Album, Listed, Month, Place, read
from araclip.client.connection import Connection
from araclip.client.where import Where, where_texts

PAGE = 200  # entries asked for at once


class Browsing(Connection):
    """The part of `Client` that lists pictures and handles several at once."""

    def timeline(self, *, where: Where = None) -> list[Month]:
        """The months that have pictures, the newest first; pictures without a date come last."""
        answer = self.json("GET", f"/timeline?{urlencode({'where': where_texts(where)}, doseq=True)}")
        return [read(Month, each) for each in answer["months"]]

    def browse(self, *, where: Where = None) -> Iterator[Listed]:
        """All pictures that pass, by the date they were taken, the newest first; fetched page by page."""
        asked: dict[str, object] = {"where": where_texts(where), "k": PAGE}
        while True:
            answer = self.json("GET", f"/pictures?{urlencode(asked, doseq=True)}")
            for each in answer["results"]:
                yield read(Listed, each)
            if answer["next"] is None:
                return
            asked["cursor"] = answer["next"]

    def folders(self, inside: str | None = None) -> list[Album]:
        """The albums at the top, or those in the album of a key, by name."""
        found: list[Album] = []
        while True:
            asked = {"k": PAGE, "offset": len(found)} | ({"in": inside} if inside else {})
            answer = self.json("GET", f"/folders?{urlencode(asked)}")
            found += [read(Album, each) for each in answer["albums"]]
            if not answer["more"]:
                return found

    def places(self, *, cell: float = 4, where: Where = None) -> list[Place]:
        """Where pictures were taken, gathered in cells of so many degrees, the fullest first."""
        asked = urlencode({"cell": cell, "where": where_texts(where)}, doseq=True)
        return [read(Place, each) for each in self.json("GET", f"/places?{asked}")["places"]]

    def download(self, ids: Iterable[str], path: str | os.PathLike[str]) -> Path:
        """Write the originals of up to 1,000 pictures into a ZIP file, whole or not at all; returns its path."""
        prepared = self.json("POST", "/archives", {"ids": list(ids)})

        def fill(temporary: Path) -> None:
            with self.streamed(f"/{prepared['address']}") as response, temporary.open("wb") as file:
                copyfileobj(response, file)

        atomic.write(Path(path), fill)
        return Path(path)

    def paths(self, ids: Iterable[str]) -> list[str]:
        """Where pictures lie on the server, if it shows paths."""
        found: list[str] = self.json("POST", "/paths", {"ids": list(ids)})["paths"]
        return found

    def hide(self, ids: Iterable[str], hidden: bool = True) -> int:
        """Hide pictures from searches and lists, or show them again; returns how many changed."""
        changed: int = self.json("POST", "/hidden", {"ids": list(ids), "hidden": hidden})["changed"]
        return changed
