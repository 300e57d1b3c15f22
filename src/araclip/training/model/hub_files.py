"""Writes a saved model's files beside the weights (model card, settings for sentence-transformers), and uploads it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi

from araclip import __version__
from araclip.core import atomic
from araclip.core.display import shown
from araclip.training.model.configuration import MODULE, AraCLIPConfig, Named

CARD = "README.md"
UPLOAD = ("private", "token", "commit_message", "commit_description", "revision", "create_pr")

_IMPORT = "from araclip import AraCLIPConfig, AraCLIPModel, AraCLIPProcessor, AraCLIPTokenizer  # noqa: F401\n"
_ST = "sentence_transformers.base.modules"
_SENTENCE_TRANSFORMERS = [
    {"idx": 0, "name": "0", "path": "", "type": f"{_ST}.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Normalize", "type": f"{_ST}.normalize.Normalize"},
]


class Published(Named):
    """Saves and uploads a model with its card and the files by which other libraries find its classes."""

    config: Any

    def save_pretrained(
        self, save_directory: str | Path, is_main_process: bool = True, push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Write safetensors, config.json, a model card, and what other libraries need to load the folder.

        An existing README.md is not overwritten. `push_to_hub=True` also uploads the folder, to the repository
        `repo_id`, by default named like the folder.
        """
        repository = kwargs.pop("repo_id", Path(save_directory).name)
        options = {name: kwargs.pop(name) for name in UPLOAD if name in kwargs} if push_to_hub else {}
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)  # type: ignore[misc]
        if is_main_process:
            write_extras(Path(save_directory), self.config)
        if push_to_hub:
            upload(Path(save_directory), repository, **options)

    def push_to_hub(self, repo_id: str, *, max_shard_size: int | str = "50GB", **options: Any) -> Any:
        """Upload what `save_pretrained` writes; a model card that the repository already has is not replaced.

        Args:
            repo_id: "owner/name"; the repository is created if it does not exist.
            options: `private`, `token`, `commit_message`, `commit_description`, `revision`, `create_pr`.

        Returns:
            huggingface_hub's CommitInfo.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            return upload(Path(folder), repo_id, **options)


def write_extras(folder: Path, config: AraCLIPConfig) -> None:
    """Write the model card, unless the folder has one, and the files that other libraries read."""
    if not (folder / CARD).exists():
        atomic.write_text(folder / CARD, model_card(config))
    methods = {"text": "get_text_features", "image": "get_image_features"}
    if config.vision_config is None:
        del methods["image"]
    write_module(folder)
    _write_json(folder / "modules.json", _SENTENCE_TRANSFORMERS)
    _write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {
                kind: {"method": method, "method_output_name": "pooler_output"} for kind, method in methods.items()
            },
            "module_output_name": "sentence_embedding",
        },
    )
    (folder / "1_Normalize").mkdir(exist_ok=True)
    _write_json(folder / "1_Normalize" / "config.json", {"module_input_name": "sentence_embedding"})


def write_module(folder: Path) -> None:
    """Write the module that `trust_remote_code=True` runs: a single import of araclip, and no other code."""
    atomic.write_text(folder / f"{MODULE}.py", _IMPORT)


def model_card(config: AraCLIPConfig) -> str:
    """Return the text of README.md: Markdown with a YAML header for the hub."""
    vision = config.vision_config is not None
    tower = _tower_name(config.vision_config) if vision else "none; image vectors are computed beforehand"
    # The hub knows some licences by name; for any other licence its YAML header takes `other` and a name.
    named = f"license: other\nlicense_name: {json.dumps(shown(config.license))}\n" if config.license else ""
    prefixes = ", ".join(map(str, config.matryoshka_dims))
    width = f"{config.projection_dim}{f'; the prefixes {prefixes} are good vectors too' if prefixes else ''}"
    pictures = ', images=Image.open("picture.jpg")' if vision else ""
    pillow = "from PIL import Image\n" if vision else ""
    return f"""---
