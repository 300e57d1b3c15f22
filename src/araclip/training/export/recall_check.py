"""The check of an export that small weights cost next to no recall.

The other check, that the float32 graphs give the trained model's vectors, is `parity.check_parity`.
"""

from dataclasses import dataclass
from typing import Any

from araclip.encoder import AraCLIP
from araclip.errors import DataError, ExportRejected, InputError
from araclip.evaluation.metrics import summary
from araclip.evaluation.picture_sets.datasets import CaptionedPicture, PictureSet, read_pictures
from araclip.evaluation.retrieval import evaluate
from araclip.training.recipe.stages import DevSet

MAX_LOSS = 0.005  # of R@1, by storing weights small


@dataclass(frozen=True)
class DevPictures:
    """A dev set as an export measures it: every caption a query, in each language that has some."""

    name: str
    pictures: list[CaptionedPicture]
    languages: tuple[str, ...]  # `check_recall` compares recall in the first

    @classmethod
    def read(cls, spec: DevSet) -> "DevPictures":
        """The set's pictures; a caption field whose name contains `_en` is English, any other Arabic.

        Raises:
            InputError: the folder has no captions.jsonl.
            DataError: no picture of the split has a caption.
        """
        english = tuple(field for field in spec.captions if "_en" in field) or ("caption_en",)
        arabic = tuple(field for field in spec.captions if "_en" not in field)
        try:
            pictures = read_pictures(spec.folder, english, arabic, spec.split, images=spec.images)
        except InputError as error:
            raise InputError(f"the dev set cannot be read: {error} Name another with --dev.") from error
        fields = {"arabic": arabic, "english": english}
        languages = tuple(name for name in fields if any(getattr(picture, name) for picture in pictures))
        if not languages:
            raise DataError(
                f"{spec.folder} (split {spec.split}) has no caption in {', '.join(arabic + english)}: nothing to "
                "measure. Name another dev set with --dev."
            )
        fields_used = " / ".join(field for name in languages for field in fields[name])
        split = f" {spec.split}" if spec.split else ""
        name = f"{spec.folder.name}{split}, {len(pictures):,} pictures, every {fields_used} a query, any-hit"
        return cls(name, pictures, languages)

    def measure(self, model: AraCLIP, *, all_languages: bool) -> dict[str, Any]:
        """`summary` of both directions, `n_queries` and `n_images`, in the first language or in all, by language."""
        paths = tuple(picture.path for picture in self.pictures)
        vectors = model.encode_image(paths)  # (N, D)
        measured = {}
        for language in self.languages if all_languages else self.languages[:1]:
            captions = tuple(getattr(picture, language) for picture in self.pictures)
            found = evaluate(model, PictureSet(self.name, None, language, paths, captions), image_vectors=vectors)
            measured[language] = {
                "t2i": summary(found.t2i.ranks),
                "i2t": summary(found.i2t.ranks),
                "n_queries": len(found.queries),
                "n_images": len(paths),
            }
        return measured

    def r1(self, measured: dict[str, Any]) -> float:
        """R@1, text → picture, in the language that `check_recall` compares."""
        return float(measured[self.languages[0]]["t2i"]["R@1"])


def check_recall(dev: DevPictures, full: float, stored: float, weights: str) -> None:
    """Refuse small weights that lose more than MAX_LOSS of dev R@1.

    Raises:
        ExportRejected: they do; both numbers are named.
    """
    if not full - stored <= MAX_LOSS + 1e-9:
        raise ExportRejected(
            f"weights stored as {weights} cost too much: R@1 is {full:.4f} in float32 and {stored:.4f} stored "
            f"({(full - stored) * 100:.2f} points lost, {MAX_LOSS * 100} is the most) on {dev.name}. "
            "Export with --weights float32."
        )
