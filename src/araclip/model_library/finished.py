"""A finished model folder of somebody else's, or of another machine, becomes one of this user's; no PyTorch."""

import shutil
from pathlib import Path

from araclip import model_folder
from araclip.core import atomic
from araclip.model_checks.model_check import check_model_folder
from araclip.model_folder import PARTS, ModelConfig
from araclip.model_library.disk_space import check_space


def parts_of(config: ModelConfig) -> tuple[str, ...]:
    """The files that belong to a model folder; others beside them are left behind."""
    return (*PARTS, *config.data_files)


def copy_finished(folder: Path, target: Path) -> ModelConfig:
    """Copy a model folder to `target`, which appears whole and checked or not at all.

    Every file is compared with its hash, graphs and tokenizer are judged and tried as those of a stranger
    (`araclip.model_checks.model_check`); an earlier folder at `target` is replaced.

    Raises:
        ModelMismatch, InvalidVectors: a file is missing, damaged or refused.
        InputError: the disk has too little space.
        OSError: the disk is full or read-only.
    """
    config = model_folder.read_config(folder)
    parts = parts_of(config)
    check_space(target.parent, sum((folder / part).stat().st_size for part in parts), f"copying {config.name}")
    target.parent.mkdir(parents=True, exist_ok=True)

    def fill(temporary: Path) -> None:
        for part in parts:
            shutil.copyfile(folder / part, temporary / part)
        if config.format > 1:
            model_folder.write_image_processor(temporary, config.image)
        for part in config.files:
            model_folder.check_hash(temporary, config, part)
        check_model_folder(temporary)

    atomic.write_folder(target, fill)
    return config
