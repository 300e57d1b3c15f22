"""Recall of a model folder on a picture set, with the exported ONNX files.

    python benchmarks/retrieval.py --data FLICKR8K_FOLDER [--model araclip-mini] [--split dev]

Protocol: every caption of the field is a query over all pictures of the split; the one picture it describes is
relevant (any-hit); ties at their expected rank.
"""

import argparse
import json
from pathlib import Path

from araclip import AraCLIP
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import measures
from araclip.evaluation.sets import read_set

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--split", default="dev")
parser.add_argument("--arabic", default="caption_ar")
parser.add_argument("--english", default="caption_en")
args = parser.parse_args()

model = AraCLIP.load(args.model)
image_vectors = None
print(f"{model.config.label} on {args.data.name} {args.split}")
for language, caption_field in (("arabic", args.arabic), ("english", args.english)):
    pictures = read_set(args.data, caption_field, args.split)
    if image_vectors is None:
        image_vectors = model.encode_image(pictures.pictures)
    found = evaluate(model, pictures, image_vectors=image_vectors)
    protocol = found.protocol
    print(
        f"{language} ({caption_field}): {protocol.n_queries} queries, {protocol.n_images} pictures, "
        f"{found.missing} missing, protocol {protocol.id}"
    )
    for way, direction in (("t2i", found.t2i), ("i2t", found.i2t)):
        print(f"  {way} ", json.dumps({name: round(value, 4) for name, value in measures(direction).items()}))
