"""AraCLIP: type Arabic, find pictures.

>>> from araclip import AraCLIP, Gallery
>>> model = AraCLIP.load()                       # a name, a path or an encoder
>>> model.encode_text("قطة على طاولة").shape     # a list of n texts gives (n, 512)
(512,)
>>> with Gallery.open("my-gallery", model=model, create=True) as gallery:
...     gallery.update(["~/Pictures"])
...     hits = gallery.search("غروب الشمس فوق البحر", k=5)

- AraCLIP: a model that encodes texts and pictures; `AraCLIP.load` also loads models of other projects.
- Gallery: a searchable index of pictures in a folder. open_gallery opens a gallery in a folder or in PostgreSQL.
- Hit: a picture that a search found. Filters: conditions that the found pictures must fulfil.
- Client: searches over HTTP in a gallery that `araclip serve` serves.
- AraCLIPModel, AraCLIPProcessor, AraCLIPTokenizer, AraCLIPConfig: the PyTorch model for training, with the interface of
  transformers.
- AraCLIPError: the base class of all errors. normalize: writes Arabic text in the form that the models are trained on.

Names are imported when first used: `import araclip` alone loads neither NumPy nor ONNX Runtime nor torch nor
transformers. transformers' `AutoModel` and `AutoProcessor`, and sentence-transformers, load saved AraCLIP models after
`from araclip import AraCLIPModel`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from araclip.client import Client
    from araclip.errors import AraCLIPError
    from araclip.gallery.catalog.filters import Filters
    from araclip.gallery.gallery import Gallery
    from araclip.gallery.open import open_gallery
    from araclip.gallery.results import Hit
    from araclip.models.encoder import AraCLIP
    from araclip.text.normalization import normalize
    from araclip.training.model.auto_classes import AraCLIPModel, AraCLIPProcessor, AraCLIPTokenizer
    from araclip.training.model.configuration import AraCLIPConfig

__version__ = "0.1.0"

_HOME = {
    "AraCLIP": "araclip.models.encoder",
    "AraCLIPConfig": "araclip.training.model.configuration",
    "AraCLIPModel": "araclip.training.model.auto_classes",
    "AraCLIPProcessor": "araclip.training.model.auto_classes",
    "AraCLIPTokenizer": "araclip.training.model.auto_classes",
    "AraCLIPError": "araclip.errors",
    "Client": "araclip.client",
    "Filters": "araclip.gallery.catalog.filters",
    "Gallery": "araclip.gallery.gallery",
    "Hit": "araclip.gallery.results",
    "normalize": "araclip.text.normalization",
    "open_gallery": "araclip.gallery.open",
}
# deprecated names, which still work with a warning: old name → (new name, first release without the old name)
_RENAMED = {"AraclipError": ("AraCLIPError", "0.3")}
__all__ = [
    "AraCLIP",
    "AraCLIPConfig",
    "AraCLIPError",
    "AraCLIPModel",
    "AraCLIPProcessor",
    "AraCLIPTokenizer",
    "Client",
    "Filters",
    "Gallery",
    "Hit",
    "__version__",
    "normalize",
    "open_gallery",
]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        import warnings

        new, until = _RENAMED[name]
        text = f"araclip.{name} is now araclip.{new}; AraCLIP {until} no longer has the old name. Use the new one."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        name = new
    if name not in _HOME:
        raise AttributeError(f"module 'araclip' has no attribute {name!r}. It has: {', '.join(__all__)}.")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name in ("torch", "transformers", "safetensors"):
            raise ImportError(f"araclip.{name} needs {error.name}. Run: pip install 'araclip[train]'") from error
        raise


def __dir__() -> list[str]:
    return sorted(__all__)
