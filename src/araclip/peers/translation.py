"""The baseline that needs no Arabic model: translate the query into English, then ask an English one."""

from collections.abc import Callable, Iterable
from importlib import import_module

from araclip.encoder import IMAGE_BATCH, TEXT_BATCH, AraCLIP, Encoder, Picture, Vectors, checked_texts
from araclip.errors import InputError
from araclip.peers.loading import KINDS, Request

Translate = Callable[[str], str]


class Translated:
    """An encoder whose texts pass `translate` first; pictures are those of the encoder.

    Args:
        translate: any function from a text to a text. name: what it is called in labels; by default its own name.
    """

    def __init__(self, encoder: Encoder, translate: Translate, name: str | None = None) -> None:
        self.encoder, self.translate = encoder, translate
        self.name = name or getattr(translate, "__name__", type(translate).__name__)

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.encoder.width

    @property
    def label(self) -> str:
        """The translator's name and the encoder's label."""
        return f"{self.name}+{self.encoder.label}"

    @property
    def license(self) -> str | None:
        """Of the encoder's weights; the translator's is not known here."""
        return self.encoder.license

    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Texts → (n, D) float32 of unit length, in the order given, each translated first.

        Raises:
            InputError: `texts` is one string, or holds something that is not a string, or the translator returned such.
        """
        english = (self._translated(text) for text in checked_texts(texts))
        return self.encoder.encode_text(english, batch_size=batch_size)

    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Paths or PIL pictures → (n, D) float32 of unit length, as the encoder makes them."""
        return self.encoder.encode_image(pictures, batch_size=batch_size)

    def _translated(self, text: str) -> str:
        english: object = self.translate(text)
        if not isinstance(english, str):
            raise InputError(f"{self.name} translated {text!r:.80} to a {type(english).__name__}, expected a string.")
        return english


def load(asked: Request) -> Translated:
    """`MODULE:FUNCTION/MODEL`: a function that can be imported, and any model that `AraCLIP.load` takes.

    Raises:
        InputError: there is no such function.
        ModelNotFound, ModelMismatch: the model cannot be loaded.
    """
    function, _, model = asked.place.partition("/")
    module, _, name = function.partition(":")
    if not (module and name and model):
        raise InputError(f"'{asked.name}' does not name a function and a model. Expected {KINDS['translate'].way}.")
    try:
        translate = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{function} cannot be imported ({error}). Name a module on Python's path.") from error
    return Translated(AraCLIP.load(model, threads=asked.threads, device=asked.device), translate, function)
