"""The Auto classes and sentence-transformers know AraCLIP after one import; publishing carries the card."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, RepoUrl
from sentence_transformers import SentenceTransformer

import araclip
from araclip import AraCLIPModel
from tiny_hf import picture, saved, tiny_model, tiny_processor
from warm import environment, warm

CAPTIONS = ["قطة جالسة على طاولة", "كلب", "a dog on a table"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return saved(tmp_path_factory.mktemp("hub") / "tiny", tiny_model(), tiny_processor())


def python(code: str) -> list[str]:
    """What a fresh interpreter prints, split at white space."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.split()


WITH_TRANSFORMERS = """
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers import BertModel, PreTrainedTokenizerFast, ViTImageProcessor, ViTModel, modeling_utils
assert not any(name.startswith("araclip") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def after_transformers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[str]]]:
    """Like `python`, in an interpreter that imported transformers and torch before the program, and no araclip."""
    with warm(WITH_TRANSFORMERS) as interpreter:

        def run(code: str) -> list[str]:
            started = interpreter.start(code, printed=tmp_path_factory.mktemp("printed") / "out")
            assert started.wait() == 0, started.printed.read_text(encoding="utf-8")
            return started.printed.read_text(encoding="utf-8").split()

        yield run


# ------------------------------------------------------------------ the Auto classes


def loading(imports: str, folder: Path) -> str:
    """A program that prints the classes that the Auto classes find, and how many import finders are araclip's."""
    return (
        f"{imports}\nimport sys; from transformers import AutoConfig, AutoModel, AutoProcessor\n"
        f"for auto in (AutoProcessor, AutoConfig, AutoModel):\n"
        f"    print(type(auto.from_pretrained({str(folder)!r})).__name__)\n"
        "print(sum('araclip' in type(finder).__module__ for finder in sys.meta_path))\n"
    )


FOUND = ["AraCLIPProcessor", "AraCLIPConfig", "AraCLIPModel", "0"]


def test_the_auto_classes_load_a_saved_folder(folder: Path) -> None:
    code = loading("from araclip import AraCLIPModel; import transformers", folder) + (
        "import inspect; from transformers.models.auto import configuration_auto as module\n"
        "print(type(module.__spec__.loader).__name__, type(module.__loader__).__name__)\n"
        "print(len(inspect.getsource(module)) > 99)"
    )
    assert python(code) == [*FOUND, "SourceFileLoader", "SourceFileLoader", "True"]


@pytest.mark.parametrize(
    "imports",
    [
        "from transformers import AutoConfig, AutoModel, AutoProcessor; from araclip import AraCLIPModel",
        "import transformers.modeling_utils; from araclip import AraCLIPProcessor",
    ],
)
def test_the_auto_classes_load_after_transformers_came_first(
    folder: Path, imports: str, after_transformers: Callable[[str], list[str]]
) -> None:
    assert after_transformers(loading(imports, folder)) == FOUND


def test_importing_araclip_loads_no_transformers() -> None:
    code = (
        "import sys, importlib, araclip; importlib.reload(araclip)\n"
        "print('transformers' in sys.modules, 'torch' in sys.modules, "
        "sum('araclip' in type(finder).__module__ for finder in sys.meta_path))"
    )
    assert python(code) == ["False", "False", "0"]


def test_configuration_alone_registers_itself_and_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # as if it were not installed
        "from araclip import AraCLIPConfig; from transformers import AutoConfig\n"
        f"print(AraCLIPConfig().text_config.model_type, type(AutoConfig.from_pretrained({str(folder)!r})).__name__)\n"
        "print('araclip.training.model.model' in sys.modules)"
    )
    assert python(code) == ["bert", "AraCLIPConfig", "False"]


def test_two_threads_that_import_at_once_both_find_the_model(
    folder: Path, after_transformers: Callable[[str], list[str]]
) -> None:
    code = (
        "import threading, transformers\nfound = []\n"  # two threads cannot import transformers itself
        "def load():\n    from araclip import AraCLIPModel\n    from transformers import AutoModel\n"
        f"    found.append(type(AutoModel.from_pretrained({str(folder)!r})).__name__)\n"
        "def ours():\n    from araclip import AraCLIPModel\n    found.append(AraCLIPModel.__name__)\n"
        "threads = [threading.Thread(target=t) for t in (load, ours, load, ours)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(*found)"
    )
    assert after_transformers(code) == ["AraCLIPModel"] * 4


def test_an_unfit_transformers_works_without_araclip(
    after_transformers: Callable[[str], list[str]],
) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('error', ImportWarning)\n"
        "import araclip\nsys.modules['araclip.training.model.configuration'] = None\n"
        "from transformers import AutoConfig\n"
        "try:\n    from araclip import AraCLIPModel\n"
        "except ImportError as error:\n    print(AutoConfig.__name__, araclip.normalize('قطّة'), error.name)"
    )
    assert after_transformers(code) == ["AutoConfig", "قطة", "araclip.training.model.configuration"]


# ------------------------------------------------------------------ sentence-transformers


def test_sentence_transformers_gives_the_models_own_unit_vectors(folder: Path) -> None:
    model, processor = AraCLIPModel.from_pretrained(folder), tiny_processor()
    pictures = [picture(), picture((10, 200, 10))]
    theirs = SentenceTransformer(str(folder), device="cpu")
    ours = model(**processor(text=CAPTIONS, images=pictures, return_tensors="pt"))
    words = theirs.encode(CAPTIONS, convert_to_tensor=True)
    sight = theirs.encode(pictures, convert_to_tensor=True)
    torch.testing.assert_close(words, ours.text_embeds)
    torch.testing.assert_close(sight, ours.image_embeds)
    torch.testing.assert_close(
        theirs.encode("قِطّـــة", convert_to_tensor=True), theirs.encode("قطة", convert_to_tensor=True)
    )
    torch.testing.assert_close(words.norm(dim=-1), torch.ones(3))
    assert theirs.get_embedding_dimension() == 8
    assert theirs.max_seq_length == 32


