"""AraCLIPModel, AraCLIPProcessor and AraCLIPTokenizer, registered with transformers' Auto classes.

`from araclip import AraCLIPModel`, or any of the three, imports this module, so that afterwards the Auto classes,
pipelines, and sentence-transformers through them, load saved folders. Each class registers itself where it is defined;
`from araclip import AraCLIPConfig` alone registers only the configuration, and works without torch.
"""

from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor, AraCLIPTokenizer

__all__ = ["AraCLIPModel", "AraCLIPProcessor", "AraCLIPTokenizer"]
