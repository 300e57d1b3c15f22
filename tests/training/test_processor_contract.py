"""What every processor and tokenizer of transformers promises, and how others find ours: Auto classes, pipelines."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BertModel, BertTokenizer, CLIPModel, CLIPProcessor, CLIPVisionModel, pipeline

import araclip
from araclip import AraCLIPConfig, AraCLIPModel, AraCLIPProcessor, AraCLIPTokenizer
from araclip.errors import InputError
from araclip.training.model.configuration import BranchesConfig
from tiny_hf import SIZE, SPECIAL, WORDS, picture, saved, tiny_model, tiny_processor
from warm import environment

PLAIN, ADORNED = "قطة جالسة على طاولة", "قِطّـــة   جالسة على\u200f طاولة"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = saved(tmp_path_factory.mktemp("contract") / "tiny", tiny_model(image="clip"), tiny_processor())
    picture().save(path.parent / "picture.png")
    return path


# ------------------------------------------------------------------ keyword arguments


def test_keywords_of_both_parts_are_taken_by_name() -> None:
    processor, image = tiny_processor(), Image.new("RGB", (SIZE, SIZE), "white")
    plain = processor(images=image, text="قطة", return_tensors="pt")
    raw = processor(images=image, return_tensors="pt", do_rescale=False, do_normalize=False)["pixel_values"]
    assert plain["pixel_values"].max() == 1.0 and raw.max() == 255
    wide = Image.new("RGB", (2 * SIZE, SIZE))
    assert processor(images=wide, return_tensors="pt", do_resize=False)["pixel_values"].shape == (1, 3, SIZE, 2 * SIZE)
    asked = {"do_rescale": False, "do_normalize": False}
    for nested in (
        {"images_kwargs": asked, "return_tensors": "pt"},
        {"common_kwargs": {"return_tensors": "pt"}, **asked},
    ):
        assert torch.equal(processor(images=image, **nested)["pixel_values"], raw)
    for padded in (
        processor(text="قطة", padding="max_length", max_length=9),
        processor(text="قطة", text_kwargs={"padding": "max_length", "max_length": 9}),
    ):
        assert len(padded["input_ids"][0]) == 9
    assert len(processor(text=" ".join(["cat"] * 60))["input_ids"][0]) == processor.max_tokens == 32
    assert isinstance(processor(text="قطة", return_tensors="np")["input_ids"], np.ndarray)
    assert processor(text=["قطة", "قطة كلب"], padding=False)["input_ids"] == [[2, 5, 3], [2, 5, 6, 3]]
    assert "token_type_ids" in processor(text="قطة", return_token_type_ids=True)
    processor.tokenizer.init_kwargs |= {"padding": "max_length", "max_length": 9}
    assert len(processor(text="قطة")["input_ids"][0]) == 9
    assert len(processor(text="قطة", max_length=7)["input_ids"][0]) == 7


def test_the_image_processors_own_settings_stand() -> None:
    processor, image = tiny_processor(), Image.new("RGB", (SIZE, SIZE), "white")
    processor.image_processor.do_normalize = False
    processor.image_processor.rescale_factor = -1.0
    assert processor(images=image, return_tensors="pt")["pixel_values"].max() == -255
    assert processor(images=image, return_tensors="pt", rescale_factor=1.0)["pixel_values"].max() == 255


def test_what_is_said_twice_or_unknown_is_refused() -> None:
    processor = tiny_processor()
    with pytest.raises(ValueError, match="passed two times"):
        processor(images=picture(), do_rescale=False, images_kwargs={"do_rescale": True})
    with pytest.raises(TypeError, match=r"AraCLIPProcessor takes no padding_length\. See text_kwargs"):
        processor(text="قطة", padding_length=3)
    with pytest.raises(ValueError, match="neither text nor picture") as refused:  # as of every processor
        processor()
    assert isinstance(refused.value, InputError)


def test_the_signature_and_names_are_those_of_every_processor() -> None:
    parameters = inspect.signature(AraCLIPProcessor.__call__).parameters.values()
    assert [p.name for p in parameters][1:5] == ["images", "text", "videos", "audio"]
    assert all(p.default is None for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self")
    processor = tiny_processor()
    both = processor(images=picture(), text="قطة")
    assert set(both) == {*processor.image_processor.model_input_names, "input_ids", "attention_mask"}
    assert processor.batch_decode(both["input_ids"], skip_special_tokens=True) == ["قطة"]
    assert json.loads(processor.to_json_string())["processor_class"] == "AraCLIPProcessor"


@pytest.mark.parametrize("images", [True, False])
def test_a_processor_saved_twice_is_written_the_same(tmp_path: Path, images: bool) -> None:
    processor = tiny_processor(images, max_tokens=7)
    written = []
    for name in ("once", "twice", "thrice"):  # transformers 5.0 loads another image processor than was saved
        processor.save_pretrained(tmp_path / name)
        processor = AraCLIPProcessor.from_pretrained(tmp_path / name)
        names = ("processor_config.json", "tokenizer_config.json", "tokenizer.json", "modeling_araclip.py")
        written.append([(tmp_path / name / file).read_text(encoding="utf-8") for file in names])
    assert written[1] == written[2] and written[0][2:] == written[1][2:]
    assert isinstance(processor.tokenizer, AraCLIPTokenizer) and processor.max_tokens == 7
    changed = AraCLIPProcessor.from_pretrained(tmp_path / "once", max_tokens=5)
    assert len(changed(text="a cat on a table")["input_ids"][0]) == 5


# ------------------------------------------------------------------ the tokenizer


def test_a_saved_tokenizer_normalises_and_cuts_whoever_calls_it(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = tiny_processor()(text=PLAIN)["input_ids"][0]
    assert isinstance(tokenizer, AraCLIPTokenizer)
    assert (
        tokenizer(ADORNED)["input_ids"] == tokenizer([ADORNED])["input_ids"][0] == tokenizer.encode(ADORNED) == wanted
    )
    assert tokenizer.tokenize(ADORNED) == PLAIN.split()
    assert set(tokenizer(ADORNED)) == {"input_ids", "attention_mask"}
    assert len(tokenizer(" ".join(["cat"] * 60))["input_ids"]) == 32
    assert len(tokenizer(" ".join(["cat"] * 60), truncation=False)["input_ids"]) == 62
    assert tokenizer("a cat", "كَلب")["input_ids"] == tokenizer("a cat", "كلب")["input_ids"]
    assert tokenizer.encode(ADORNED, ADORNED) == tokenizer.encode(PLAIN, PLAIN)
    assert tokenizer.tokenize("a cat", "كَلب") == ["a", "cat", "كلب"]
    assert tokenizer(text_target=[ADORNED], text_pair_target=[ADORNED]) == tokenizer([PLAIN], [PLAIN])


def test_tokenizers_are_the_same_after_saving_with_a_processor(tmp_path: Path) -> None:
    bert = BertTokenizer(vocab={word: i for i, word in enumerate((*SPECIAL, *WORDS))}, do_lower_case=True)
    pieces = [("[PAD]", 0.0), ("[UNK]", 0.0), *((f"▁{word}", -1.0) for word in WORDS), ("▁", -3.0), ("[CLS]", 0.0)]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=1))
    xlmr = araclip.AraCLIPTokenizer(tokenizer_object=unigram, pad_token="[PAD]", unk_token="[UNK]")
    texts = [PLAIN, "A Cat on a table", "cat قطة xyz"]
    for number, tokenizer in enumerate((bert, xlmr)):
        before = AraCLIPProcessor(None, tokenizer)
        before.save_pretrained(tmp_path / str(number))
        after = AraCLIPProcessor.from_pretrained(tmp_path / str(number))
        assert isinstance(after.tokenizer, AraCLIPTokenizer)
        assert after(text=texts)["input_ids"] == before(text=texts)["input_ids"]
        assert after.tokenizer.pad_token_id == before.tokenizer.pad_token_id


# ------------------------------------------------------------------ other people's classes


def test_the_zero_shot_pipeline_takes_arabic_labels(folder: Path) -> None:
    image, labels = picture(), [ADORNED, "كلب", "car"]
    classify = pipeline("zero-shot-image-classification", model=str(folder))
    found = {one["label"]: one["score"] for one in classify(image, labels, hypothesis_template="صُورة {}")}
    model, processor = AraCLIPModel.from_pretrained(folder), AraCLIPProcessor.from_pretrained(folder)
    given = processor(text=[f"صورة {label}" for label in (PLAIN, *labels[1:])], images=image, return_tensors="pt")
    wanted = model(**given).logits_per_image.softmax(dim=1)[0].tolist()
    assert [found[label] for label in labels] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("kind", [CLIPModel, CLIPVisionModel, BertModel])
def test_transformers_classes_refuse_a_saved_folder_by_names(folder: Path, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"Load it with AraCLIPModel\.from_pretrained and AraCLIPProcessor\.from_pret"):
        kind.from_pretrained(folder)


def test_they_refuse_a_width_that_clips_heads_do_not_divide(tmp_path: Path) -> None:
    vision = BranchesConfig("test_efficientnet", 2, 1, hidden_size=512)
    text = tiny_model().config.text_config
    AraCLIPModel(AraCLIPConfig(text, vision, projection_dim=8)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"Load it with AraCLIPModel\.from_pretrained"):
        CLIPModel.from_pretrained(tmp_path)
    AraCLIPModel.from_pretrained(tmp_path)


def test_clips_processor_makes_our_tokens(folder: Path) -> None:
    theirs, ours = CLIPProcessor.from_pretrained(folder), AraCLIPProcessor.from_pretrained(folder)
    texts = [ADORNED, " ".join(["cat"] * 60)]
    assert theirs(text=texts, padding=True)["input_ids"] == ours(text=texts)["input_ids"]


WITHOUT_ARACLIP = """
import json, sys
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer
from transformers import CLIPModel, CLIPProcessor

