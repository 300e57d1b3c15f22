"""Recall of a model folder on a picture set, with the exported ONNX files.

    python benchmarks/retrieval.py --data FLICKR8K_FOLDER [--model araclip-mini] [--split dev]

Protocol: every caption of the field is a query over all pictures of the split; the one picture it was written for
counts (any-hit); ties at their expected rank.
"""

import argparse
import json
from pathlib import Path

from araclip import AraCLIP
from araclip.evaluation.datasets import read_pictures
from araclip.evaluation.retrieval import retrieval

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--split", default="dev")
parser.add_argument("--arabic", default="caption_ar")
parser.add_argument("--english", default="caption_en")
args = parser.parse_args()

model = AraCLIP.load(args.model)
pictures = read_pictures(args.data, (args.english,), (args.arabic,), args.split)
print(f"{model.config.label} on {args.data.name} {args.split}")
for language, caption_field in (("arabic", args.arabic), ("english", args.english)):
    result = retrieval(model, pictures, language)
    print(f"{language} ({caption_field}): {result['n_queries']} queries, {result['n_images']} pictures")
    for direction in ("t2i", "i2t"):
        print(f"  {direction} ", json.dumps({k: round(v, 4) for k, v in result[direction].items()}))
