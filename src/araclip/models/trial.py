"""Try a stranger's model folder in a separate process with limits, before this process opens the folder.

The cost of a graph or tokenizer shows only when it is opened and run: a library may compute huge constants or abort.
The separate process has limited memory and CPU time, and inherits no access tokens.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from araclip.core.child_process import Child, ChildEnded, Parent, safe_environment
from araclip.core.display import shortened, shown
from araclip.core.limits import set_limits
from araclip.core.system import free_memory
from araclip.errors import AraCLIPError, InvalidVectors, ModelMismatch
from araclip.models.encoder_base import MAX_LETTERS
from araclip.models.folder import ModelConfig, read_config
from araclip.models.inference import ImageTower, TextTower, bytes_of_tower
from araclip.models.tokenizer_file import check_tokenizer

# 4-bit weights become float32, which takes eight times the memory, and graphs are optimised on a copy.
# So a trial gets MEMORY bytes, and MEMORY_PER_BYTE for each byte of the files; araclip-mini's towers need 370 MB.
MEMORY, MEMORY_PER_BYTE = 500_000_000, 20
MOST_MEMORY = 16_000_000_000  # limit: bytes that any trial may use; the largest published tower has 5 GB in float32
SHARE = 0.75  # limit: part of the free memory that a trial may use, so that the machine need not swap or end programs
SECONDS, BYTES_PER_SECOND = 5, 5_000_000  # limit of CPU time: 5 s, plus 1 s per 5 MB of files; araclip-mini needs 0.8 s
WAIT = 20  # limit of elapsed time, as a multiple of the limit of CPU time: the machine may be busy
LIBRARIES = 4_000_000_000  # bytes of address space for libraries and thread stacks, which are not memory in use

# each of these texts is repeated, up to MAX_LETTERS letters, to make a long test text
LETTERS = ("ق", " ", "a ", "كلب ", "!", "\u0663", "👩", "\u200d", "\n")
SHORT = ("قطة على طاولة", "a dog on the grass, 2024", "")


def try_tower(folder: Path, config: ModelConfig, tower: str) -> None:
    """Open and run one tower ("text" or "image") in a new process with limits.

    Raises:
        ModelMismatch: the tower cannot be opened or run, or needs too much memory or time.
        InvalidVectors: its vectors are not finite or not of unit length.
    """
    size = bytes_of_tower(folder, config, tower)
    seconds, free = SECONDS + size // BYTES_PER_SECOND, free_memory()
    memory = memory_of_trial(size, free)
    advice: tuple[str, ...] = ()
    if memory < min(MEMORY + MEMORY_PER_BYTE * size, MOST_MEMORY):  # little free memory has lowered this limit
        advice = (
            f"Of this machine's memory {free / 1e6:.0f} MB are free: end other programs, or take a smaller model.",
        )
    # the new process imports modules from the same places as this one
    environment = safe_environment() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    question = {"folder": str(folder), "tower": tower, "memory": memory, "seconds": seconds}
    module = "araclip.models.trial"
    with TemporaryFile() as stderr:
        try:
            with Child(module, seconds=seconds * WAIT, environment=environment, stderr=stderr) as child:
                answer, _ = child.ask(question, seconds=seconds * WAIT)
        except TimeoutError:
            raise _trial_error(folder, tower, f"took more than {seconds * WAIT} s") from None
        except ChildEnded as error:
            stderr.seek(-min(300, stderr.seek(0, os.SEEK_END)), os.SEEK_END)
            last = next(iter(stderr.read().decode(errors="replace").strip().splitlines()[-1:]), "")
            how = f"ended with {error.how}" + (f" ({shown(last)})" if last else "")
            may = f"{how}; it may take {memory / 1e6:.0f} MB and {seconds} s of the CPU"
            raise _trial_error(folder, tower, may, *advice) from None
        except OSError as error:
            raise _trial_error(folder, tower, f"could not start ({error.strerror})") from None
    if answer.get("error") == "MemoryError":
        raise _trial_error(folder, tower, f"needs more than {memory / 1e6:.0f} MB", *advice)
    if answer.get("error"):
        kind = InvalidVectors if answer["error"] == "InvalidVectors" else ModelMismatch
        raise kind(shown(shortened(str(answer.get("message")), 1000)))


def memory_of_trial(size: int, free: int) -> int:
    """Return how many bytes of memory a trial, the process that opens a tower for the first time, may use.

    A trial gets MEMORY bytes, plus MEMORY_PER_BYTE for each of the `size` bytes of the tower's files. But it gets at
    most MOST_MEMORY, and at most the share SHARE of the `free` bytes. This last limit is never below MEMORY.
    """
    return min(MEMORY + MEMORY_PER_BYTE * size, MOST_MEMORY, max(MEMORY, int(SHARE * free)))


def _trial_error(
    folder: Path, tower: str, what: str,
    remedy: str = "The folder is damaged, or made to do harm: take the model from another source.",
) -> ModelMismatch:  # fmt: skip
    return ModelMismatch(f"{folder}: a trial of the {tower} tower {what}. {remedy}")


def main() -> None:
    """Run one trial for the parent process, which sends the folder, the tower and the limits (bytes, CPU seconds)."""
    parent = Parent()
    parent.answer({"ready": True})
    if not (received := parent.question()):
        return
    about, answer = received[0], dict[str, Any]()
    memory, seconds = about["memory"], about["seconds"]
    set_limits({"RLIMIT_DATA": memory, "RLIMIT_AS": memory + LIBRARIES, "RLIMIT_CPU": seconds, "RLIMIT_CORE": 0})
    try:
        folder = Path(about["folder"])
        config = read_config(folder)
        if about["tower"] == "text":
            check_tokenizer(folder / "tokenizer.json")
            text = TextTower(folder, config, threads=1)
            long = tuple((letters * MAX_LETTERS)[:MAX_LETTERS] for letters in LETTERS)
            text.tokenizer.encode(long)
            text.encode(SHORT, batch_size=2)
            text.encode(long[3:4], batch_size=1)  # a text with more tokens than the model takes
        else:
            side = config.image.size
            pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
            image = ImageTower(folder, config, threads=1)
            image.encode(pixels[:2])
            image.encode(pixels[2:])
    except AraCLIPError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        answer = {"error": "MemoryError"}
    parent.answer(answer)
    os._exit(0)  # ends the process at once: a damaged library might hang in an orderly exit


if __name__ == "__main__":
    main()
