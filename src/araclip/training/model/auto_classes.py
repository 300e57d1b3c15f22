"""Registers AraCLIPModel, AraCLIPProcessor and AraCLIPTokenizer with transformers' Auto classes.

`from araclip import AraCLIPModel`, or one of the other two, imports this module. From then on the Auto classes,
pipelines and sentence-transformers load saved folders. Each class registers itself in the module that defines it.
`from araclip import AraCLIPConfig` registers only the configuration, and works without torch.
"""

from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor, AraCLIPTokenizer

__all__ = ["AraCLIPModel", "AraCLIPProcessor", "AraCLIPTokenizer"]
