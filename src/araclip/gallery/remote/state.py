"""The state of a gallery on a server: model and generation."""

from dataclasses import dataclass

from araclip.encoder import Encoder
from araclip.errors import WidthMismatch
from araclip.gallery.recorded_model import RecordedModel


@dataclass(frozen=True)
class State:
    """A gallery's model and current generation. `birth` is a random token of its creation; `writer` that of a lease."""

    model: RecordedModel
    birth: str
    number: int
    writer: str = ""

    @property
    def generation(self) -> str:
        """A token: equal tokens, equal content."""
        return f"{self.birth}-{self.number}"

    def check(self, model: Encoder, name: str) -> None:
        """Refuse another model.

        Raises:
            WidthMismatch: the vectors are another model's.
        """
        if (self.model.fingerprint, self.model.width) != (model.fingerprint, model.width):
            raise WidthMismatch(
                f"gallery {name} holds {self.model.width}-wide vectors of {self.model.label}, but "
                f"{model.name}@{model.fingerprint} makes {model.width}-wide ones. Use that model (without --model "
                "it is found by itself), index into another gallery, or run `araclip index --reembed` to encode "
                "this one again."
            )
