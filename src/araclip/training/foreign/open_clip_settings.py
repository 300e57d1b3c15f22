"""The settings of an open_clip model from a stranger's folder or the hub: known keys only, and no code of theirs."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

from araclip.errors import ModelMismatch, ModelNotFound
from araclip.paths import user_path
from araclip.training.foreign import settings
from araclip.training.foreign.sizes import check_fits

FILE = "open_clip_config.json"
_DIRECTORY, _HUB = "local-dir:", "hf-hub:"

_MODEL = (
    "embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "custom_text", "quick_gelu", "init_logit_scale",
    "init_logit_bias", "nonscalar_logit_scale",
)  # fmt: skip
_TOKENIZER = ("clean", "strip_sep_token", "language", "reduction_mask")
_ENDS = ("*.safetensors", "*.bin", "*.pth")  # of files that open_clip takes for a folder's weights


def model_settings(location: str) -> Mapping[str, Any]:
    """The checked `model_cfg` of a model in open_clip's words: of its own list, `local-dir:` or `hf-hub:` PLACE.

    Raises:
        ModelNotFound: there is no such folder, or it holds no weights; open_clip would draw them at random.
        ModelMismatch: the file is damaged, or asks for something that is refused; file and key are named.
    """
    import open_clip

    if location.startswith(_DIRECTORY):
        folder = user_path(location.removeprefix(_DIRECTORY))
        if not any(next(folder.glob(end), None) for end in _ENDS):
            raise ModelNotFound(
                f"{folder} cannot be loaded (no weights, {', '.join(_ENDS)}). Remedy: copy the model's folder again."
            )
        settings.check_folder(folder)
        model = _checked(folder / FILE)
        check_fits(lambda: _built(model), folder, FILE)
        return model
    if location.startswith(_HUB):
        from huggingface_hub import hf_hub_download

        return _checked(Path(hf_hub_download(location.removeprefix(_HUB), FILE)))
    return open_clip.get_model_config(location) or {}


def tokenizer_arguments(model: Mapping[str, Any]) -> dict[str, Any]:
    """What `open_clip.get_tokenizer` must be passed, so that a tokenizer of transformers runs no code."""
    return {"trust_remote_code": False} if model.get("text_cfg", {}).get("hf_tokenizer_name") else {}


def _built(model: Mapping[str, Any]) -> Any:
    """The network as `open_clip.create_model` makes it, with random weights."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    own = deepcopy(dict(model))
    custom = own.pop("custom_text", False) or "hf_model_name" in own["text_cfg"]
    if "hf_model_name" in own["text_cfg"]:
        own["text_cfg"]["hf_model_pretrained"] = False
    own["vision_cfg"]["timm_model_pretrained"] = False
    return (CoCa if custom and "multimodal_cfg" in own else CustomTextCLIP if custom else CLIP)(**own)


def _checked(path: Path) -> dict[str, Any]:
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    content = settings.read(path, dict)
    settings.check(content, str(path))
    model = content.get("model_cfg")
    settings.check_known(model, _MODEL, f"{path}: model_cfg")
    assert isinstance(model, dict)
    for key, kind in (("vision_cfg", CLIPVisionCfg), ("text_cfg", CLIPTextCfg), ("multimodal_cfg", MultimodalCfg)):
        if key in model or key != "multimodal_cfg":
            settings.check_known(model.get(key), [field.name for field in fields(kind)], f"{path}: model_cfg.{key}")
    text = model["text_cfg"]
    settings.check_known(text.get("tokenizer_kwargs") or {}, _TOKENIZER, f"{path}: model_cfg.text_cfg.tokenizer_kwargs")
    if name := text.get("hf_model_name"):
        _check_tower(name, f"{path}: model_cfg.text_cfg.hf_model_name")
    return model


def _check_tower(name: Any, where: str) -> None:
    """A text tower of transformers, which open_clip builds without saying that no code is to run."""
    from transformers import MODEL_MAPPING, AutoConfig

    if not isinstance(name, str):
        raise ModelMismatch(f"{where} is {name!r:.60}, expected a text. Copy the model's folder again.")
    if Path(name).is_dir():
        settings.check_folder(Path(name))
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if "AutoModel" in (getattr(config, "auto_map", None) or {}) and type(config) not in MODEL_MAPPING:
        raise settings.refused(where, "auto_map", config.auto_map, "which asks to run code of the repository")