def test_sentence_transformers_reads_what_it_has_saved_itself(folder: Path, tmp_path: Path) -> None:
    before = SentenceTransformer(str(folder), device="cpu")
    before.save(str(tmp_path))
    after = SentenceTransformer(str(tmp_path), device="cpu")
    for batch in (CAPTIONS, [picture()]):
        torch.testing.assert_close(
            after.encode(batch, convert_to_tensor=True), before.encode(batch, convert_to_tensor=True)
        )


def test_sentence_transformers_embeds_text_without_image_tower(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_model(image=None), tiny_processor(images=False))
    theirs = SentenceTransformer(str(path), device="cpu")
    ours = AraCLIPModel.from_pretrained(path)(**tiny_processor(images=False)(text=CAPTIONS, return_tensors="pt"))
    torch.testing.assert_close(theirs.encode(CAPTIONS, convert_to_tensor=True), ours.text_embeds)
    assert theirs[0].modalities == ["text"]


# ------------------------------------------------------------------ the card, and publishing


def test_card_names_towers_width_and_three_ways_to_call_it(tmp_path: Path) -> None:
    tiny_model("xlm-roberta", "timm vit", matryoshka_dims=(4,)).save_pretrained(tmp_path / "a")
    tiny_model(image=None, logit_bias_init=-10.0).save_pretrained(tmp_path / "b")
    sees, blind = ((tmp_path / name / "README.md").read_text(encoding="utf-8") for name in "ab")
    for card in (sees, blind):
        assert card.startswith("---\nlibrary_name: araclip\npipeline_tag: ")
        assert "- ar\n- en\n" in card
        for call in ("AraCLIPModel.from_pretrained", "AutoModel.from_pretrained", "SentenceTransformer("):
            assert call in card
        assert "\n\n\n" not in card
    assert "xlm-roberta" in sees and "test_vit" in sees and "8; the prefixes 4 are" in sees and "InfoNCE" in sees
    assert "zero-shot-image-classification" in sees
    assert "none; image vectors" in blind and "sigmoid" in blind and "Image" not in blind


@pytest.mark.parametrize("image", ["vit", None])
def test_the_code_on_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str | None) -> None:
    saved(tmp_path, tiny_model(image=image), tiny_processor(images=image is not None))
    picture().save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    card = Path("README.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    assert len(blocks) == 3
    for block in blocks:
        space: dict[str, Any] = {}
        exec(block.replace("FOLDER", "."), space)
        assert any(name in space for name in ("outputs", "processor", "texts"))


def test_a_card_that_someone_wrote_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    tiny_model().save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


class Hub:
    """The hub's side of the network: it remembers what was uploaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, has_card: bool) -> None:
        self.files: dict[str, bytes] = {}
        self.told: dict[str, Any] = {}
        monkeypatch.setattr(HfApi, "create_repo", self.create_repo)
        monkeypatch.setattr(HfApi, "file_exists", lambda *_, **__: has_card)
        monkeypatch.setattr(HfApi, "upload_folder", self.upload_folder)

    def create_repo(self, repo_id: str, private: bool | None, exist_ok: bool) -> RepoUrl:
        self.told["private"] = private
        return RepoUrl(f"https://huggingface.co/owner/{Path(repo_id).name}")

    def upload_folder(self, repo_id: str, folder_path: Path, ignore_patterns: list[str] | None, **told: Any) -> str:
        self.told |= {"repo_id": repo_id, **told}
        for path in folder_path.rglob("*"):
            if path.is_file() and path.name not in (ignore_patterns or []):
                self.files[str(path.relative_to(folder_path))] = path.read_bytes()
        return "commit"


PUBLISHED = {"README.md", "config.json", "model.safetensors", "modules.json", "sentence_bert_config.json",
             "1_Normalize/config.json", "modeling_araclip.py"}  # fmt: skip


def test_pushing_uploads_weights_configuration_and_card(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, has_card=False)
    assert tiny_model().push_to_hub("owner/mini", private=True, commit_message="first") == "commit"
    assert set(hub.files) == PUBLISHED
    assert "قطة جالسة على طاولة" in hub.files["README.md"].decode()
    assert hub.told == {"private": True, "repo_id": "owner/mini", "commit_message": "first"}


def test_pushing_keeps_a_card_that_the_repository_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = Hub(monkeypatch, has_card=True)
    tiny_model().save_pretrained(tmp_path / "mini", push_to_hub=True, commit_message="again")
    assert set(hub.files) == PUBLISHED - {"README.md"}
    assert hub.told["repo_id"] == "owner/mini"
    assert (tmp_path / "mini" / "README.md").exists()


def test_the_processor_can_be_pushed_without_an_image_processor(tmp_path: Path) -> None:
    with pytest.raises(araclip.AraCLIPError, match="call its push_to_hub"):
        tiny_processor(images=False).save_pretrained(tmp_path, push_to_hub=True)


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "worker", is_main_process=False)
    assert not (tmp_path / "worker" / "README.md").exists()
    config = tmp_path / "main"
    tiny_model().save_pretrained(config)
    assert json.loads((config / "config.json").read_text())["model_type"] == "araclip"
