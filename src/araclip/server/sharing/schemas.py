"""Requests and answers of the routes for several pictures: archives, paths, hiding, links."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from araclip.gallery.queries.interpretation import Part
from araclip.server.browsing_schemas import Listed
from araclip.server.schemas import MAX_WHERE, Identity, Where
from araclip.server.sharing.archives import MAX_PICTURES

MAX_DAYS = 365


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Selection(_Request):
    """Pictures of the gallery, by their ids."""

    ids: Annotated[list[Identity], Field(min_length=1, max_length=MAX_PICTURES)]


class Prepared(BaseModel):
    """An archive that can be downloaded for ten minutes."""

    address: str = Field(description="Relative to the server's own.")
    pictures: int
    bytes: int


class Paths(BaseModel):
    """Where pictures lie, in the order asked for; ids without a file are left out."""

    paths: list[str]


class HiddenRequest(Selection):
    """Pictures to hide, or to show again."""

    hidden: bool = True


class HiddenAnswer(BaseModel):
    """How many pictures are hidden now that were not, or the reverse."""

    changed: int


class SharedSearch(_Request):
    """A search that a link shows: words, filters, or both."""

    q: str = ""
    where: list[Where] = Field(default_factory=list, max_length=MAX_WHERE)
    threshold: float = Field(default=0.0, ge=0, le=1)
    collapse: Literal["near"] | None = None
    literal: bool = False
    ignore: list[Part] = Field(default_factory=list, max_length=4)


class ShareRequest(_Request):
    """A search, and for how many days its link shall be good."""

    search: SharedSearch
    days: int = Field(default=7, ge=1, le=MAX_DAYS)


class Share(BaseModel):
    """A link's token: the page at `address` shows its pictures."""

    token: str
    address: str = Field(description="Relative to the server's own.")
    expires: int = Field(description="Seconds since 1970.")
    pictures: int = Field(description="How many it shows now.")


class SharedPicture(BaseModel):
    """A picture that a link shows."""

    id: str
    name: str
    width: int | None
    height: int | None
    captured_at: str | None
    placeholder: str | None

    @classmethod
    def of(cls, listed: Listed) -> "SharedPicture":
        """Without what tells more about the gallery."""
        return cls(**listed.model_dump(include=set(cls.model_fields)))


class SharedAnswer(BaseModel):
    """A part of the pictures of a link."""

    query: str
    results: list[SharedPicture]
    offset: int
    pictures: int
    expires: int
