"""Makes transformers know AraCLIP's classes once `araclip` is imported, at no cost to those who use no transformers.

`AutoConfig`, `AutoModel` and `AutoProcessor` find foreign classes only after these were registered, and registering
imports transformers, which takes seconds. So `install` waits: a finder on `sys.meta_path` notices when transformers
loads the module with one of its registries, lets it load as usual, and then imports our module that registers itself
there. When all registries are served the finder takes itself off. Registries that are loaded already are served at
once. (The model's class is registered by the first `AraCLIPConfig`, see there.)
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_AUTO = "transformers.models.auto"
_REGISTRIES = {
    f"{_AUTO}.configuration_auto": "araclip.training.model.configuration",
    f"{_AUTO}.processing_auto": "araclip.training.model.processing",
}
_waiting = dict(_REGISTRIES)


def install() -> None:
    """Register now what can be, the rest when transformers is imported; calling it again changes nothing."""
    for registry in list(_waiting):
        if _is_loaded(registry):
            _serve(registry)
    if _waiting and not any(finder is _FINDER for finder in sys.meta_path):
        sys.meta_path.insert(0, _FINDER)


def _is_loaded(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _serve(registry: str) -> None:
    ours = _waiting.pop(registry, None)  # atomic, so of two threads one serves
    if not _waiting:  # a new list: a thread that walks the old one must not skip its neighbour
        sys.meta_path = [finder for finder in sys.meta_path if finder is not _FINDER]
    if ours is None:
        return
    try:
        import_module(ours)
    except ImportError as error:  # a transformers too old or too new must go on working for everyone else
        warnings.warn(f"transformers will not load AraCLIP models: {error}", ImportWarning, stacklevel=2)


class _Finder:
    """Finds the registries like everyone else and puts `_Loader` around their loaders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a registry with its own loader, gives it back to it, and serves it."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def create_module(self, spec: "ModuleSpec") -> ModuleType | None:
        module: ModuleType | None = self.own.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.own
        if module.__spec__ is not None:
            module.__spec__.loader = self.own
        self.own.exec_module(module)
        _serve(module.__name__)


_FINDER: Any = _Finder()
