"""How often the name of an ImageNet class finds a photograph of it, among photographs held out of all training.

    python benchmarks/class_names.py --data DATA --held WORK/data/nips17-held/captions.jsonl [--model araclip-mini]

Protocol: every class name that occurs is a query, without a prompt, over all pictures of the list; any picture of the
class is relevant. Ties at their expected rank. `recipes/mini_data.py` writes the list: every fourth picture of DATA's
more/nips17_ccby (CC BY 2.0), which no recipe trains on; araclip-mini 1, older than the list, was trained on them.
"""

import argparse
import json
from pathlib import Path

from by_name import table

from araclip import AraCLIP

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True, help="the folder that holds more/nips17_ccby")
parser.add_argument("--held", type=Path, required=True, help="captions.jsonl of the test pictures")
parser.add_argument("--model", default="araclip-mini")
args = parser.parse_args()

model = AraCLIP.load(args.model)
rows = [json.loads(line) for line in args.held.read_text(encoding="utf-8").splitlines()]
pictures = [args.data / "more" / "nips17_ccby" / "images" / Path(row["image"]).name for row in rows]
names = {"arabic": [row["class_ar"] for row in rows], "english": [row["label"] for row in rows]}
print(f"{model.config.label}, photographs of ImageNet's classes by name")
print(*table(model, pictures, names), sep="\n")
