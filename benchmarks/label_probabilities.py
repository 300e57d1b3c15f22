"""Calibration of the probabilities of `araclip classify` for several scales of the cosines.

    python benchmarks/label_probabilities.py --data DATA --held WORK/data/nips17-held/captions.jsonl [--model NAME]

Protocol: each photograph of an ImageNet class, held out of all training (see names.py), is classified among its
own class and 2, 9 or all others, drawn at random 20 times. Prints the accuracy of the best label, and for each scale
its mean probability (calibrated where the two agree) and the mean negative log-likelihood of the right label.

"Other": each photograph twice, with its class among the labels and without; how often P(other) says so rightly (cut
.5), and its expected calibration error. OTHER was fitted in the same way on the three quarters of nips17 that are not
held out.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from araclip import AraCLIP
from araclip.evaluation.zeroshot import SCALE, class_vectors, none_of
from araclip.gallery.reference_queries import EVERYDAY

SCALES = (10.0, 20.0, SCALE, 50.0, 100.0)
DRAWS = 20

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True, help="the folder that holds more/nips17_ccby")
parser.add_argument("--held", type=Path, required=True, help="captions.jsonl of the pictures to classify")
parser.add_argument("--model", default="araclip-mini")
args = parser.parse_args()

model, rng = AraCLIP.load(args.model), np.random.default_rng(0)
rows = [json.loads(line) for line in args.held.read_text(encoding="utf-8").splitlines()]
pictures = [args.data / "more" / "nips17_ccby" / "images" / Path(row["image"]).name for row in rows]
names = sorted({row["class_ar"] for row in rows})
own = np.array([names.index(row["class_ar"]) for row in rows])
vectors = model.encode_image(pictures)  # (N, D)
cosines = vectors @ class_vectors(model, names).T  # (N, C)
everyday = vectors @ model.encode_text(list(EVERYDAY)).T  # (N, E)
print(f"{model.label}, {len(rows)} photographs, {len(names)} classes; scale: mean probability, negative log-likelihood")
for count in (3, 10, len(names)):
    drawn = []
    for picture, right in enumerate(own.tolist()):
        others = np.delete(np.arange(len(names)), right)
        draws = [rng.choice(others, count - 1, replace=False) for _ in range(DRAWS if count < len(names) else 1)]
        drawn += [cosines[picture, [right, *wrong]] for wrong in draws]
    chosen = np.stack(drawn).astype(np.float64)  # (n, count), the right one first
    cells = []
    for scale in SCALES:
        odds = np.exp(scale * (chosen - chosen.max(axis=1, keepdims=True)))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        cells.append(f"{scale:g}: {probabilities.max(axis=1).mean():.3f} {-np.log(probabilities[:, 0]).mean():.2f}")
    print(f"{count:3} labels, right {(chosen.argmax(axis=1) == 0).mean():.3f} | " + " | ".join(cells))

print("labels; share of P(other) on the right side of .5; its expected calibration error")
for count in (3, 10, 50):
    none, absent = [], []
    for picture, right in enumerate(own.tolist()):
        others = np.delete(np.arange(len(names)), right)
        for present in (0, 1):
            chosen = [right] * present + rng.choice(others, count - present, replace=False).tolist()
            none.append(none_of(cosines[[picture]][:, chosen], everyday[[picture]])[0])
            absent.append(not present)
    shares, truth = np.array(none), np.array(absent)
    bins = np.minimum((shares * 10).astype(int), 9)
    error = sum((bins == b).mean() * abs(shares[bins == b].mean() - truth[bins == b].mean()) for b in np.unique(bins))
    print(f"{count:3} {((shares > 0.5) == truth).mean():.3f} {error:.3f}")
