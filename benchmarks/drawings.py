"""How often an emoji's name finds its drawing: every OpenMoji drawing of the demo, asked by name.

    python benchmarks/drawings.py [--model araclip-mini]    (extra demo; draws the pictures where they are not yet)

Protocol: every name is a query over all drawings; if several emoji share it (مزارع is a farmer and a man who is one),
any of their drawings is relevant. Ties at their expected rank. For a model trained on OpenMoji, such as araclip-mini 1,
this measures memorisation, not generalisation.
"""

import argparse
from pathlib import Path

import emoji
from by_name import table

from araclip import AraCLIP
from araclip.core.paths import data_home
from araclip.demo import sample_pictures

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--pictures", type=Path, default=data_home() / "demo" / "pictures")
args = parser.parse_args()

model = AraCLIP.load(args.model)
samples = [sample for sample in sample_pictures(args.pictures, lambda done, total: None) if sample.emoji]
names = {
    "arabic": [sample.arabic for sample in samples],
    "english": [emoji.EMOJI_DATA[sample.emoji]["en"].strip(":").replace("_", " ") for sample in samples],
}
print(f"{model.config.label}, OpenMoji drawings by name")
print(*table(model, [sample.path for sample in samples], names), sep="\n")
