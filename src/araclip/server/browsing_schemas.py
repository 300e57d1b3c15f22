"""Answers of the routes that browse: timeline, pictures, albums, places."""

from pydantic import BaseModel, Field


class MonthCount(BaseModel):
    """A month, and how many pictures were taken in it."""

    month: str | None = Field(description="YYYY-MM; null for pictures without a date.")
    pictures: int


class TimelineAnswer(BaseModel):
    """The months that have pictures, the newest first, pictures without a date last."""

    pictures: int
    months: list[MonthCount]
    generation: str


class Listed(BaseModel):
    """A picture of a list."""

    id: str
    name: str
    folder: str
    width: int | None
    height: int | None
    captured_at: str | None
    placeholder: str | None
    copies: int = Field(description="Number of further files with the same bytes.")
    time: float | None = Field(default=None, description="Of a scene in a video, seconds from its start; else null.")


class PicturesAnswer(BaseModel):
    """A part of the pictures that pass, the newest first."""

    results: list[Listed]
    offset: int
    pictures: int = Field(description="How many pass.")
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    generation: str


class AlbumAnswer(BaseModel):
    """A folder that holds pictures, or folders with pictures."""

    key: str = Field(description="For `where=album=KEY`, and for `in` of this route.")
    name: str
    pictures: int = Field(description="In it and below it.")
    albums: int = Field(description="Albums directly in it.")
    cover: str | None = Field(description="The id of its newest picture.")


class AlbumName(BaseModel):
    """An album above others."""

    key: str
    name: str


class FoldersAnswer(BaseModel):
    """The albums in an album, or at the top, by name."""

    trail: list[AlbumName] = Field(description="The album asked for, after those above it; empty at the top.")
    pictures: int = Field(description="Directly in the album asked for.")
    albums: list[AlbumAnswer]
    more: bool
    generation: str


class Place(BaseModel):
    """Pictures that were taken near each other."""

    latitude: float = Field(description="Their mean.")
    longitude: float
    pictures: int
    cover: str | None = Field(description="The id of the newest.")
    box: tuple[float, float, float, float] = Field(description="South, west, north, east; for `where=box=…`.")


class PlacesAnswer(BaseModel):
    """Pictures with a place, gathered in the cells of a grid, the fullest first."""

    known: bool = Field(description="False where the gallery does not store places.")
    pictures: int = Field(description="How many have a place.")
    places: list[Place]
    generation: str
