"""The teacher of stage 1 by its name, and its vectors for a list of texts, computed once."""

from collections.abc import Callable, Mapping

from araclip.errors import RecipeError
from araclip.training.teachers.cache import TeacherCache, teacher_vectors
from araclip.training.teachers.text_towers import Teacher, araclip_teacher, open_clip_teacher, transformers_teacher

__all__ = ["TEACHERS", "Teacher", "TeacherCache", "load_teacher", "teacher_vectors"]

TEACHERS: Mapping[str, tuple[str, Callable[[str, str, str, bool], Teacher]]] = {
    "open_clip": ("open_clip:MODEL/TAG_OR_FILE, open_clip:local-dir:FOLDER", open_clip_teacher),
    "transformers": ("transformers:FOLDER_OR_HUB_ID", transformers_teacher),
    "araclip": ("araclip:FOLDER_OR_BUNDLED_NAME", araclip_teacher),
}


def load_teacher(spec: str, device: str = "cpu", *, bfloat16: bool = False) -> Teacher:
    """The teacher that `spec` names, ready to encode.

    - `open_clip:ViT-B-16-SigLIP-512/webli`, or a file of weights instead of the tag;
    - `transformers:FOLDER_OR_HUB_ID`, for CLIP, SigLIP, SigLIP 2 and their kin;
    - `araclip:FOLDER`, for a saved AraCLIPModel or a model folder with ONNX graphs, or a bundled model's name.

    Only a hub id or tag that is not yet on this machine is downloaded.

    Args:
        device: of PyTorch, such as "cuda"; ONNX graphs run on the CPU.
        bfloat16: whether a PyTorch tower computes under autocast, several times as fast where the processor knows it.

    Raises:
        RecipeError: an unknown kind.
        ModelNotFound: no such model, or its files cannot be loaded.
        ModelMismatch: a model that has no text tower.
    """
    kind, colon, location = spec.partition(":")
    if kind not in TEACHERS or not colon or not location:
        ways = "; ".join(way for way, _ in TEACHERS.values())
        raise RecipeError(f"teacher '{spec}' is of no known kind. Known are {ways}.")
    _, load = TEACHERS[kind]
    return load(spec, location, device, bfloat16)
