"""AraCLIP: type Arabic, find pictures.

>>> from araclip import AraCLIP, Gallery
>>> model = AraCLIP.load()
>>> model.encode_text(["قطة على طاولة"]).shape
(1, 384)

Names are imported when first used: `import araclip` alone loads neither ONNX Runtime nor torch nor transformers.
Whoever uses transformers beside it finds AraCLIP's models there, through `AutoModel` and `AutoProcessor`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from araclip import registration

if TYPE_CHECKING:
    from araclip.arabic import normalize
    from araclip.encoder import AraCLIP
    from araclip.errors import AraclipError
    from araclip.gallery.gallery import Gallery
    from araclip.training.configuration import AraCLIPConfig
    from araclip.training.model import AraCLIPModel
    from araclip.training.processing import AraCLIPProcessor

__version__ = "0.1.0"

_HOME = {
    "AraCLIP": "araclip.encoder",
    "AraCLIPConfig": "araclip.training.configuration",
    "AraCLIPModel": "araclip.training.model",
    "AraCLIPProcessor": "araclip.training.processing",
    "AraclipError": "araclip.errors",
    "Gallery": "araclip.gallery.gallery",
    "normalize": "araclip.arabic",
}
__all__ = [
    "AraCLIP",
    "AraCLIPConfig",
    "AraCLIPModel",
    "AraCLIPProcessor",
    "AraclipError",
    "Gallery",
    "__version__",
    "normalize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'araclip' has no attribute {name!r}. It has: {', '.join(__all__)}.")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


registration.install()
