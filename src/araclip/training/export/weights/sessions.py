"""Graphs opened on ONNX Runtime, to be measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from araclip.encoder_base import usable_cores

Feed = Mapping[str, NDArray[Any]]  # inputs by name
_ERROR = 3  # ONNX Runtime's severity; warnings speak of optimisations


def opened(path: Path, threads: int | None = None) -> Any:
    """An ONNX Runtime session of a graph on the CPU; None takes every usable core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
