"""AraCLIPProcessor: texts and pictures → the tensors that AraCLIPModel takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    ViTImageProcessor,
)
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

from araclip import model_folder
from araclip.errors import ArgumentError, InputError, ModelMismatch, RecipeError
from araclip.model_checks import model_check
from araclip.text.normalization import NORMALIZER_VERSION, normalize
from araclip.training.foreign import settings
from araclip.training.foreign.loaders import config_at, image_processor_at, tokenizer_at
from araclip.training.model import hub_files
from araclip.training.model.configuration import MAX_TOKENS, MODULE, AraCLIPConfig
from araclip.training.model.tokenizer import AraCLIPTokenizer, name_the_tokenizer

BICUBIC = 3  # of PIL.Image.Resampling
_TEXT_KWARGS = {
    "padding": True,
    "truncation": True,
    "return_token_type_ids": False,
}  # the types distinguish pairs' texts


class AraCLIPProcessor(ProcessorMixin):  # type: ignore[misc]
    """Normalises and tokenises text, resizes and scales pictures; the same in training and in use.

    Args:
        image_processor: any transformers image processor; None for a model without image tower.
        tokenizer: the text tower's tokenizer. Its `model_max_length` becomes `max_tokens`.
        max_tokens: the model's; longer text is cut.
        normalizer: version of `araclip.normalize` that the model was trained with.

    Raises:
        InputError: no tokenizer.
        ModelMismatch: the model was trained with another text normaliser than this release has.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        max_tokens: int = MAX_TOKENS,
        normalizer: int = NORMALIZER_VERSION,
    ) -> None:
        if tokenizer is None:
            raise InputError("AraCLIPProcessor got no tokenizer. Pass tokenizer=AutoTokenizer.from_pretrained(…).")
        if normalizer != NORMALIZER_VERSION:
            raise ModelMismatch(
                f"the processor belongs to text normaliser {normalizer}, this release has {NORMALIZER_VERSION}. "
                "Install the araclip release the model was made for."
            )
        if image_processor is None:  # ProcessorMixin requires every part
            self.chat_template = self.image_processor = None
            self.check_argument_for_proper_class("tokenizer", tokenizer)
            self.tokenizer = tokenizer
        else:
            super().__init__(image_processor, tokenizer)
        self.max_tokens = max_tokens
        self.normalizer = normalizer
        tokenizer.model_max_length = max_tokens

    @classmethod
    def from_towers(
        cls, text: str | Path, vision: str | Path | PreTrainedConfig | None = None, max_tokens: int = MAX_TOKENS
    ) -> "AraCLIPProcessor":
        """The processor of pretrained towers: the arguments of `AraCLIPModel.from_towers`, by hub id or folder.

        `vision` may also be a timm tower's configuration, which says how pictures are scaled.
        """
        tokenizer = tokenizer_at(text)
        if vision is None:
            return cls(None, tokenizer, max_tokens)
        config = vision if isinstance(vision, PreTrainedConfig) else config_at(vision)
        if config.model_type == "timm_wrapper":
            return cls(timm_image_processor(config), tokenizer, max_tokens)
        if isinstance(vision, PreTrainedConfig):
            raise InputError(
                f'the configuration of "{vision.model_type}" does not say how its pictures are scaled. '
                "Pass the hub id or folder of the image tower."
            )
        return cls(image_processor_at(vision), tokenizer, max_tokens)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any) -> Any:
        """The processor of a hub id or folder of transformers, of a bundled model's name, or of a model folder.

        Raises:
            ModelMismatch: the model folder is damaged.
        """
        if model_folder.is_ours(pretrained_model_name_or_path):
            return cls(*_parts_of(model_folder.find(pretrained_model_name_or_path)))
        if Path(pretrained_model_name_or_path).is_dir():
            settings.check_folder(Path(pretrained_model_name_or_path))
        kwargs["trust_remote_code"] = False  # the code is this one, whatever a folder brings
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

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
            images: one picture or several, as PIL images or arrays.
            text: one text or several, in any spelling; they are normalised here.
            videos, audio: in the signature of every processor; this one takes none.
            kwargs: as ProcessorMixin takes them: `return_tensors`; the tokenizer's and the image processor's own
                (`padding`, `truncation`, `max_length`, `do_resize`, `do_rescale` …), by name or in `text_kwargs`,
                `images_kwargs` and `common_kwargs`. Unless they say otherwise, text is padded to the longest of the
                batch and cut; it never has more than the model's `max_tokens`.

        Returns:
            input_ids and attention_mask (N, T), pixel_values (M, 3, S, S).

        Raises:
            ArgumentError: nothing to prepare, no text, pictures without image processor, or a keyword passed twice.
            TypeError: a keyword that neither the tokenizer nor the image processor has.
        """
        if text is None and images is None:
            raise ArgumentError("the processor got neither text nor picture. Pass text=, images= or both.")
        if images is not None and self.image_processor is None:
            raise ArgumentError("this processor has no image processor: its model has no image tower. Pass text only.")
        how = self._by_part(kwargs)
        data: dict[str, Any] = {}
        if text is not None:
            data.update(self._tokens(text, **how["text_kwargs"]))
        if images is not None:
            data.update(self.image_processor(images, **how["images_kwargs"]))
        return BatchFeature(data)

    def _by_part(self, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The keyword arguments of a call, of the tokenizer and of the image processor, as ProcessorMixin sorts them.

        ProcessorMixin's own method ignored names beside dictionaries before transformers 5.24, and changed the latter.
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
            usual = {**_TEXT_KWARGS, **self._tokenizers_own(known[part])} if part == "text_kwargs" else {}
            sorted_out[part] = {**usual, **(given.get("common_kwargs") or {}), **named, **nested}
        return sorted_out

    def _tokenizers_own(self, known: set[str]) -> dict[str, Any]:
        """The keyword arguments that the tokenizer was made with, for every call of it."""
        made = self.tokenizer.init_kwargs
        return {key: getattr(self.tokenizer, key, made[key]) for key in known & made.keys() if made[key] is not None}

    def _tokens(self, text: str | Sequence[str], max_length: int | None = None, **how: Any) -> Mapping[str, Any]:
        texts = [text] if isinstance(text, str) else list(text)
        for entry in texts:
            if not isinstance(entry, str):
                raise ArgumentError(f"expected a text or a list of texts, got {entry!r:.80} ({type(entry).__name__}).")
        if not isinstance(self.tokenizer, AraCLIPTokenizer):  # which normalises itself
            texts = [normalize(entry) for entry in texts]
        longest = min(self.max_tokens, self.tokenizer.model_max_length)  # sentence-transformers lowers the latter
        tokens: Mapping[str, Any] = self.tokenizer(texts, max_length=min(longest, max_length or longest), **how)
        return tokens

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the tokenizer's files, processor_config.json with the image processor inside, and `hub_files`' module.

        Raises:
            InputError: `push_to_hub` without image processor.
        """
        folder = Path(save_directory)
        if self.image_processor is not None:
            super().save_pretrained(str(folder))
        elif push_to_hub:
            raise InputError("save the processor without push_to_hub=True, then call its push_to_hub.")
        else:
            self.tokenizer.save_pretrained(folder)
            self.to_json_file(folder / "processor_config.json")
        name_the_tokenizer(folder)
        hub_files.write_module(folder)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return [str(folder / "processor_config.json")]

    def to_dict(self) -> dict[str, Any]:
        """What processor_config.json holds."""
        return {**super().to_dict(), "auto_map": {"AutoProcessor": f"{MODULE}.AraCLIPProcessor"}}

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoProcessor") -> None:
        """Does nothing: every saved folder names its classes already, and no source code is copied into it."""

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """ProcessorMixin's hook for reading the parts; it requires every part."""
        if (processor_dict or {}).get("image_processor") is None:
            return [None, AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)]
        parts: list[Any] = super()._get_arguments_from_pretrained(
            pretrained_model_name_or_path, processor_dict, **kwargs
        )
        return parts


