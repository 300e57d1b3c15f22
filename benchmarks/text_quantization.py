"""Effect of quantized weights on the text tower of a trained model: cosine to float32, time, size.

    python benchmarks/text_quantization.py runs/mini/finetune --data FLICKR8K    (extra train)

Compares, on the first 64 English and 64 Arabic captions of the dev split: float32; weights stored as int8 and computed
in float32 (what `araclip export` writes); dynamic int8 with seven and with eight bits (ONNX Runtime).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from araclip.encoder_base import usable_cores
from araclip.evaluation.picture_sets.datasets import read_pictures
from araclip.training.export.export import model_of
from araclip.training.export.quantize import store
from araclip.training.export.tower_graphs import write_text_graph
from araclip.training.model.saved_models import load_model

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=Path)
parser.add_argument("--data", type=Path, required=True)
arguments = parser.parse_args()

model, processor = load_model(model_of(arguments.run))
pictures = read_pictures(arguments.data, ("caption_en",), ("caption_ar",), "dev")[:64]
texts = [p.english[0] for p in pictures] + [p.arabic[0] for p in pictures]
batches = [processor(text=texts[start : start + 32], return_tensors="np") for start in range(0, len(texts), 32)]
feeds = [{name: batch[name].astype(np.int64) for name in ("input_ids", "attention_mask")} for batch in batches]
one = {name: array[:1] for name, array in feeds[0].items()}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = usable_cores()


def milliseconds(session: onnxruntime.InferenceSession, inputs: list[dict[str, np.ndarray]], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        for feed in inputs:
            session.run(None, feed)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


with tempfile.TemporaryDirectory() as folder:
    full, narrow = Path(folder) / "float32.onnx", Path(folder) / "stored as int8.onnx"
    write_text_graph(model.eval(), full)
    store(full, narrow, "int8")
    files = [full, narrow]
    for bits, reduced in ((7, True), (8, False)):
        files.append(Path(folder) / f"dynamic int8, {bits} bits.onnx")
        quantize_dynamic(
            full, files[-1], op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, reduce_range=reduced,
            weight_type=QuantType.QInt8,
        )  # fmt: skip
    reference = None
    for file in files:
        session = onnxruntime.InferenceSession(str(file), options)
        vectors = np.concatenate([session.run(None, feed)[0] for feed in feeds])
        reference = vectors if reference is None else reference
        cosine = (vectors * reference).sum(axis=1)
        print(
            f"{file.stem:22} cosine mean {cosine.mean():.4f} min {cosine.min():.4f}   "
            f"{milliseconds(session, feeds, 5) / len(texts):5.1f} ms a text in batches of 32, "
            f"{milliseconds(session, [one], 20):5.1f} ms alone   {file.stat().st_size / 1e6:5.1f} MB"
        )
