"""Published models as model folders: `make_model_folder` loads one with its own library and writes it down.

`make_trainable` saves AraCLIP as published as an AraCLIPModel in place of that. The needed packages are those of the
extra `peers`; a model folder needs none of them.
"""

from araclip.peers.pull.engine import make_model_folder
from araclip.peers.pull.trainable import Trainable, make_trainable

__all__ = ["Trainable", "make_model_folder", "make_trainable"]
