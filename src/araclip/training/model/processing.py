"""AraCLIPProcessor turns texts and pictures into the tensors that AraCLIPModel takes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

from araclip.core import atomic
from araclip.errors import ArgumentError, InputError, ModelMismatch
from araclip.models import checks
from araclip.models import folder as model_folder
from araclip.models.encoder_base import BATCH_DIMENSIONS, checked_pictures
from araclip.models.folder import REDUCTIONS, ImageConfig
from araclip.pictures.images import open_image
from araclip.text.normalization import NORMALIZER_VERSION, normalize
from araclip.training.model import foreign, hub_files, preprocessing
from araclip.training.model.configuration import MAX_TOKENS, MODULE, AraCLIPConfig, Named
from araclip.training.model.foreign import config_at, image_processor_at, tokenizer_at


class AraCLIPTokenizer(Named, PreTrainedTokenizerFast):  # type: ignore[misc]
    """The tokenizer of tokenizer.json; it normalises text, and by default cuts text that is too long for the model."""

    model_input_names = ("input_ids", "attention_mask")

    def __call__(
        self, text: Any = None, text_pair: Any = None, text_target: Any = None, text_pair_target: Any = None,
        *args: Any, truncation: Any = None, **how: Any,
    ) -> Any:  # fmt: skip
        """Tokenize like every transformers tokenizer, but cut to `model_max_length` unless `truncation` is given."""
        texts = map(_normalized, (text, text_pair, text_target, text_pair_target))
        return super().__call__(*texts, *args, truncation=True if truncation is None else truncation, **how)

    def encode(self, text: Any, text_pair: Any = None, *args: Any, **how: Any) -> Any:
        return super().encode(_normalized(text), _normalized(text_pair), *args, **how)

    def tokenize(self, text: Any, pair: Any = None, *args: Any, **how: Any) -> Any:
        return super().tokenize(_normalized(text), _normalized(pair), *args, **how)


def _normalized(text: Any) -> Any:
    if isinstance(text, str):
        return normalize(text)
    return [_normalized(part) for part in text] if isinstance(text, list | tuple) else text


AutoTokenizer.register(AraCLIPConfig, fast_tokenizer_class=AraCLIPTokenizer, exist_ok=True)


# how texts are tokenised by default; without token type ids, which tell apart the two texts of a pair
_TEXT_KWARGS = {"padding": True, "truncation": True, "return_token_type_ids": False}
_SETTINGS = ("max_tokens", "normalizer", "reduction")  # arguments of AraCLIPProcessor beside its two parts
_RESIZING = ("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_pad", "input_data_format")


class AraCLIPProcessor(Named, ProcessorMixin):  # type: ignore[misc]
    """Normalises and tokenises text, resizes and scales pictures; the same in training and in use.

    Args:
        image_processor: any transformers image processor; None for a model without image tower.
        tokenizer: the text tower's tokenizer. Its `model_max_length` is set to `max_tokens`.
        max_tokens: a text with more tokens is cut to this number.
        normalizer: version of `araclip.normalize` that the model was trained with.
        reduction: the way in which large pictures are made smaller, "blocks" or "exact" as in
            `models.folder.ImageConfig`. None: "blocks" if the image processor squashes, which is how models are trained
            here; "exact" if it crops the middle.

    Raises:
        InputError: no tokenizer is given.
        ModelMismatch: the model was trained with another text normaliser than this release has, or `reduction` is
            unknown.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        max_tokens: int = MAX_TOKENS,
        normalizer: int = NORMALIZER_VERSION,
        reduction: str | None = None,
    ) -> None:
        if tokenizer is None:
            raise InputError("AraCLIPProcessor got no tokenizer. Pass tokenizer=AutoTokenizer.from_pretrained(…).")
        if normalizer != NORMALIZER_VERSION:
            raise ModelMismatch(
                f"the processor belongs to text normaliser {normalizer}, this release has {NORMALIZER_VERSION}. "
                "Install the araclip release the model was made for."
            )
        if reduction not in (None, *REDUCTIONS):
            raise ModelMismatch(f"the processor's reduction is {reduction!r:.40}, known are {', '.join(REDUCTIONS)}.")
        if image_processor is None:  # `ProcessorMixin` does not accept None for a part
            self.chat_template = self.image_processor = None
            self.check_argument_for_proper_class("tokenizer", tokenizer)
            self.tokenizer = tokenizer
        else:
            super().__init__(image_processor, tokenizer)
        self.max_tokens = max_tokens
        self.normalizer = normalizer
        self.reduction = reduction
        tokenizer.model_max_length = max_tokens

    @classmethod
    def from_towers(
        cls, text: str | Path, vision: str | Path | PreTrainedConfig | None = None, max_tokens: int = MAX_TOKENS
    ) -> "AraCLIPProcessor":
        """Make the processor for pretrained towers, given as for `AraCLIPModel.from_towers`: hub ids or folders.

        Args:
            vision: may also be the configuration of a timm tower, since timm's configurations say how pictures are
                scaled; None: the processor takes texts only.
        """
        tokenizer = tokenizer_at(text)
        if vision is None:
            return cls(None, tokenizer, max_tokens)
        config = vision if isinstance(vision, PreTrainedConfig) else config_at(vision)
        if config.model_type == "timm_wrapper":
            return cls(preprocessing.timm_image_processor(config), tokenizer, max_tokens)
        if isinstance(vision, PreTrainedConfig):
            raise InputError(
                f'the configuration of "{vision.model_type}" does not say how its pictures are scaled. '
                "Pass the hub id or folder of the image tower."
            )
        return cls(image_processor_at(vision), tokenizer, max_tokens)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Load the processor of a hub id, a folder of transformers, a bundled model's name, or a model folder.

        Raises:
            ModelMismatch: the model folder is damaged, or was not exported from an AraCLIPModel.
        """
        if model_folder.names_model_folder(pretrained_model_name_or_path):
            folder = model_folder.find(pretrained_model_name_or_path)
            config = model_folder.read_config(folder)
            if config.source is not None:
                raise ModelMismatch(
                    f"{folder} holds another kind of model than an AraCLIPModel, so it has no AraCLIPProcessor. Use it "
                    "with AraCLIP.load, which prepares texts and pictures itself."
                )
            checks.check_tower(folder, config, "text")
            model_folder.check_hash(folder, config, "tokenizer.json")
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.text.pad_id)
            pictures = preprocessing.image_processor_of(config.image)
            return cls(pictures, tokenizer, config.text.max_tokens, reduction=config.image.reduction)
        if Path(pretrained_model_name_or_path).is_dir():
            foreign.check_folder(Path(pretrained_model_name_or_path))
        kwargs["trust_remote_code"] = False  # code that a folder brings is never used
        saved, given = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if saved.get("image_processor") is not None:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        # a model without image tower; `ProcessorMixin` would not load it, since it does not accept None for a part
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        return cls(None, tokenizer, **{name: how[name] for how in (saved, given) for name in _SETTINGS if name in how})

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: None = None,
        audio: None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare texts, pictures or both, N and M of them.

        Args:
            images: one picture or several. PIL images and arrays (H, W, 3) of uint8 become the same squares, bit for
                bit, as with `encode_image` of `AraCLIP.load`. The image processor itself resizes any other input, and
                all pictures if a keyword says how to resize.
            text: one text or several, in any spelling; they are normalised here.
            videos, audio: part of every processor's signature; ignored.
            kwargs: as for ProcessorMixin: `return_tensors`, and keywords of the tokenizer and the image processor
                (`padding`, `truncation`, `max_length`, `do_resize`, `do_rescale` …), by name or in `text_kwargs`,
                `images_kwargs` and `common_kwargs`. By default text is padded to the longest of the batch, and cut; it
                never has more than the model's `max_tokens`.

        Returns:
            input_ids and attention_mask (N, T), pixel_values (M, 3, S, S).

        Raises:
            ArgumentError: neither text nor pictures, a text that is no string, pictures without image processor, or a
                keyword passed twice.
            TypeError: a keyword that neither the tokenizer nor the image processor has.
        """
        if text is None and images is None:
            raise ArgumentError("the processor got neither text nor picture. Pass text=, images= or both.")
        if images is not None and self.image_processor is None:
            raise ArgumentError("this processor has no image processor: its model has no image tower. Pass text only.")
        how = self._split_arguments(kwargs)
        data: dict[str, Any] = {}
        if text is not None:
            data.update(self._tokens(text, **how["text_kwargs"]))
        if images is not None:
            data.update(self._pixels(images, **how["images_kwargs"]))
        return BatchFeature(data)

    @property
    def preprocessing(self) -> ImageConfig:
        """How pictures become squares and are scaled, in the form that a model folder records.

        Raises:
            InputError: there is no image processor.
            ModelMismatch: the image processor makes something else than squares of one size.
        """
        if self.image_processor is None:
            raise InputError("this processor has no image processor: its model has no image tower.")
        found = preprocessing.of_transformers("the model", self.image_processor)
        usual = "blocks" if found.resize == "squash" else "exact"
        return replace(found, reduction=self.reduction or usual)

    def squashing(self) -> "AraCLIPProcessor":
        """Return a processor that squashes pictures to squares as training does: bicubic, after averaging blocks."""
        if self.image_processor is None:
            return self
        how = self.preprocessing
        square = preprocessing.square_processor(how.size, how.size, how.mean, how.std)
        return type(self)(square, self.tokenizer, self.max_tokens)

    def _pixels(self, images: Any, **how: Any) -> Mapping[str, Any]:
        own: Any = self.image_processor
        if not how.keys() & set(_RESIZING) and _are_pictures(images):
            try:
                transform = self.preprocessing.transform
            except ModelMismatch:  # no ImageTransform does what the image processor does: let it resize and crop itself
                pass
            else:
                images = [Image.fromarray(transform.pixels(open_image(one))) for one in checked_pictures(images)]
                how |= {name: False for name in ("do_resize", "do_center_crop") if hasattr(own, name)}
        made: Mapping[str, Any] = own(images, **how)
        return made

    def _split_arguments(self, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Sort a call's keyword arguments into those of the tokenizer and of the image processor, like ProcessorMixin.

        Before transformers 5.24, ProcessorMixin's own method ignored names if dictionaries were passed too, and changed
        these dictionaries.
        """
        known = {part: set(kind.__annotations__) for part, kind in ProcessingKwargs.__annotations__.items()
                 if hasattr(kind, "__annotations__")}  # fmt: skip
        known["images_kwargs"] |= set(
            getattr(getattr(self.image_processor, "valid_kwargs", None), "__annotations__", ())
        )
        if unknown := set(given) - {"common_kwargs"}.union(ProcessingKwargs.__annotations__, *known.values()):
            raise TypeError(f"AraCLIPProcessor takes no {', '.join(sorted(unknown))}. See text_kwargs, images_kwargs.")
        sorted_out = {}
        for part in ("text_kwargs", "images_kwargs"):
            named = {key: value for key, value in given.items() if key in known[part]}
            nested = given.get(part) or {}
            if twice := named.keys() & nested.keys():
                raise ArgumentError(
                    f"{', '.join(sorted(twice))} was passed two times, by name and in {part}. Pass it once."
                )
            usual: dict[str, Any] = {}
            if part == "text_kwargs":  # the arguments with which the tokenizer was made are the defaults of each call
                tokenizer, made = self.tokenizer, self.tokenizer.init_kwargs
                own = [key for key in known[part] & made.keys() if made[key] is not None]
                usual = {**_TEXT_KWARGS, **{key: getattr(tokenizer, key, made[key]) for key in own}}
            sorted_out[part] = {**usual, **(given.get("common_kwargs") or {}), **named, **nested}
        return sorted_out

    def _tokens(self, text: str | Sequence[str], max_length: int | None = None, **how: Any) -> Mapping[str, Any]:
        texts = [text] if isinstance(text, str) else list(text)
        for entry in texts:
            if not isinstance(entry, str):
                raise ArgumentError(f"expected a text or a list of texts, got {entry!r:.80} ({type(entry).__name__}).")
        if not isinstance(self.tokenizer, AraCLIPTokenizer):  # an AraCLIPTokenizer normalises by itself
            texts = [normalize(entry) for entry in texts]
        # the lower limit counts: sentence-transformers may lower that of the tokenizer
        longest = min(self.max_tokens, self.tokenizer.model_max_length)
        tokens: Mapping[str, Any] = self.tokenizer(texts, max_length=min(longest, max_length or longest), **how)
        return tokens

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the tokenizer's files, processor_config.json (with the image processor) and a module (`write_module`).

        With this module, transformers' Auto classes import araclip.

        Returns:
            The path of processor_config.json, in a list.

        Raises:
            InputError: `push_to_hub` is true, but there is no image processor.
        """
        folder = Path(save_directory)
        if self.image_processor is not None:
            super().save_pretrained(str(folder))
        elif push_to_hub:
            raise InputError("save the processor without push_to_hub=True, then call its push_to_hub.")
        else:
            self.tokenizer.save_pretrained(folder)
            self.to_json_file(folder / "processor_config.json")
        if (folder / "tokenizer.json").is_file():  # lets the Auto classes load the tokenizer as AraCLIPTokenizer
            path, name = folder / "tokenizer_config.json", AraCLIPTokenizer.__name__
            config = json.loads(path.read_text(encoding="utf-8"))
            config |= {"tokenizer_class": name, "auto_map": {"AutoTokenizer": [None, f"{MODULE}.{name}"]}}
            atomic.write_text(path, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
        hub_files.write_module(folder)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return [str(folder / "processor_config.json")]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of processor_config.json."""
        return {**super().to_dict(), "auto_map": {"AutoProcessor": f"{MODULE}.AraCLIPProcessor"}}


def _are_pictures(images: Any) -> bool:
    """True if these are pictures as `encode_image` takes them: PIL images, or arrays (H, W, 3) of uint8."""
    several = images if isinstance(images, list | tuple) or getattr(images, "ndim", 0) == BATCH_DIMENSIONS else [images]
    return len(several) > 0 and all(
        isinstance(one, Image.Image)
        or (isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3)
        for one in several
    )


AutoProcessor.register(AraCLIPConfig, AraCLIPProcessor, exist_ok=True)
