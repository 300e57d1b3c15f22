"""A client for `araclip serve`: typed, thread-safe, needs the standard library only.

>>> from araclip.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     for hit in client.search("قطة على طاولة", k=5).results:
...         print(hit.name, hit.relevance)
"""

import base64
import http.client
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, overload
from urllib.parse import quote, urlencode, urlsplit

from araclip.core import atomic, bounded_json
from araclip.errors import InputError, ServerError
from araclip.gallery.results import Added, Album, Listed, Match, Month, Place, Result, Suggestion, WordShare

if TYPE_CHECKING:  # a client needs no further packages
    from araclip.gallery.catalog.filters import Filters

PAGE = 200  # number of entries asked for in one request, when a list is read page by page
PIECE = 1 << 20  # bytes read from a response at once
LETTERS = 6_000_000  # limit: letters in a request; a letter takes up to 6 bytes in JSON, and a server reads 40 MB
Answer = TypeVar("Answer")
Picture = bytes | str | os.PathLike[str]  # the bytes of a picture's file, or its path


@dataclass(frozen=True)
class Results:
    """A page of results, best first or by date. `nothing_found`: on the first page, True if nothing fits the query."""

    query: str
    results: tuple[Result, ...]
    offset: int
    more: bool
    nothing_found: bool
    took_ms: float
    generation: str  # a random text that names the gallery's state; a commit changes it
    passing: int = 0  # how many pictures pass the filters
    away: bool = False  # True if there are no results because the pictures' files cannot be found now
    interpretation: Mapping[str, Any] | None = None  # how the query's words were understood, see docs/server.md


Where: TypeAlias = "Filters | str | Sequence[str] | None"


def where_texts(where: Where) -> list[str]:
    """Return filters, in any form of `Where`, as texts KEY=VALUE; raise InputError if a server cannot apply them."""
    if where is None or isinstance(where, str):
        return [where] if where else []
    if not isinstance(where, Sequence) and not hasattr(where, "texts"):
        raise InputError(f"where takes Filters, a text or a list of texts, got {type(where).__name__}.")
    if isinstance(where, Sequence):
        return list(where)
    names = [where.folder_name] if isinstance(where.folder_name, str) else list(where.folder_name or ())
    if where.below is not None or len(names) > 1:
        raise InputError("a server takes one folder, by its name: Filters(folder_name=…), not below or several names.")
    return [*where.texts(), *(f"folder={name}" for name in names)]


