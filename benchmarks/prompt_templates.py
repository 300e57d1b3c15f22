"""Zero-shot accuracy by prompt templates: the bare name, this package's, and a file of others, each alone and together.

    python benchmarks/prompt_templates.py --held HELD --templates TEMPLATES.json --cache DIR [--model araclip-mini]

Data: the photographs of nips17 that are held out of training (HELD: the folder `data` of `make mini`), 250 of 188
ImageNet classes, Arabic names. Protocol: the class of a picture is the nearest mean of its prompts' unit vectors; any
class of the same name is right. Which templates `araclip classify` uses is decided on the halves of all held-out sets
of relevance_sets.py, each with its own labels: the last table, top 1.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from relevance_sets import DRAWINGS, LABELLED, Bench

from araclip import AraCLIP
from araclip.evaluation.sets import LISTING
from araclip.evaluation.zeroshot import TEMPLATES, class_vectors, read_templates

SET = "nips17-held"
CHOICES = {"the bare name": ("{}",), "this package's": TEMPLATES, "bare and «صورة {}»": TEMPLATES[:2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=Path, required=True, help="folder of the held-out sets (recipes/mini/data.py)")
    parser.add_argument("--templates", type=Path, required=True, help="JSON list of templates to measure beside ours")
    parser.add_argument("--cache", type=Path, required=True, help="folder for vectors of pictures")
    parser.add_argument("--model", default="araclip-mini")
    args = parser.parse_args()
    model = AraCLIP.load(args.model)
    rows = [json.loads(line) for line in (args.held / SET / LISTING).open(encoding="utf-8")]
    bench = Bench(model, args.cache)
    pictures = bench.pictures(SET, [Path(row["image"]) for row in rows])
    names = sorted({row["class_ar"] for row in rows})
    own = np.array([names.index(row["class_ar"]) for row in rows])
    theirs = read_templates(args.templates)
    every = list(dict.fromkeys([*TEMPLATES, *theirs]))
    vectors = {text: model.encode_text([text.replace("{}", name) for name in names]) for text in every}  # (C, D) each

    def accuracy(templates: tuple[str, ...]) -> tuple[float, float]:
        classes = np.mean([vectors[text] for text in templates], axis=0)
        scores = pictures @ (classes / np.linalg.norm(classes, axis=1, keepdims=True)).T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        return float((order[:, 0] == own).mean()), float((order == own[:, None]).any(axis=1).mean())

    print(f"{model.label}, {len(rows)} photographs, {len(names)} classes")
    print("| templates | number | top 1 | top 5 |\n|---|---|---|---|")
    for name, templates in (("the bare name", ("{}",)), ("this package's", TEMPLATES), (args.templates.name, theirs)):
        top1, top5 = accuracy(tuple(templates))
        print(f"| {name} | {len(templates)} | {top1:.3f} | {top5:.3f} |")
    single = sorted(((accuracy((text,))[0], text) for text in theirs), reverse=True)
    best = tuple(text for _, text in single[:5])
    top1, top5 = accuracy(best)
    print(f"| of these, the best five alone (chosen on the same pictures) | 5 | {top1:.3f} | {top5:.3f} |")
    print(
        "best and worst alone:", *(f"{share:.3f} «{text}»" for share, text in [*single[:3], *single[-3:]]), sep="\n  "
    )
    print("\n| for the choice | labels | " + " | ".join(CHOICES) + " |\n|---|---" + "|---" * len(CHOICES) + "|")
    shares = []
    for name, field in (*LABELLED.items(), DRAWINGS):
        pictures, labels = bench.half(args.held, name, field, "fit")
        known = sorted(set(labels))
        right = np.array([known.index(label) for label in labels])
        classes = (class_vectors(model, known, templates) for templates in CHOICES.values())
        shares.append([float(((pictures @ each.T).argmax(axis=1) == right).mean()) for each in classes])
        print(f"| {name} | {len(known)} | " + " | ".join(f"{share:.3f}" for share in shares[-1]) + " |")
    print("| mean | | " + " | ".join(f"{share:.3f}" for share in np.mean(shares, axis=0)) + " |")


if __name__ == "__main__":
    main()
