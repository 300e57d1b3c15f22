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
    from araclip.encoder import AraCLIP
    from araclip.errors import AraCLIPError
    from araclip.gallery.gallery import Gallery
    from araclip.text.normalization import normalize
    from araclip.training.model.configuration import AraCLIPConfig
    from araclip.training.model.model import AraCLIPModel
    from araclip.training.model.processing import AraCLIPProcessor

__version__ = "0.1.0"

_HOME = {
    "AraCLIP": "araclip.encoder",
    "AraCLIPConfig": "araclip.training.model.configuration",
    "AraCLIPModel": "araclip.training.model.model",
    "AraCLIPProcessor": "araclip.training.model.processing",
    "AraCLIPError": "araclip.errors",
    "Gallery": "araclip.gallery.gallery",
    "normalize": "araclip.text.normalization",
}
__all__ = [
    "AraCLIP",
    "AraCLIPConfig",
    "AraCLIPError",
    "AraCLIPModel",
    "AraCLIPProcessor",
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
