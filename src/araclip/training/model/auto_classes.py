"""AraCLIPModel and AraCLIPProcessor, registered with transformers' AutoConfig, AutoModel and AutoProcessor.

`from araclip import AraCLIPModel` and `from araclip import AraCLIPProcessor` import this module, so that after either
the Auto classes, and sentence-transformers through them, load saved folders. Each class registers itself where it is
defined; `from araclip import AraCLIPConfig` alone registers only the configuration, and works without torch.
"""

from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor

__all__ = ["AraCLIPModel", "AraCLIPProcessor"]
