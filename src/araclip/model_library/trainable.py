"""`araclip pull --trainable`: AraCLIP as published becomes a saved AraCLIPModel, downloaded as every model is."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from araclip.core.display import Log
from araclip.errors import InputError
from araclip.model_library.disk_space import check_space
from araclip.model_library.pull import bytes_of, downloaded, need_pytorch
from araclip.model_library.resumable import Progress
from araclip.model_library.sources import pull_source

if TYPE_CHECKING:
    from araclip.peers.pull.trainable import Trainable

ENGINE = "araclip.peers.pull.trainable"  # imported by name when needed: it needs PyTorch


def pull_trainable(
    text: str,
    out: Path,
    *,
    head: Path | None = None,
    image: str | None = None,
    log: Log = lambda line: None,
    progress: Progress = lambda *told: None,
    converting: Callable[[], None] = lambda: None,
) -> "Trainable":
    """Download AraCLIP as published, in either layout, and save it as an AraCLIPModel in `out`.

    Args:
        text, log, progress, converting: as of `pull.pull`.
        out: absent or empty.
        head, image: of an older text encoder, see `make_trainable`.

    Raises:
        InputError: it is another model, something is in `out`, PyTorch is missing, or too little disk space.
        ModelNotFound, ModelMismatch: a part is missing, damaged or refused.
    """
    source = pull_source(text)
    if source.folder is None:
        need_pytorch(source.given)
        source = downloaded(source, log, progress)
    if source.folder is not None or source.request is None:
        raise InputError(
            f"{text} is a finished model folder, to search with. `AraCLIPModel.from_pretrained` takes what was trained "
            "with this package as it is; of a published model name the original."
        )
    check_space(out.expanduser().absolute().parent, bytes_of(source.request), f"converting {source.name}")
    converting()
    done: Trainable = import_module(ENGINE).make_trainable(source.request, out, head=head, image=image, log=log)
    return done
