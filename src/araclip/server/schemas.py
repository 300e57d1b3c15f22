"""Requests and responses of the HTTP API, as OpenAPI describes them."""

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from araclip.gallery.plan import PARTS, QueryPart
from araclip.gallery.query import MAX_TERMS, MAX_WEIGHT
from araclip.gallery.results import TEXT_WEIGHT, Album, Listed, Month, Place, QueryInterpretation, Result, Suggestion
from araclip.gallery.text_matches import MAX_TEXT_WEIGHT

Identity = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)]
TextWeight = Annotated[float, Field(ge=0, le=MAX_TEXT_WEIGHT, allow_inf_nan=False)]
Sort = Annotated[
    Literal["relevance", "date", "oldest"],
    Field(
        description="date: those that fit, the newest first (oldest: the oldest); the weak ones are left out, unless "
        "nothing fits."
    ),
]
Where = Annotated[str, StringConstraints(max_length=300)]
MAX_OFFSET = 10_000
MAX_WHERE = 20
MAX_INPUTS = 2048  # limit: entries of a request to /v1/embeddings, as in OpenAI's API
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Like(_Request):
    """A picture of the gallery that a query combines with its texts and other pictures, by `weight`."""

    id: Identity
    weight: Weight = 1.0


class SentPicture(_Request):
    """An uploaded picture (base64 data URI) that a query combines with its texts and other pictures, by `weight`."""

    data: Annotated[str, StringConstraints(pattern=r"^data:image/[a-z+.-]+;base64,")]
    weight: Weight = 1.0


class SearchOptions(BaseModel):
    """The options that every search over HTTP takes."""

    k: int = Field(default=24, ge=1)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)
    where: list[Where] = Field(default=[], max_length=MAX_WHERE, description="KEY=VALUE, as araclip search takes it.")
    threshold: float = Field(default=0.0, ge=0, le=1)
    collapse: Literal["near"] | None = Field(default=None, description="Of near-duplicates, the best only.")
    text_weight: TextWeight = Field(default=TEXT_WEIGHT, description="How much words in the pictures' texts count.")
    sort: Sort = "relevance"
    literal: bool = Field(default=False, description="Take the words as they are typed.")
    ignore: list[QueryPart] = Field(default=[], max_length=len(PARTS), description="Parts taken as they are typed.")


class TextSearch(SearchOptions):
    """A search by text."""

    q: str = Field(description="The query; docs/queries.md is its grammar.")


class PictureSearch(SearchOptions):
    """A search by an uploaded picture, and by a text if `q` is not empty."""

    file: UploadFile = Field(description="The picture to look for.")
    q: str = ""


class SearchRequest(SearchOptions):
    """A query. `q` may be empty if `like` or `pictures` is given."""

    model_config = ConfigDict(extra="forbid")

    q: str = ""
    like: list[Like] = Field(default_factory=list, max_length=MAX_TERMS)
    pictures: list[SentPicture] = Field(default_factory=list, max_length=4)


class SearchAnswer(BaseModel):
    """A page of results; best first, or by date with `sort`."""

    query: str
    results: list[Result]
    offset: int
    more: bool
    passing: int = Field(description="How many pictures pass the filters, with those of the query's words.")
    nothing_found: bool = Field(description="There are no results, or the first row says that nothing fits.")
    away: bool = Field(default=False, description="No result, for the pictures' files cannot be found now.")
    took_ms: float
    generation: str
    interpretation: QueryInterpretation | None = Field(default=None, description="How its words were understood.")


class PictureText(BaseModel):
    """A caption of a picture, or the text that OCR read in it. It is untrusted: escape it for display."""

    field: str = Field(description="captions (embedded in the file or beside it) or ocr (letters in the picture).")
    text: str


class SameFile(BaseModel):
    """A file with the same bytes; `path` is null where paths are not shown."""

    name: str
    folder: str
    path: str | None


class NearAnswer(BaseModel):
    """The near-duplicates of a picture, the most similar first."""

    results: list[Result]


class SuggestionsAnswer(BaseModel):
    """Suggested queries: the typed text with its last word completed; names and queries with words that begin so."""

    suggestions: list[Suggestion]


class Details(BaseModel):
    """Details of a picture; `path` is null where paths are not shown."""

    id: str
    name: str
    path: str | None
    folder: str
    width: int | None
    height: int | None
    format: str | None
    bytes: int
    time: float | None = Field(default=None, description="Of a scene in a video, seconds from its start; else null.")
    captured_at: str | None
    captured_by_name: bool = Field(default=False, description="The date stands in the file's name alone.")
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = Field(default=None, description="Degrees, WGS 84.")
    longitude: float | None = None
    place: str | None = Field(
        default=None, description="As the file names it · by its coordinates, in Arabic · in English."
    )
    hidden: bool = Field(default=False, description="Left out of results; `where=hidden=yes` finds it.")
    added: str | None
    metadata: dict[str, Any]
    copies: list[str]
    files: list[SameFile] = Field(
        default_factory=list, description="Further files with the same bytes: `copies`, told where."
    )
    texts: list[PictureText] = Field(default_factory=list, description="Its captions, and the letters seen in it.")


