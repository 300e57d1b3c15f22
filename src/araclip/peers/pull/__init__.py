"""Published models as model folders: `make_model_folder` loads one with its own library and writes it down.

The needed packages are those of the extra `peers`; the folder needs none of them.
"""

from araclip.peers.pull.engine import make_model_folder

__all__ = ["make_model_folder"]
