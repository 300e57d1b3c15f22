"""The client for one server."""

import base64
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from araclip.client.answers import Added, Result, Results, Suggestion, WordShare, read
from araclip.client.browsing import Browsing
from araclip.client.where import Where, where_texts


class Client(Browsing):
    """Talks to one server over connections that stay open. Threads may share it.

    Args:
        address: such as "http://127.0.0.1:8000", or an https address behind a proxy.
        token: access token, if the server requires one; `$ARACLIP_TOKEN` by default.
        timeout: seconds for one response.
    """

    # ------------------------------------------------------------------ search and pictures

    def search(
        self,
        query: str = "",
        k: int = 24,
        *,
        offset: int = 0,
        where: Where = None,
        threshold: float = 0.0,
        collapse: bool = False,
        like: Mapping[str, float] | Sequence[str] = (),
        pictures: Sequence[bytes | str | os.PathLike[str]] = (),
        text_weight: float = 1.0,
        literal: bool = False,
        ignore: Sequence[str] = (),
    ) -> Results:
        """The k pictures nearest to a query of text, pictures of the gallery (`like`: ids, or ids with weights), and
        pictures that are uploaded with the query (`pictures`: paths or bytes).

        Args:
            where: Filters, or texts as `araclip search --where` takes them ("format=JPEG"); folders match by name.
            text_weight: how much words in names, metadata, captions and OCR text count, 0 (not at all) to 10.
            literal, ignore: take the words as typed, all or some parts: words, exclusions, date, folder.

        Raises: InputError for a wrong `where`, ServerError where the server refuses or cannot be reached.
        """
        weights = like if isinstance(like, Mapping) else dict.fromkeys(like, 1.0)
        request = {
            **{"q": query, "k": k, "offset": offset},
            "where": where_texts(where),
            "threshold": threshold,
            "collapse": "near" if collapse or getattr(where, "collapse", False) else None,
            "like": [{"id": identity, "weight": weight} for identity, weight in weights.items()],
            "pictures": [{"data": _data_uri(picture)} for picture in pictures],
            **{"text_weight": text_weight, "literal": literal, "ignore": list(ignore)},
        }
        answer = self.json("POST", "/search", request)
        return read(Results, {**answer, "results": tuple(read(Result, result) for result in answer["results"])})

    def suggestions(self, typed: str, k: int = 8) -> list[Suggestion]:
        """Queries that begin with what is typed."""
        answer = self.json("GET", f"/suggestions?{urlencode({'q': typed, 'k': k})}")
        return [read(Suggestion, each) for each in answer["suggestions"]]

    def explain(
        self, identity: str, query: str, *, literal: bool = False, ignore: Sequence[str] = ()
    ) -> list[WordShare]:
        """What the score of a picture loses when the query is asked without each of its words."""
        asked = urlencode({"q": query, "literal": literal, "ignore": list(ignore)}, doseq=True)
        answer = self.json("GET", f"{_image(identity)}/explain?{asked}")
        return [read(WordShare, each) for each in answer["words"]]

    def near(self, identity: str, *, where: Where = None) -> list[Result]:
        """The near-duplicates of a picture, most like it first."""
        asked = urlencode({"where": where_texts(where)}, doseq=True)
        answer = self.json("GET", f"{_image(identity)}/near?{asked}")
        return [read(Result, each) for each in answer["results"]]

    def picture(self, identity: str) -> bytes:
        """The original bytes of a picture."""
        return self.request("GET", _image(identity))

    def thumbnail(self, identity: str, size: int = 256) -> bytes:
        """An upright WebP thumbnail of a picture."""
        return self.request("GET", f"/thumbnails/{quote(identity, safe='')}?{urlencode({'size': size})}")

    def details(self, identity: str) -> dict[str, Any]:
        """The details of a picture."""
        return self.json("GET", f"{_image(identity)}/details")

    def add(self, picture: bytes | str | os.PathLike[str], *, name: str | None = None) -> Added:
        """Add a picture: a path, or bytes. When this returns it is stored on the server's disk."""
        data, path = (picture, None) if isinstance(picture, bytes) else (Path(picture).read_bytes(), Path(picture))
        shown = name or (path.name if path else "picture")
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(shown)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return read(Added, self.answer(self.request("POST", "/images", body, kind)))

    def forget(self, identity: str) -> None:
        """Remove a picture from the gallery; its file stays."""
        self.request("DELETE", _image(identity))

    def stats(self) -> dict[str, Any]:
        """The gallery in numbers."""
        return self.json("GET", "/stats")

    def index(self) -> dict[str, Any]:
        """Have the server index its folders now; the answer is that of `index_state`."""
        return self.json("POST", "/index")

    def index_state(self) -> dict[str, Any]:
        """The folders that the server indexes or offers to, and how far that is."""
        return self.json("GET", "/index")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Server-sent events, ("indexing" or "generation", data), until the server ends the stream."""
        with self.streamed("/events") as response:
            kind = ""
            for line in response:
                name, _, value = line.decode("utf-8").rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, self.answer(value.encode())

    # ------------------------------------------------------------------ vectors

    def encode_text(self, texts: Iterable[str]) -> list[list[float]]:
        """Unit vectors of texts, in the order given."""
        return self._vectors(list(texts))

    def encode_image(self, pictures: Iterable[bytes | str | os.PathLike[str]]) -> list[list[float]]:
        """Unit vectors of pictures (paths or bytes), in the order given."""
        return self._vectors([_data_uri(picture) for picture in pictures], at_once=8)

    def _vectors(self, inputs: list[str], *, at_once: int = 128) -> list[list[float]]:
        vectors: list[list[float]] = []
        for start in range(0, len(inputs), at_once):
            answer = self.json("POST", "/v1/embeddings", {"input": inputs[start : start + at_once]})
            vectors += [entry["embedding"] for entry in answer["data"]]
        return vectors


def _image(identity: str) -> str:
    return f"/images/{quote(identity, safe='')}"


def _data_uri(picture: bytes | str | os.PathLike[str]) -> str:
    data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    return f"data:image/any;base64,{base64.b64encode(data).decode()}"


def _quoted(name: str) -> str:  # as browsers escape a file's name (WHATWG, multipart/form-data)
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