def _parts_of(folder: Path) -> tuple[ViTImageProcessor, PreTrainedTokenizerFast, int]:
    """Image processor, tokenizer and `max_tokens` of a model folder."""
    config = model_folder.read_config(folder)
    if config.source is not None:
        raise ModelMismatch(
            f"{folder} holds another kind of model than an AraCLIPModel, so it has no AraCLIPProcessor. Use it with "
            "AraCLIP.load, which prepares texts and pictures itself."
        )
    model_check.check_tower(folder, config, "text")
    model_folder.check_hash(folder, config, "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.text.pad_id)
    image = config.image
    return square_processor(image.size, image.size, image.mean, image.std), tokenizer, config.text.max_tokens


def timm_image_processor(config: PreTrainedConfig) -> ViTImageProcessor:
    """A plain image processor with the size, mean and standard deviation that a timm model was trained with.

    Pictures are squashed to the square, not cropped, so that things at their edges can be found.
    """
    import timm

    trained = getattr(config, "pretrained_cfg", None) or {}
    if not trained:
        trained = timm.get_pretrained_cfg(config.architecture, allow_unregistered=True)
        trained = trained.to_dict() if trained else {}
    data = timm.data.resolve_data_config({**(config.model_args or {})}, pretrained_cfg=trained)
    _, height, width = data["input_size"]
    return square_processor(height, width, data["mean"], data["std"])


def square_processor(height: int, width: int, mean: Sequence[float], std: Sequence[float]) -> ViTImageProcessor:
    """An image processor that squashes pictures to one size, bicubically, as the exported models do."""
    return ViTImageProcessor(
        size={"height": height, "width": width},
        resample=BICUBIC,
        image_mean=list(mean),
        image_std=list(std),
        do_convert_rgb=True,
    )


def squashing_processor(published: Any, size: int | None) -> ViTImageProcessor:
    """An image processor with the mean and deviation of a published one that squashes pictures to its square.

    Training, the exported graph and transformers then all see the same pixels, and nothing is cropped away.
    """
    own = published.size
    side = size or own.get("height") or own.get("shortest_edge")
    return square_processor(side, side, published.image_mean, published.image_std)


def image_size(processor: AraCLIPProcessor) -> int:
    """Pixels a side of the image tower's input.

    Raises:
        RecipeError: the model has no image tower.
    """
    if processor.image_processor is None:
        raise RecipeError("this model has no image tower, and the stage or its dev set needs one. Name [model] vision.")
    return int(processor.image_processor.size["height"])


def pixel_mean_and_std(processor: AraCLIPProcessor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel, for values from 0 to 1."""
    pictures: Any = processor.image_processor
    return list(pictures.image_mean), list(pictures.image_std)


AutoProcessor.register(AraCLIPConfig, AraCLIPProcessor, exist_ok=True)
