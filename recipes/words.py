"""How often words occur in Arabic captions and everyday sentences → src/araclip/text/data/words.txt.

    python recipes/words.py --data DATA

Reads the train captions of Flickr8k-Rev (CC0) and the Arabic side of Tatoeba (CC BY 2.0 FR) below DATA. Of both only
the words that occur twice are kept, each with one number: its count in captions plus a quarter of that in sentences.
No sentence can be read out of it. Words of the development and test pictures are not counted.
"""

import argparse
import json
import lzma
import re
from collections import Counter
from pathlib import Path

from araclip.text.normalization import normalize

TARGET = Path(__file__).parent.parent / "src/araclip/text/data/words.txt"
WORD = re.compile("[\u0621-\u063a\u0641-\u064a]{2,20}")
SENTENCE = 0.25  # what a word in an everyday sentence counts, beside one in a caption

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True)
args = parser.parse_args()

captions: Counter[str] = Counter()
for line in (args.data / "flickr8k/captions.jsonl").read_text(encoding="utf-8").splitlines():
    picture = json.loads(line)
    if picture["split"] == "train":
        for caption in picture["caption_ar"]:
            captions.update(WORD.findall(normalize(caption)))
sentences: Counter[str] = Counter()
with lzma.open(args.data / "parallel/tatoeba.tsv.xz", "rt", encoding="utf-8") as lines:
    column = next(lines).rstrip("\n").split("\t").index("ar")
    for line in lines:
        sentences.update(WORD.findall(normalize(line.rstrip("\n").split("\t")[column])))
counts = {
    word: round(captions[word] + SENTENCE * sentences[word])
    for word in captions | sentences
    if captions[word] > 1 or sentences[word] > 1
}
kept = sorted(((max(count, 1), word) for word, count in counts.items()), key=lambda pair: (-pair[0], pair[1]))
header = "# Made by recipes/words.py: word counts of Flickr8k-Rev (CC0) and Tatoeba (CC BY 2.0 FR, tatoeba.org).\n"
TARGET.write_text(header + "".join(f"{word} {count}\n" for count, word in kept), encoding="utf-8")
print(f"{len(kept):,} words, {TARGET.stat().st_size:,} bytes")
