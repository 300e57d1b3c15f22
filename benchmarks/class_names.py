"""How often the name of an ImageNet class finds a photograph of it, among photographs held out of all training.

    python benchmarks/class_names.py --data DATA --held WORK/data/nips17-held/captions.jsonl [--model araclip-mini]
        [--among WORK/data/nips17-train/captions.jsonl]

Protocol: every class name that occurs is a query, without a prompt, over all pictures of the list; any picture of the
class is relevant. Ties at their expected rank. `recipes/mini/data.py` writes the list: every fourth picture of DATA's
more/nips17_ccby (CC BY 2.0), which no recipe trains on; araclip-mini 1, older than the list, was trained on them.
With --among the other three quarters are candidates as well, but for the learned pictures of the class that is asked.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from by_name import table
from everyday_words import any_hit

from araclip import AraCLIP, normalize

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True, help="the folder that holds more/nips17_ccby")
parser.add_argument("--held", type=Path, required=True, help="captions.jsonl of the test pictures")
parser.add_argument("--among", type=Path, help="captions.jsonl of further candidates")
parser.add_argument("--model", default="araclip-mini")
args = parser.parse_args()

model = AraCLIP.load(args.model)


def read(listing: Path) -> tuple[list[Path], list[str], list[str]]:
    """The pictures of a list, and the Arabic and English name of each."""
    rows = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    files = [args.data / "more" / "nips17_ccby" / "images" / Path(row["image"]).name for row in rows]
    return files, [normalize(row["class_ar"]) for row in rows], [row["label"] for row in rows]


pictures, arabic, english = read(args.held)
print(f"{model.config.label}, photographs of ImageNet's classes by name")
print(*table(model, pictures, {"arabic": arabic, "english": english}), sep="\n")
if args.among:
    more, more_arabic, _ = read(args.among)
    asked, names = [*dict.fromkeys(arabic)], np.array(arabic + more_arabic)
    scores = model.encode_text(asked) @ model.encode_image([*pictures, *more]).T
    same, held = np.array(asked)[:, None] == names, np.arange(len(names)) < len(pictures)
    found = any_hit(np.where(same & ~held, -np.inf, scores), same & held)
    shares = "  ".join(f"R@{k} {np.mean(found <= k):.3f}" for k in (1, 5, 10))
    print(f"arabic, {len(asked)} names among {len(names):,} pictures: {shares}  MRR {np.mean(1 / found):.3f}")