class Client:
    """Talks to one server over connections that stay open. Threads may share it.

    Args:
        address: such as "http://127.0.0.1:8000", or an https address behind a proxy.
        token: access token, if the server requires one; `$ARACLIP_TOKEN` by default.
        timeout: seconds for one response.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", *, token: str | None = None, timeout: float = 30
    ) -> None:
        try:
            parts = urlsplit(address)
            # A host's name may be Arabic. Encode it now: http.client would refuse a bad name only at the first request.
            _ = parts.port, (parts.hostname or "").encode("idna")
        except ValueError as error:
            raise InputError(f"{address} has no valid port or host ({error}). A port is from 1 to 65535.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", address):
            raise InputError(f"{address} is not the address of a server. Pass one such as http://127.0.0.1:8000.")
        self.address = address.rstrip("/")
        self._parts, self._timeout = parts._replace(path=quote(parts.path, safe="/%:@!$&'()*+,;=")), timeout
        token = token if token is not None else os.environ.get("ARACLIP_TOKEN")
        if token and not re.fullmatch(r"[!-~]+", token):
            raise InputError(
                "the token has a space, a line break or a letter that is not ASCII. Pass it as it was made."
            )
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:  # shows neither the token nor a password in the address
        port = f":{self._parts.port}" if self._parts.port else ""
        return f"{type(self).__name__}('{self._parts.scheme}://{self._parts.hostname}{port}')"

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        pictures: Sequence[Picture] = (),
        text_weight: float = 1.0,
        sort: str = "relevance",
        literal: bool = False,
        ignore: Sequence[str] = (),
    ) -> Results:
        """Return the k pictures nearest to a query of text, pictures of the gallery, and uploaded pictures.

        Args:
            offset: how many of the best pictures to skip.
            where: Filters, or texts as `araclip search --where` takes them ("format=JPEG"); folders match by name.
            threshold: the least relevance of a result, 0 to 1.
            collapse: True to return only the best picture of each group of near-duplicates.
            like: ids of pictures of the gallery to add to the query, or a mapping from such ids to their weights.
            pictures: paths or bytes of pictures, which are uploaded with the query.
            text_weight: how much words in names, metadata, captions and OCR text count, 0 (not at all) to 10.
            sort: "date" to return the pictures that fit, the newest first; "oldest" for the oldest first.
            literal: True to take all words as typed.
            ignore: parts of the query that are taken as typed: words, exclusions, date, folder, place, kind ("videos"),
                order ("newest").

        Raises:
            InputError: `where` is invalid.
            ServerError: the server refuses the request or cannot be reached.
        """
        weights = like if isinstance(like, Mapping) else dict.fromkeys(like, 1.0)
        request = {
            **{"q": query, "k": k, "offset": offset},
            "where": where_texts(where),
            "threshold": threshold,
            "collapse": "near" if collapse or getattr(where, "collapse", False) else None,
            "like": [{"id": identity, "weight": weight} for identity, weight in weights.items()],
            "pictures": [{"data": _data_uri(picture)} for picture in pictures],
            **{"text_weight": text_weight, "sort": sort, "literal": literal, "ignore": list(ignore)},
        }
        answer = self._json("POST", "/search", request)
        return _to_dataclass(Results, {**answer, "results": tuple(map(_to_result, answer["results"]))})

    def suggestions(self, typed: str, k: int = 8) -> list[Suggestion]:
        """Return at most `k` queries that complete what is typed."""
        answer = self._json("GET", f"/suggestions?{urlencode({'q': typed, 'k': k})}")
        return [_to_dataclass(Suggestion, each) for each in answer["suggestions"]]

    def explain(
        self, identity: str, query: str, *, literal: bool = False, ignore: Sequence[str] = ()
    ) -> list[WordShare]:
        """Return for each word of a query what a picture's score loses when the query is asked without that word.

        `literal`: True to take all words as typed. `ignore`: parts of the query that are taken as typed, see `search`.
        """
        parameters = urlencode({"q": query, "literal": literal, "ignore": list(ignore)}, doseq=True)
        answer = self._json("GET", f"{_image_path(identity)}/explain?{parameters}")
        return [_to_dataclass(WordShare, each) for each in answer["words"]]

    def near(self, identity: str, *, where: Where = None) -> list[Result]:
        """Return the near-duplicates of the picture with the id `identity`, the most similar first."""
        parameters = urlencode({"where": where_texts(where)}, doseq=True)
        answer = self._json("GET", f"{_image_path(identity)}/near?{parameters}")
        return [_to_result(each) for each in answer["results"]]

    def picture(self, identity: str) -> bytes:
        """Return a picture's bytes as the server shows them: the file's, or WebP if browsers cannot show its format.

        For a scene of a video these are the video's bytes.
        """
        return self._request("GET", _image_path(identity))

    def thumbnail(self, identity: str, size: int = 256) -> bytes:
        """Return a picture's thumbnail: WebP, upright."""
        return self._request("GET", f"/thumbnails/{quote(identity, safe='')}?{urlencode({'size': size})}")

    def details(self, identity: str) -> dict[str, Any]:
        """Return a picture's details, such as size, date, camera, place and files: the answer of GET …/details."""
        return self._json("GET", f"{_image_path(identity)}/details")

    def add(self, picture: Picture, *, name: str | None = None) -> Added:
        """Add a picture, given by its path or as bytes. When `add` returns, the server has stored the picture."""
        data, path = (picture, None) if isinstance(picture, bytes) else (Path(picture).read_bytes(), Path(picture))
        shown = name or (path.name if path else "picture")
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_escape_file_name(shown)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode("utf-8", "replace") + data + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return _to_dataclass(Added, self._parse_answer(self._request("POST", "/images", body, kind)))

    def forget(self, identity: str) -> None:
        """Remove a picture from the gallery, or for a scene the whole video; the file stays on the disk."""
        self._request("DELETE", _image_path(identity))

    def stats(self) -> dict[str, Any]:
        """Return the answer of GET /stats: statistics of the gallery, such as the numbers of pictures and files."""
        return self._json("GET", "/stats")

    def index(self) -> dict[str, Any]:
        """Ask the server to index its folders now; return the same as `index_state`."""
        return self._json("POST", "/index")

    def index_state(self) -> dict[str, Any]:
        """Return the answer of GET /index: the folders that the server indexes or offers to index, and the state."""
        return self._json("GET", "/index")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the server's events until the server ends the stream, each as (kind, data).

        The kind "indexing" tells the progress of indexing, "generation" that the content of the gallery has changed.
        """
        with closing(self._stream("/events", iter)) as lines:
            kind = ""
            for line in lines:
                name, _, value = line.decode("utf-8").rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, self._parse_answer(value.encode())

    # ------------------------------------------------------------------ many pictures

    def timeline(self, *, where: Where = None) -> list[Month]:
        """Return the months that have pictures, the newest first; pictures without a date come last."""
        answer = self._json("GET", f"/timeline?{urlencode({'where': where_texts(where)}, doseq=True)}")
        return [_to_dataclass(Month, each) for each in answer["months"]]

    def browse(self, *, where: Where = None) -> Iterator[Listed]:
        """Yield the pictures that pass the filters, the newest first by the date they were taken, page by page."""
        parameters: dict[str, object] = {"where": where_texts(where), "k": PAGE}
        while True:
            answer = self._json("GET", f"/pictures?{urlencode(parameters, doseq=True)}")
            for each in answer["results"]:
                yield _to_dataclass(Listed, each)
            if answer["next"] is None:
                return
            parameters["cursor"] = answer["next"]

    def folders(self, inside: str | None = None) -> list[Album]:
        """Return the top albums (folders with pictures) by name, or the albums in the album with the key `inside`."""
        found: list[Album] = []
        while True:
            parameters = {"k": PAGE, "offset": len(found)} | ({"in": inside} if inside else {})
            answer = self._json("GET", f"/folders?{urlencode(parameters)}")
            found += [_to_dataclass(Album, each) for each in answer["albums"]]
            if not answer["more"]:
                return found

    def places(self, *, cell: float = 4, where: Where = None) -> list[Place]:
        """Count the pictures taken in each map cell of `cell` degrees; return the cells, the fullest first."""
        parameters = urlencode({"cell": cell, "where": where_texts(where)}, doseq=True)
        return [_to_dataclass(Place, each) for each in self._json("GET", f"/places?{parameters}")["places"]]

    def download(self, ids: Iterable[str], path: str | os.PathLike[str]) -> Path:
        """Write the files of up to 1,000 pictures into a ZIP file, completely or not at all; return the ZIP's path."""
        prepared = self._json("POST", "/archives", {"ids": list(ids)})

        def fill(temporary: Path) -> None:
            pieces = self._stream(f"/{prepared['address']}", lambda response: iter(partial(response.read, PIECE), b""))
            with closing(pieces), temporary.open("wb") as file:
                file.writelines(pieces)

        atomic.write(Path(path), fill)
        return Path(path)

    def paths(self, ids: Iterable[str]) -> list[str]:
        """Return the paths of pictures on the server, if the server shows paths."""
        found: list[str] = self._json("POST", "/paths", {"ids": list(ids)})["paths"]
        return found

    def hide(self, ids: Iterable[str], hidden: bool = True) -> int:
        """Hide pictures from searches and lists (`hidden` true), or show them again; return how many changed."""
        changed: int = self._json("POST", "/hidden", {"ids": list(ids), "hidden": hidden})["changed"]
        return changed

    # ------------------------------------------------------------------ vectors

    @overload
    def encode_text(self, texts: str) -> list[float]: ...  # type: ignore[overload-overlap]
    @overload
    def encode_text(self, texts: Iterable[str]) -> list[list[float]]: ...
    def encode_text(self, texts: str | Iterable[str]) -> list[float] | list[list[float]]:
        """Return the unit vector of a text; for several texts, a list of unit vectors."""
        if isinstance(texts, str):
            return self._request_vectors([texts])[0]
        return self._request_vectors(list(texts))

    @overload
    def encode_image(self, pictures: Picture) -> list[float]: ...  # type: ignore[overload-overlap]
    @overload
    def encode_image(self, pictures: Iterable[Picture]) -> list[list[float]]: ...
    def encode_image(self, pictures: Picture | Iterable[Picture]) -> list[float] | list[list[float]]:
        """Return the unit vector of a picture (a path or bytes); for several pictures, a list of unit vectors."""
        if isinstance(pictures, bytes | str | os.PathLike):
            return self._request_vectors([_data_uri(pictures)])[0]
        return self._request_vectors(map(_data_uri, pictures), at_once=8)

    def _request_vectors(self, inputs: Iterable[str], *, at_once: int = 128) -> list[list[float]]:
        """Return the vectors of texts or data URIs, in requests of at most `at_once` inputs, about LETTERS letters."""
        vectors: list[list[float]] = []
        group: list[str] = []

        def send() -> None:
            answer = self._json("POST", "/v1/embeddings", {"input": group})
            vectors.extend(entry["embedding"] for entry in answer["data"])
            group.clear()

        for each in inputs:
            if group and (len(group) == at_once or sum(map(len, group)) + len(each) > LETTERS):
                send()
            group.append(each)
        if group:
            send()
        return vectors

    # ------------------------------------------------------------------ requests

    def _stream(
        self, path: str, read: Callable[[http.client.HTTPResponse], Iterable[bytes]]
    ) -> Generator[bytes, None, None]:
        """Send a GET request over a new connection, and yield the bytes that `read` yields from the response."""
        connection = self._connect()
        try:
            connection.request("GET", self._parts.path.rstrip("/") + path, headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _server_error(response, response.read())
            yield from read(response)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable_error(error) from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, with a JSON object or without a body, and return the JSON object of the response."""
        body = None if request is None else json.dumps(request).encode()
        return self._parse_answer(self._request(method, path, body, {"Content-Type": "application/json"}))

    def _parse_answer(self, data: bytes) -> dict[str, Any]:
        """Parse the JSON object in a response's body; raise ForeignServer if the body is no JSON object."""
        what = f"{self.address}: its answer"
        return ServerAnswer(
            bounded_json.parse(data, what, max_bytes=len(data), kind=dict, lone_surrogates=True, error=ForeignServer)
        )

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Send a request and return the body of the response."""
        url = self._parts.path.rstrip("/") + path
        while True:
            with self._lock:
                reused = self._idle.pop() if self._idle else None
            connection = reused or self._connect()
            try:
                connection.request(method, url, body, {**self._headers, **(headers or {})})
                response = connection.getresponse()
                data: bytes = response.read()
            except BaseException as error:
                connection.close()
                # try again: the server had closed this idle connection
                if reused and isinstance(error, ConnectionError):
                    continue
                if isinstance(error, OSError | http.client.HTTPException):
                    raise self._unreachable_error(error) from error
                raise
            with self._lock:
                self._idle.append(connection)
            if response.status >= 300:
                raise _server_error(response, data)
            return data

    def _unreachable_error(self, error: Exception) -> ServerError:
        return ServerError(f"{self.address}: cannot be reached ({error}). Is `araclip serve` running?")

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        return kind(self._parts.hostname, self._parts.port, timeout=self._timeout)


class ForeignServer(ServerError):
    """The program that answers is not `araclip serve`."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message.rstrip('.')}. Is that the address of an `araclip serve`?")


