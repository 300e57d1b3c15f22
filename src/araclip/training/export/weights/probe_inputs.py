"""What a way to store weights is tried on: real captions and pictures, as inputs of a model folder's graphs.

Captions are this project's own. Pictures are those of a dev set or a folder, or else the photographs of the demo extra,
or, without it, drawn shapes.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.gallery.reference_queries import EVERYDAY
from araclip.demo import PHOTOGRAPHS
from araclip.images import SUFFIXES
from araclip.model_folder import ModelConfig
from araclip.towers import Tokens, padded
from araclip.training.export.weights.choice import Probes
from araclip.training.model.parity import probe_squares

CAPTIONS = 48
PICTURES = 8  # a vision transformer at 512 pixels takes seconds for each
CALIBRATION = 128  # pictures of a folder that static-int8 measures its ranges on
_TEXT_BATCH, _IMAGE_BATCH = 16, 4
_LARGE = 384  # pixels a side, from which on a picture alone is as fast as several at once
