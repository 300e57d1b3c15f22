"""Check and repair a sound gallery again and again while a server takes uploads and another process adds and removes.

    PYTHONPATH=src python tests/trials/checks_beside_writers.py --rounds 1000

Each round calls `verify` of a gallery that stays open, then `repair` of it, `Gallery.rescue` (what `araclip repair`
calls) or `verify` of a gallery opened for that, in turn. A fault, a repair that says it did anything, a refused upload
and a damaged file set aside are false alarms. Prints a Markdown row: rounds, commits meanwhile, false alarms.
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from crash.story import pictures_bytes
from crash.uploads import process

from araclip import AraCLIP, Gallery
from araclip.client import Client
from araclip.errors import ServerError
from tiny import write_tiny_model


def write(place: Path, model: Path, stop: Event) -> None:
    """Add and remove pictures until the event is set."""
    with Gallery.open(place, model=AraCLIP(model, threads=1)) as gallery:
        for turn in range(1_000_000):
            if stop.is_set():
                return
            added = gallery.add([pictures_bytes(turn % 50 + each) for each in range(3)], metadata={"words": "سفر بحر"})
            gallery.remove(added.paths[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    alarms, stop, uploads = list[str](), multiprocessing.get_context("spawn").Event(), 0
    with tempfile.TemporaryDirectory() as folder:
        place, model_folder = Path(folder) / "gallery", write_tiny_model(Path(folder) / "model")
        model = AraCLIP(model_folder, threads=1)
        with Gallery.open(place, model=model, create=True) as gallery:
            gallery.add([pictures_bytes(number) for number in range(100, 160)])
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(place, model_folder, stop))
        writer.start()
        with process("--gallery", place, "--model", model_folder, "--uploads") as (_, address):

            def upload() -> None:
                nonlocal uploads
                with Client(address, timeout=120) as client:
                    while not stop.is_set():
                        try:
                            client.add(pictures_bytes(1000 + uploads % 60))
                            uploads += 1
                        except ServerError as error:
                            if error.status != 409:  # 409: others are writing, try again
                                alarms.append(f"an upload was refused: {error}")

            uploader = threading.Thread(target=upload)
            uploader.start()
            with Gallery.open(place, model=model) as gallery, suppress(KeyboardInterrupt):
                for number in range(rounds):
                    found = [*map(str, gallery.verify())]
                    match number % 3:
                        case 0:
                            found += gallery.repair()
                        case 1:
                            found += Gallery.rescue(place, model=model)
                        case _:
                            with Gallery.open(place, model=model) as fresh:
                                found += map(str, fresh.verify())
                    alarms += [f"round {number}: {line}" for line in found]
                ((commits,),) = gallery._catalog.rows("SELECT count(*) FROM commits")
            stop.set()
            uploader.join()
        writer.join()
        alarms += [f"{path.name} was set aside" for path in place.glob("*.damaged*")]
    print(*alarms[:20], sep="\n", file=sys.stderr)
    print(f"| {rounds} | {commits:,} | {uploads:,} | {len(alarms)} |")
    raise SystemExit(bool(alarms))


if __name__ == "__main__":
    main()
