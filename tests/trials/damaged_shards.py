"""Shards with damaged bytes: each is read or refused by an error of ours, and the process lives.

    python tests/trials/damaged_shards.py [--mutants 5000] [--seed 0] [--shard FILE.parquet]

One to four bytes of a shard of `araclip embed` are changed, two times of three in its footer, which pyarrow parses in
C++: an exception that leaves C++ there ends the whole process. Without --shard, one of forty pictures is made.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from araclip.bulk.embed import embed
from araclip.bulk.shard_file import read_shard, schema_of, what_made
from araclip.errors import InputError, ShardMismatch

BYTES = (0, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        shard = args.shard or made(Path(temporary))
        print(*(f"{count} {what}" for what, count in tried(shard, Path(temporary), args).items()), sep=", ")


def made(folder: Path) -> Path:
    """A shard of forty pictures in plain colours."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    import pictures

    for number in range(40):
        pictures.solid(folder / "pictures" / f"{number}.jpg", (number * 6, number * 37 % 256, number * 91 % 256))
    embed(folder / "pictures", folder / "shards", model="araclip-mini")
    (shard,) = (folder / "shards").glob("*.parquet")
    return shard


def tried(shard: Path, folder: Path, args: argparse.Namespace) -> Counter[str]:
    """How many mutants were read and how many refused; any other error ends the trial."""
    data, draw, counts = shard.read_bytes(), random.Random(args.seed), Counter[str](read=0, refused=0)
    model, _ = what_made(shard.parent)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for _ in range(args.mutants):
        mutant, first = bytearray(data), footer if draw.random() < 2 / 3 else 0
        for _ in range(draw.choice((1, 1, 2, 4))):
            at = draw.randrange(first, len(data) - 8)
            mutant[at] = draw.choice((mutant[at] ^ 1 << draw.randrange(8), draw.randrange(256), *BYTES))
        (folder / "mutant.parquet").write_bytes(mutant)
        place = str(folder / "mutant.parquet")
        try:
            list(read_shard(place, model, schema_of(model.width).names, 100))
            counts["read"] += 1
        except (InputError, ShardMismatch):
            counts["refused"] += 1
    return counts


if __name__ == "__main__":
    main()
