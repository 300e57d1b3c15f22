"""Facts from a picture's header: what filters ask for and what is shown beside it."""

from dataclasses import dataclass

from PIL import ExifTags, Image

from araclip.photo_metadata.embedded import embedded_metadata
from araclip.photo_metadata.record import PhotoMetadata
from araclip.picture_limits.upright import ROTATED
from araclip.pictures.captions import embedded_caption


@dataclass(frozen=True)
class Facts:
    """A format, one of `picture_formats.kinds.FORMATS`; width and height in pixels of the upright picture; date,
    camera, lens and place as in `PhotoMetadata`; embedded titles, descriptions and keywords.
    """

    format: str
    width: int
    height: int
    captured_at: str | None
    caption: str = ""
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None

    @property
    def photo(self) -> PhotoMetadata:
        """Date, camera, lens and place."""
        return PhotoMetadata(self.captured_at, self.camera, self.lens, self.latitude, self.longitude, self.place)


def facts_of(image: Image.Image, size: tuple[int, int]) -> Facts:
    """The facts of an opened picture whose header claims this width and height; damaged blocks are ignored."""
    width, height = image.info.get("full_size", size)
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) in ROTATED:
            width, height = height, width
    except Exception:  # Pillow raises anything on a damaged block, which is ignored
        pass
    kind, photo = image.format or "PNG", embedded_metadata(image)
    return Facts(
        "JPEG" if kind == "MPO" else kind, width, height, photo.captured_at, embedded_caption(image),
        photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place,
    )  # fmt: skip