class Stats(BaseModel):
    """Statistics of the gallery, and the caller's rights."""

    pictures: int
    files: int
    model: str
    width: int
    formats: dict[str, int]
    reads: list[str] = Field(description="Formats of pictures that this server reads.")
    folders: list[str]
    captured_at: list[str] | None = Field(description="First and last EXIF date.")
    generation: str
    uploads: bool
    writable: bool
    can: list[str] = Field(description="hide, paths: what else this caller may do with pictures.")
    examples: list[str] = Field(description="Arabic queries that suit the gallery's pictures.")
    examples_en: list[str] = Field(default_factory=list, description="The same in English.")


class SessionRequest(_Request):
    """A token, to be exchanged for a cookie."""

    token: Annotated[str, StringConstraints(max_length=1000)]


class Session(BaseModel):
    """The answer to a token: the token's scopes, and for how many seconds the cookie in this answer is valid."""

    scopes: list[str]
    expires_in: int


class Health(BaseModel):
    """The server's health."""

    status: str


class ProblemDetails(BaseModel):
    """Problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


# ------------------------------------------------------------------ browsing


class TimelineAnswer(BaseModel):
    """The months that have pictures, the newest first, pictures without a date last."""

    pictures: int
    months: list[Month]
    generation: str


class PicturesAnswer(BaseModel):
    """A page of the pictures that pass the filters, the newest first."""

    results: list[Listed]
    offset: int
    pictures: int = Field(description="How many pass.")
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    generation: str


class AlbumName(BaseModel):
    """The key and the name of an album."""

    key: str
    name: str


class FoldersAnswer(BaseModel):
    """The albums inside one album, or the albums at the top, sorted by name."""

    trail: list[AlbumName] = Field(description="The album asked for, after those above it; empty at the top.")
    pictures: int = Field(description="Directly in the album asked for.")
    albums: list[Album]
    more: bool
    generation: str


class PlacesAnswer(BaseModel):
    """Pictures with a known place, grouped by cells of a grid or by town; at most 2,000 groups, the largest first."""

    pictures: int = Field(description="How many pictures these groups have together.")
    places: list[Place]
    generation: str


# ------------------------------------------------------------------ for clients of OpenAI's API and for Immich


class EmbeddingsRequest(BaseModel):
    """Texts, and pictures as data URIs, in the form of OpenAI's embeddings API; unknown fields are ignored.

    `model` may name any model: the server has only one, and its answer names that one.
    """

    input: NonEmpty | Annotated[list[NonEmpty], Field(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The model's width, or a shorter prefix that it was trained for (Matryoshka)."
    )
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """Return `value` if it is a text or a list of texts; otherwise raise an error with one clear reason.

        Pydantic's own check of the union `str | list[str]` would report one error for each type of the union.
        """
        if isinstance(value, list) and not value:
            raise PydanticCustomError("empty_input", "the list is empty. Send at least one text")
        entries = value if isinstance(value, list) else [value]
        if len(entries) > MAX_INPUTS:
            raise PydanticCustomError(
                "too_many_inputs", "the list has {count} entries, the most is {most}. Send several requests",
                {"count": len(entries), "most": MAX_INPUTS},
            )  # fmt: skip
        for number, entry in enumerate(entries):
            if isinstance(entry, int | list) and not isinstance(entry, bool):
                raise PydanticCustomError(
                    "token_ids",
                    "token ids are not taken, since every model has its own. Send the texts themselves (in LangChain: "
                    "OpenAIEmbeddings(check_embedding_ctx_length=False))",
                )
            if not isinstance(entry, str):
                raise PydanticCustomError("no_text", "entry {number} is no text", {"number": number})
            if not entry:
                raise PydanticCustomError("empty_text", "entry {number} is an empty text", {"number": number})
        return value


class Embedding(BaseModel):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Number of tokens encoded."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """The model of this server."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When the server was started, in seconds since 1970.")
    owned_by: str = "araclip"


class Models(BaseModel):
    """The answer that lists models, in the form of OpenAI's API: a list with the server's only model."""

    object: Literal["list"] = "list"
    data: list[Model]


class Prediction(BaseModel):
    """The answer to Immich's `POST /predict`."""

    clip: str = Field(description="The vector, a JSON array as a string.")
    imageHeight: int | None = None  # noqa: N815  (Immich's names)
    imageWidth: int | None = None  # noqa: N815


class OpenAIError(BaseModel):
    """An error in the form of OpenAI's API."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrors(BaseModel):
    """The body of an error response below /v1/."""

    error: OpenAIError