def load(kind, **how):
    try:
        return type(kind.from_pretrained(sys.argv[1], **how)).__name__
    except Exception as error:
        return str(error)

kinds = (AutoConfig, AutoModel, AutoProcessor, AutoTokenizer, CLIPModel, CLIPProcessor)
found = {kind.__name__: load(kind) for kind in kinds}
found["imported"] = "araclip" in sys.modules
for kind in (AutoProcessor, AutoTokenizer, AutoModel, AutoConfig, AutoImageProcessor):
    found["trusted " + kind.__name__] = load(kind, trust_remote_code=True)
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
model.save_pretrained(sys.argv[2])
processor.save_pretrained(sys.argv[2])
print("\\n" + json.dumps(found))
"""


def test_without_araclip_a_folder_asks_for_trust(folder: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ARACLIP, str(folder), str(tmp_path / "again")],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=environment(HF_MODULES_CACHE=str(tmp_path / "modules")),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert not found.pop("imported")
    assert "AraCLIPProcessor" in found.pop("CLIPModel")
    for kind in ("AutoConfig", "AutoModel", "AutoProcessor", "AutoTokenizer", "CLIPProcessor"):
        assert "Please pass the argument `trust_remote_code=True`" in found.pop(kind)
    assert "ViTImageProcessor" in found.pop("trusted AutoImageProcessor")  # 5.0 adds "Fast"
    for part in ("Config", "Model", "Processor", "Tokenizer"):
        assert found.pop(f"trusted Auto{part}") == f"AraCLIP{part}"
    assert not found
    again = {path.name for path in (tmp_path / "again").glob("*.py")}
    assert again == {"modeling_araclip.py"}  # an import, and no source code of araclip
    assert len((tmp_path / "again" / "modeling_araclip.py").read_text(encoding="utf-8").splitlines()) == 1