class ServerAnswer(dict[str, Any]):
    """The JSON object that a server answered. Reading a missing field raises ForeignServer."""

    def __missing__(self, name: str) -> Any:
        raise ForeignServer(f"the server's answer has no field '{name}'")


def _to_dataclass(kind: type[Answer], values: object) -> Answer:
    """Make a dataclass from a JSON object of a response. Unknown fields, of a later server, are ignored.

    Raises:
        ForeignServer: `values` is no JSON object, or a field is missing.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in dict(values).items() if name in names})  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ForeignServer(f"the server's answer holds no {kind.__name__}") from None


def _to_result(values: object) -> Result:
    found = _to_dataclass(Result, values)
    try:
        matched = tuple(_to_dataclass(Match, each) for each in found.matched)
        return replace(
            found, matched=tuple(replace(each, marks=tuple((a, b) for a, b in each.marks)) for each in matched)
        )
    except (TypeError, ValueError):
        raise ForeignServer("the server's answer holds no Result") from None


def _image_path(identity: str) -> str:
    return f"/images/{quote(identity, safe='')}"


def _data_uri(picture: Picture) -> str:
    data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    return f"data:image/any;base64,{base64.b64encode(data).decode()}"


def _escape_file_name(name: str) -> str:  # escapes a name as browsers do in multipart/form-data (WHATWG)
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _server_error(response: http.client.HTTPResponse, body: bytes) -> ServerError:
    if response.status < 400:
        return ForeignServer(f"the server there redirects to {response.headers.get('Location')}")
    try:
        problem = json.loads(body)
        error = problem.get("error")  # below /v1/, errors have the form of OpenAI's API
        message = str(error["message"]) if error else f"{problem['title']}: {problem['detail']}"
    # a body that is not JSON, such as a proxy's error page, is quoted
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = body[:200].decode("utf-8", "replace")
    retry_after = response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdigit() else None
    return ServerError(message, status=response.status, retry_after=seconds)