library_name: araclip
pipeline_tag: {"zero-shot-image-classification" if vision else "feature-extraction"}
language:
- ar
- en
{named}tags:
- araclip
- clip
- arabic
- image-text-retrieval
- cross-lingual
---

# An AraCLIP model

A dual encoder for Arabic (and English) text and pictures: both become vectors of one space, in which a text lies close
to the pictures it describes. Written by araclip {__version__}.

| | |
|---|---|
| text tower | {_tower_name(config.text_config)}, {config.text_pooling} pooling, linear projection |
| image tower | {tower}{f", {config.vision_projection} projection" if vision else ""} |
| width of the vectors | {width} |
| loss | {"InfoNCE" if config.logit_bias_init is None else "sigmoid"} |
| longest text | {config.max_tokens} tokens |
| text normaliser | version {config.normalizer}; the processor applies it |

## Use

```bash
pip install "araclip[train]"
```

AraCLIP:

```python
from araclip import AraCLIPModel, AraCLIPProcessor
{pillow}
model = AraCLIPModel.from_pretrained("FOLDER")
processor = AraCLIPProcessor.from_pretrained("FOLDER")
inputs = processor(text="قطة جالسة على طاولة"{pictures}, return_tensors="pt")
outputs = model(**inputs)  # {"logits_per_image, " if vision else ""}text_embeds{", image_embeds" if vision else ""}
```

transformers, whose Auto classes know the model after this import from araclip:

```python
from araclip import AraCLIPModel
from transformers import AutoModel, AutoProcessor

model, processor = AutoModel.from_pretrained("FOLDER"), AutoProcessor.from_pretrained("FOLDER")
```

sentence-transformers, version 6.2 or later, after the same import:

```python
from araclip import AraCLIPModel
{pillow}from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
texts = model.encode(["قطة جالسة على طاولة"])  # (1, {config.projection_dim}), rows of length 1
{'pictures = model.encode([Image.open("picture.jpg")])' if vision else ""}
```

## Trained on, measured, limits, licence

{_license_paragraph(config)}
""".replace("\n\n```\n", "\n```\n")


def _license_paragraph(config: AraCLIPConfig) -> str:
    """Return a paragraph on licence and training data, as far as they are known, and on what to fill in."""
    if not config.license:
        return (
            "Not filled in yet: name the data with their licences, the numbers with their protocol, and what the "
            "model cannot do."
        )
    data = "".join(f"- {shown(line)}\n" for line in config.training_data)
    trained = f"They were trained on:\n\n{data}\n" if data else ""
    return (
        f"Licence of these weights, or of those they were trained from: {shown(config.license)}. {trained}Not filled "
        "in yet: what they were trained on since, the numbers with their protocol, and what the model cannot do."
    )


def upload(folder: Path, repo_id: str, private: bool | None = None, token: Any = None, **commit: Any) -> Any:
    """Upload a saved model; create the repository if needed, and do not replace a model card that it already has."""
    hub = HfApi(token=token)
    repository = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
    has_card = hub.file_exists(repository, CARD, revision=commit.get("revision"))
    commit.setdefault("commit_message", "Upload model")
    left_out = [CARD] if has_card else None
    return hub.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=left_out, **commit)


def source_of(config: Any) -> str:
    """Return where a tower came from: its hub id or relative path; of an absolute path, only the folder's name.

    "" if it is not known.
    """
    named = str(config.name_or_path or "")
    return Path(named).name if Path(named).is_absolute() else named


def kind_of(config: Any) -> str:
    """Return the kind of a tower, such as bert, or the name of its timm network."""
    return str(getattr(config, "architecture", config.model_type))


def _tower_name(config: Any) -> str:
    size, source = getattr(config, "hidden_size", None), source_of(config)
    return f"{f'`{source}`, ' if source else ''}{kind_of(config)}{f', {size} wide' if size else ''}"


def _write_json(path: Path, content: Any) -> None:
    atomic.write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
