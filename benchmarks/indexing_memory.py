"""Peak memory and speed of indexing a folder of pictures with a model folder, in this process.

    PYTHONPATH=src python benchmarks/indexing_memory.py --model FOLDER --pictures FOLDER

The goal is 1.5 times the weights and 500 MB. Run it once for each model: a process keeps its peak.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from araclip import AraCLIP, Gallery


def main() -> None:
    """Index into a temporary gallery and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="araclip-mini", help="A model folder, or a bundled or pulled model's name.")
    parser.add_argument("--pictures", type=Path, required=True, help="A folder of photographs.")
    parser.add_argument("--threads", type=int, help="Of ONNX Runtime; all cores by default.")
    given = parser.parse_args()
    model = AraCLIP(given.model, threads=given.threads)
    weights = sum((model.folder / part).stat().st_size for part in model.config.files) / 1e6
    with tempfile.TemporaryDirectory() as folder, Gallery.open(folder, model=model, create=True) as gallery:
        begin, used = time.perf_counter(), time.process_time()
        added = gallery.update([given.pictures]).added
        took, used = time.perf_counter() - begin, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(
        f"{model.label}: {added} pictures, {added / took:.2f} a second, {used / max(added, 1):.3f} s of the CPU each; "
        f"peak {peak:.0f} MB, goal {1.5 * weights + 500:.0f} MB (weights {weights:.0f} MB)"
    )


if __name__ == "__main__":
    main()
