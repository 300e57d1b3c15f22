"""Published models as encoders: their vectors are those of their own code, and hostile files are not executed."""

import io
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize as l2_normalize
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    AutoImageProcessor,
    AutoTokenizer,
    BertConfig,
    BertModel,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessor,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    MPNetConfig,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
)

import tiny_hf
import tiny_published
from araclip import AraCLIP, Gallery, open_gallery
from araclip.errors import ImageError, InputError, ModelMismatch, ModelNotFound, UnreadableImage, WidthMismatch
from araclip.models.encoder import Encoder
from araclip.peers import loading, model_registry
from araclip.peers.request import parse_request
from araclip.peers.translation import Translated
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.pictures.images import open_image
from araclip.training.model.foreign import on_pillow
from serving import photo_album, serving, settings_for
from tiny_peers import (
    BERT,
    SIDE,
    TEXTS,
    write_araclip,
    write_mclip,
    write_nllb_clip,
    write_older_araclip,
)

pytestmark = pytest.mark.usefixtures("small_models", "seeded")

LAYERS: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
TEXT: dict[str, Any] = {**LAYERS, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 0}
VISION: dict[str, Any] = {**LAYERS, "image_size": 16, "patch_size": 8}
CLOSE = {"atol": 1e-5, "rtol": 0}
SQUASHED = SiglipImageProcessor(size={"height": 16, "width": 16})
CROPPED = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MODEL/FILE of a tiny CLIP of open_clip."""
    path = tmp_path_factory.mktemp("clip") / "weights.pt"
    torch.manual_seed(1)
    torch.save(open_clip.create_model("araclip-tiny-clip", load_weights=False).state_dict(), path)
    return f"araclip-tiny-clip/{path}"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path | Image.Image]:
    """Two files and a picture in memory; their names and modes are such as people have."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "قطة [1].png")
    tiny_hf.picture((20, 90, 200)).save(tmp_path / "b.png")
    return [tmp_path / "قطة [1].png", tmp_path / "b.png", tiny_hf.picture(90, "L")]


def rgb(pictures: list[Path | Image.Image]) -> list[Image.Image]:
    return [(p if isinstance(p, Image.Image) else Image.open(p)).convert("RGB") for p in pictures]


def tokens(folder: Path, texts: list[str] = TEXTS, **how: Any) -> dict[str, Any]:
    return dict(AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **{"padding": True, **how}))


def pooled(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def same(encoder: Encoder, text: torch.Tensor, image: torch.Tensor, pictures: Any, texts: list[str] = TEXTS) -> None:
    np.testing.assert_allclose(encoder.encode_text(texts), l2_normalize(text, dim=-1).numpy(), **CLOSE)
    np.testing.assert_allclose(encoder.encode_image(pictures), l2_normalize(image, dim=-1).numpy(), **CLOSE)
    assert encoder.width == text.shape[1]


def written(folder: Path, model: Any, processor: Any) -> None:
    """A model of transformers, saved with its image processor and a tokenizer."""
    for part in (model, processor, tiny_hf.tiny_tokenizer()):
        part.save_pretrained(folder)


def of_transformers(
    folder: Path, kind: Any, pictures: list[Any], texts: list[str] = TEXTS, masked: bool = True, **how: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a saved model's own code makes of texts and pictures."""
    model, inputs = kind.from_pretrained(folder).eval(), tokens(folder, texts, **how)
    named = {name: inputs[name] for name in ("input_ids", "attention_mask")[: 1 + masked]}
    prepared = on_pillow(AutoImageProcessor.from_pretrained(folder))(images=rgb(pictures), return_tensors="pt")
    return pooled(model.get_text_features(**named)), pooled(model.get_image_features(**prepared))


def squares(pictures: list[Path | Image.Image], side: int) -> torch.Tensor:
    """As AraCLIP's own transforms make them, through torchvision."""
    from torchvision import transforms

    square = transforms.Resize((side, side), transforms.InterpolationMode.BICUBIC, antialias=True)
    compose = transforms.Compose([square, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    return torch.stack([compose(picture) for picture in rgb(pictures)])


def write_clip_of_sentence_transformers(folder: Path) -> Path:
    """A tiny CLIP in the layout of sentence-transformers, in `folder`/st."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    clip = folder / "clip"
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(clip)
    CLIPProcessor(CROPPED, tiny_hf.tiny_tokenizer()).save_pretrained(clip)
    SentenceTransformer(modules=[Transformer(str(clip))], device="cpu").save_pretrained(str(folder / "st"))
    return folder / "st"


# ------------------------------------------------------------------ parity with the code each was published with


@torch.inference_mode()
def test_araclip_as_published(tmp_path: Path, pictures: list[Any]) -> None:
    model = write_araclip(tmp_path / "araclip")
    text = model.text_model(**tokens(tmp_path / "araclip"))
    image = model.clip_model.encode_image(squares(pictures, SIDE))
    same(AraCLIP.load(tmp_path / "araclip"), text, image, pictures)
    same(AraCLIP.load(f"araclip:{tmp_path / 'araclip'}"), text, image, pictures)


@torch.inference_mode()
def test_an_older_araclip_takes_head_and_tower_from_elsewhere(tmp_path: Path, pictures: list[Any]) -> None:
    model = write_older_araclip(tmp_path / "older")
    siglip = open_clip.create_model("ViT-B-16-SigLIP-512", load_weights=False).eval()
    torch.save(siglip.state_dict(), tmp_path / "siglip.pt")
    encoder = AraCLIP.load(f"araclip:{tmp_path / 'older'}+open_clip:ViT-B-16-SigLIP-512/{tmp_path / 'siglip.pt'}")
    _, transform = open_clip.create_model_from_pretrained("ViT-B-16-SigLIP-512", str(tmp_path / "siglip.pt"))
    image = siglip.encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(encoder, model(**tokens(tmp_path / "older")), image, pictures)


@torch.inference_mode()
def test_m_clip_beside_its_image_tower(tmp_path: Path, pictures: list[Any], clip_weights: str) -> None:
    model = write_mclip(tmp_path / "mclip")
    encoder = AraCLIP.load(f"m-clip:{tmp_path / 'mclip'}+open_clip:{clip_weights}")
    clip, transform = open_clip.create_model_from_pretrained(*clip_weights.split("/", 1))
    image = clip.eval().encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(encoder, model(**tokens(tmp_path / "mclip")), image, pictures)


@torch.inference_mode()
def test_altclip(tmp_path: Path, pictures: list[Any]) -> None:
    text = {**TEXT, "project_dim": 12, "pad_token_id": 1}
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    written(tmp_path, AltCLIPModel(config), CROPPED)
    wanted = of_transformers(tmp_path, AltCLIPModel, pictures)
    for spec in (f"altclip:{tmp_path}", f"transformers:{tmp_path}", tmp_path):
        same(AraCLIP.load(spec), *wanted, pictures)
    too_long = "cat " * 60  # positions start behind the padding's id: 40 of them are 38 tokens
    assert AraCLIP.load(tmp_path).encode_text([too_long]).shape == (1, 8)


@torch.inference_mode()
def test_open_clip(tmp_path: Path, pictures: list[Any], clip_weights: str) -> None:
    name, weights = clip_weights.split("/", 1)
    model, transform = open_clip.create_model_from_pretrained(name, weights)
    model.eval()
    text = model.encode_text(open_clip.get_tokenizer(name)(TEXTS))
    image = model.encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(AraCLIP.load(f"open_clip:{clip_weights}"), text, image, pictures)
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "open_clip_config.json").write_text(json.dumps(config))
    shutil.copy(weights, tmp_path / "folder" / "open_clip_pytorch_model.bin")
    same(AraCLIP.load(tmp_path / "folder"), text, image, pictures)


def test_a_gallery_cuts_pictures_where_the_models_library_does(tmp_path: Path, clip_weights: str) -> None:
    wide = Image.new("RGB", (120, 40), "red")
    wide.paste((0, 255, 0), (40, 0, 80, 40))
    model = AraCLIP.load(f"open_clip:{clip_weights}")
    assert transform_of(model) == ImageTransform(model.image_size, "shortest", "bicubic", None)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        wide.save(tmp_path / "wide.png")
        gallery.add([tmp_path / "wide.png"])
        found = gallery.search("a cat")[0].score
    assert found == pytest.approx(float(model.encode_image(wide) @ model.encode_text("a cat")), abs=2e-3)


@torch.inference_mode()
def test_nllb_clip_gets_the_language_of_each_text(tmp_path: Path, pictures: list[Any]) -> None:
    write_nllb_clip(tmp_path / "nllb")
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'nllb'}")
    tokenizer, texts = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'nllb'}"), ["a cat", "قطة", "a dog", "كلب dog"]
    ids = []
    for text, language in zip(texts, ("eng_Latn", "arb_Arab", "eng_Latn", "arb_Arab"), strict=True):
        tokenizer.tokenizer.src_lang = language
        ids.append(tokenizer([text]))
        assert ids[-1][0, 0] == tokenizer.tokenizer.convert_tokens_to_ids(language)
    image = model.eval().encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(AraCLIP.load(tmp_path / "nllb"), model.encode_text(torch.cat(ids)), image, pictures, texts)


@torch.inference_mode()
def test_coca_whose_towers_return_their_tokens_too(tmp_path: Path, pictures: list[Any]) -> None:
    folder = tiny_published.write_coca_of_open_clip(tmp_path / "coca")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    text = model.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS))
    image = model.encode_image(torch.stack([transform(picture) for picture in rgb(pictures)]))
    same(AraCLIP.load(folder), text, image, pictures)


@torch.inference_mode()
def test_clip_of_transformers(tmp_path: Path, pictures: list[Any]) -> None:
    written(tmp_path, CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)), CROPPED)
    same(AraCLIP.load(tmp_path), *of_transformers(tmp_path, CLIPModel, pictures), pictures)


@torch.inference_mode()
def test_siglip_gets_lower_case_padded_to_the_full_length(tmp_path: Path, pictures: list[Any]) -> None:
    config = SiglipConfig(
        text_config={**TEXT, "projection_size": 16, "max_position_embeddings": 9}, vision_config=VISION
    )
    written(tmp_path, SiglipModel(config), SQUASHED)
    how = {"padding": "max_length", "max_length": 9, "truncation": True}
    wanted = of_transformers(tmp_path, SiglipModel, pictures, ["a cat", "قطة"], masked=False, **how)
    same(AraCLIP.load(tmp_path), *wanted, pictures, ["A CAT", "قطة"])


@torch.inference_mode()
def test_a_dual_encoder_of_vit_and_bert(tmp_path: Path, pictures: list[Any]) -> None:
    towers = ViTConfig(**VISION), BertConfig(**BERT)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(*towers, projection_dim=8)
    written(tmp_path, VisionTextDualEncoderModel(config), SQUASHED)
    same(AraCLIP.load(tmp_path), *of_transformers(tmp_path, VisionTextDualEncoderModel, pictures), pictures)


@torch.inference_mode()
def test_a_text_is_cut_at_the_positions_of_its_tower(tmp_path: Path) -> None:
    towers = ViTConfig(**VISION), MPNetConfig(**{**TEXT, "pad_token_id": 1})
    config = VisionTextDualEncoderConfig.from_vision_text_configs(*towers, projection_dim=8)
    written(tmp_path, VisionTextDualEncoderModel(config), SQUASHED)
    how, words = {"truncation": True, "max_length": 38}, ["a cat on a table " * 20]  # of 40; it counts from 2
    text, _ = of_transformers(tmp_path, VisionTextDualEncoderModel, [tiny_hf.picture()], words, **how)
    np.testing.assert_allclose(AraCLIP.load(tmp_path).encode_text(words), l2_normalize(text, dim=-1).numpy(), **CLOSE)


def test_a_chinese_clip_reads_as_many_tokens_as_it_has_positions(tmp_path: Path) -> None:
    text = {**TEXT, "max_position_embeddings": 12}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    square = ChineseCLIPImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False)
    written(tmp_path, ChineseCLIPModel(config), square)
    encoder = AraCLIP.load(tmp_path)
    cat, dog = "a " * 9 + "cat", "a " * 9 + "dog"  # between the two special tokens
    assert np.abs(encoder.encode_text(cat) - encoder.encode_text(dog)).max() > 1e-5


@pytest.mark.parametrize("layout", ["clip", "m-clip"])
def test_the_side_a_tokenizer_pads_on_changes_no_text(layout: str, tmp_path: Path, clip_weights: str) -> None:
    folder = tmp_path / layout
    (tiny_published.write_clip if layout == "clip" else write_mclip)(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "padding_side": "left"}), "utf-8")
    encoder = AraCLIP.load(f"m-clip:{folder}+open_clip:{clip_weights}" if layout == "m-clip" else folder)
    alone = np.stack([encoder.encode_text(text) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_text(TEXTS), alone, **CLOSE)


@torch.inference_mode()
def test_a_multimodal_model_of_sentence_transformers(tmp_path: Path, pictures: list[Any]) -> None:
    from sentence_transformers import SentenceTransformer

    write_clip_of_sentence_transformers(tmp_path)
    reference: Any = SentenceTransformer(str(tmp_path / "st"), device="cpu")
    reference[0].processor.image_processor = on_pillow(reference[0].processor.image_processor)
    text, image = (torch.tensor(reference.encode(items)) for items in (TEXTS, rgb(pictures)))
    same(AraCLIP.load(tmp_path / "st"), text, image, pictures)
    location = tmp_path / "st"
    same(AraCLIP.load(f"sentence-transformers:{location}+sentence-transformers:{location}"), text, image, pictures)


def test_weights_a_folder_lacks_are_not_drawn_at_random(tmp_path: Path) -> None:
    folder = write_clip_of_sentence_transformers(tmp_path)
    weights = folder / "model.safetensors"
    state = load_file(weights)
    lost = next(name for name in state if name.startswith("text_model.encoder"))
    save_file({name: tensor for name, tensor in state.items() if name != lost}, weights, {"format": "pt"})
    with pytest.raises(ModelMismatch, match=r"lacks 1 of the \d+ weights of CLIPModel"):
        AraCLIP.load(folder)
    save_file(state, weights, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["text_config"]["vocab_size"] = 900_000_000  # as many numbers would fill the memory
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelMismatch, match="describes a model of"):
        AraCLIP.load(folder)


def test_plain_folders_are_encoded_by_sentence_transformers(tmp_path: Path) -> None:
    """Without modules.json it adds the module that takes the mean of the tokens."""
    from sentence_transformers import SentenceTransformer

    images, plain, tokenizer = (
        write_clip_of_sentence_transformers(tmp_path),
        tmp_path / "bert",
        tiny_hf.tiny_tokenizer(),
    )
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    encoder = AraCLIP.load(f"sentence-transformers:{plain}+sentence-transformers:{images}")
    wanted = SentenceTransformer(str(plain), device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), wanted, **CLOSE)


@torch.inference_mode()
def test_a_text_that_names_a_picture_stays_a_text(tmp_path: Path, pictures: list[Any]) -> None:
    folder = write_clip_of_sentence_transformers(tmp_path)
    encoder, model = AraCLIP.load(folder), CLIPModel.from_pretrained(tmp_path / "clip").eval()
    texts = [str(pictures[0]), "https://localhost:9/cat.png", "data:image/png;base64,AAAA"]
    inputs = tokens(tmp_path / "clip", texts)
    wanted = pooled(model.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
    np.testing.assert_allclose(encoder.encode_text(texts), l2_normalize(wanted, dim=-1).numpy(), **CLOSE)


def test_a_default_prompt_stands_before_texts_and_in_the_label(tmp_path: Path) -> None:
    folder = write_clip_of_sentence_transformers(tmp_path)
    plain, path = AraCLIP.load(folder), folder / "config_sentence_transformers.json"
    asked = {"prompts": {"query": "a cat "}, "default_prompt_name": "query"}
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **asked}), "utf-8")
    prompted = AraCLIP.load(folder)
    np.testing.assert_allclose(prompted.encode_text("dog"), plain.encode_text("a cat dog"), **CLOSE)
    assert prompted.label != plain.label


def test_a_saved_araclip_model_needs_no_export_to_be_measured(tmp_path: Path, pictures: list[Any]) -> None:
    model, processor = tiny_hf.tiny_model(), tiny_hf.tiny_processor()
    encoder = AraCLIP.load(tiny_hf.saved(tmp_path / "saved", model, processor))
    with torch.inference_mode():
        text = model.get_text_features(**processor(text=["قِطّة", *TEXTS], return_tensors="pt")).pooler_output
        prepared = on_pillow(processor.image_processor)(images=rgb(pictures), return_tensors="pt")
        image = model.get_image_features(**prepared).pooler_output
    same(encoder, text, image, pictures, ["قِطّة", *TEXTS])


def test_translate_then_english(pictures: list[Any], clip_weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = {"قطة": "a cat", "كلب": "a dog"}
    english = AraCLIP.load(f"open_clip:{clip_weights}")
    translated = Translated(english, dictionary.__getitem__, "dictionary")
    np.testing.assert_array_equal(translated.encode_text(iter(dictionary)), english.encode_text(["a cat", "a dog"]))
    np.testing.assert_array_equal(translated.encode_image(pictures), english.encode_image(pictures))
    assert translated.label == f"dictionary+{english.label}"
    assert (translated.width, translated.license) == (8, None)
    with pytest.raises(InputError, match="translated 'قطة' to a NoneType"):
        Translated(english, lambda text: None).encode_text(["قطة"])  # type: ignore[arg-type,return-value]
    module = types.ModuleType("a_translator")
    module.__dict__["to_english"] = dictionary.__getitem__
    monkeypatch.setitem(sys.modules, "a_translator", module)
    named = AraCLIP.load(f"translate:a_translator:to_english/open_clip:{clip_weights}")
    np.testing.assert_array_equal(named.encode_text(dictionary), translated.encode_text(dictionary))
    inner = parse_request("translate:a:b/m-clip:FOLDER+open_clip:MODEL/TAG")
    assert inner is not None
    assert (inner.location, inner.image) == ("a:b/m-clip:FOLDER+open_clip:MODEL/TAG", None)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nothing", "does not name a function and a model"),
        ("no_such_module:f/araclip-mini", "no_such_module:f cannot be imported"),
        ("json:no_such_function/araclip-mini", "json:no_such_function cannot be imported"),
    ],
)
def test_a_translator_that_is_not_there_says_so(location: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AraCLIP.load(f"translate:{location}")


# ------------------------------------------------------------------ the contract


@pytest.fixture(scope="module")
def encoder(clip_weights: str) -> Encoder:
    return AraCLIP.load(f"open_clip:{clip_weights}", threads=2)


def test_rows_are_unit_float32_whatever_batch_and_order(encoder: Encoder) -> None:
    images = [tiny_hf.picture((shade, 255 - shade, 40)) for shade in range(0, 250, 30)]
    texts = ["cat " * count for count in (9, 1, 5, 3)]
    for encode, items in ((encoder.encode_text, texts), (encoder.encode_image, images)):
        together = encode(items)
        assert (together.dtype, together.shape) == (np.float32, (len(items), encoder.width))
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([encode([item]) for item in items]), together, **CLOSE)
        np.testing.assert_allclose(encode(items[::-1], batch_size=3)[::-1], together, **CLOSE)
        assert encode([]).shape == encode(iter(())).shape == (0, encoder.width)


def test_half_a_surrogate_pair_is_no_letter(tmp_path: Path) -> None:
    write_araclip(tmp_path)
    encoder = AraCLIP.load(tmp_path)
    np.testing.assert_allclose(encoder.encode_text("cat \ud800"), encoder.encode_text("cat \ufffd"), **CLOSE)


def test_an_iterator_is_read_as_needed_up_to_a_bad_picture(encoder: Encoder) -> None:
    items = iter([tiny_hf.picture(), "no such file.png", *[tiny_hf.picture()] * 98])
    with pytest.raises(UnreadableImage, match=r"no such file\.png"):
        encoder.encode_image(items, batch_size=4)
    assert len(list(items)) > 50
    texts: Iterator[Any] = iter(["cat", 5, *["cat"] * 98])
    with pytest.raises(InputError, match="got int: 5"):
        encoder.encode_text(texts, batch_size=4)
    assert len(list(texts)) == 98


def test_what_is_neither_texts_nor_pictures_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes a string or several, got NoneType"):
        encoder.encode_text(None)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="takes strings, got int: 3"):
        encoder.encode_text(["قطة", 3])  # type: ignore[list-item]
    for picture in (3, io.StringIO("opened as text"), np.zeros((4, 4), np.uint8)):
        with pytest.raises(InputError, match=r"(takes pictures, got|\(4, 4\) and type uint8 is no picture)"):
            encoder.encode_image(picture)  # type: ignore[call-overload]
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        encoder.encode_image([tiny_hf.picture(), tmp_path / "cut.jpg"])
    with pytest.raises(ImageError, match="not a JPEG"):
        encoder.encode_image(b"bytes")
    for encode in (encoder.encode_text, encoder.encode_image):
        with pytest.raises(InputError, match="batch_size is 0"):
            encode([], batch_size=0)


def test_a_label_follows_weights_and_tokens_but_not_the_location(tmp_path: Path) -> None:
    write_araclip(tmp_path / "one")
    first = AraCLIP.load(tmp_path / "one").label
    assert first.startswith("one@")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert AraCLIP.load(tmp_path / "two").label == first.replace("one@", "two@")
    tokenizer = (tmp_path / "two" / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "two" / "tokenizer.json").write_text(tokenizer.replace('"cat": 16', '"cat": 36'), encoding="utf-8")
    assert AraCLIP.load(tmp_path / "two").label != first.replace("one@", "two@")
    write_araclip(tmp_path / "one")
    assert AraCLIP.load(tmp_path / "one").label != first


def test_a_published_model_is_served(tmp_path: Path) -> None:
    write_araclip(tmp_path / "published")
    model = AraCLIP.load(tmp_path / "published")
    album = photo_album(tmp_path / "album")
    with open_gallery(tmp_path / "gallery", model=model, create=True) as gallery:
        gallery.update([album])
    with serving(settings_for(tmp_path / "gallery", tmp_path / "published")) as client:
        assert len(client.get("/search", params={"q": "cat", "k": 3}).json()["results"]) == 3
        answer = client.post("/v1/embeddings", json={"input": "cat"}).json()
        assert answer["model"] == model.label
        np.testing.assert_allclose(answer["data"][0]["embedding"], model.encode_text("cat"), atol=1e-5)


def test_the_bundled_model_keeps_to_the_contract_too() -> None:
    model = AraCLIP.load()
    assert model.label.startswith("araclip-mini@")
    assert "NC" in (model.license or "")


# ------------------------------------------------------------------ names


def test_registry_agrees_with_open_clip_and_has_each_name_once() -> None:
    names = [peer.name for peer in model_registry.PEERS]
    assert len(set(names)) == len(names) >= 20
    known = set(open_clip.list_pretrained())
    for peer in model_registry.PEERS:
        location = peer.location if peer.kind == "open_clip" else peer.image or ""
        if peer.kind == "sentence-transformers" or not location or "SigLIP-512" in location:  # the last is small here
            continue
        model, tag = location.split("/")
        config = open_clip.get_model_config(model)
        assert (model, tag) in known
        assert (peer.width, peer.resolution) == (config["embed_dim"], config["vision_cfg"]["image_size"])
        if peer.kind == "open_clip":
            assert open_clip.get_pretrained_cfg(model, tag)["hf_hub"].strip("/") == peer.hub_id
        assert config.get("quick_gelu", False) == open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False)


def test_every_peer_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "peers-table.md").read_text(encoding="utf-8")
    for peer in model_registry.PEERS:
        size = "?" if peer.megabytes is None else f"{peer.megabytes:,}"
        row = f"| `{peer.name}` | `{peer.hub_id}` | {peer.width} | {peer.resolution} | {size} | {peer.license or '?'} |"
        assert row in page


@pytest.mark.parametrize("name", ["m-clip-b16plus", "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus"])
def test_a_registry_name_asks_for_its_hub_id_and_image_tower(name: str) -> None:
    parsed = parse_request(name)
    assert parsed is not None
    assert (parsed.kind, parsed.location) == ("m-clip", "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus")
    assert parsed.image == "ViT-B-16-plus-240/laion400m_e32"


def test_a_copied_repository_knows_its_image_tower_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "LABSE-Vit-L-14"
    write_mclip(folder)
    parsed = parse_request(str(folder))
    assert parsed is not None
    assert (parsed.kind, parsed.image) == ("m-clip", "ViT-L-14-quickgelu/openai")


@pytest.mark.parametrize(
    "spec", ["transformers:~/model", "m-clip:~/model+open_clip:ViT-B-32/x", "open_clip:local-dir:~/model"]
)
def test_a_tilde_behind_a_kind_is_the_home_folder(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    parsed = parse_request(spec)  # shells leave it as it is there
    assert parsed is not None
    assert parsed.location.removeprefix("local-dir:") == str(tmp_path / "model")


def test_a_hub_id_is_read_from_the_cache_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Any]
) -> None:
    repository = tmp_path / "hub" / "models--someone--araclip"
    write_araclip(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    by_id = AraCLIP.load("araclip:someone/araclip")
    by_folder = AraCLIP.load(repository / "snapshots" / ("0" * 40))
    np.testing.assert_array_equal(by_id.encode_text(TEXTS), by_folder.encode_text(TEXTS))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("no-such-model", ModelNotFound, r"no model 'no-such-model'.*araclip-mini.*docs/peers\.md"),
        ("open_clip:", ModelNotFound, "has no location. Expected open_clip:MODEL/TAG_OR_FILE"),
        ("open_clip:ViT-B-32", ModelNotFound, "expected open_clip:MODEL/PRETRAINED"),
        ("open_clip:ViT-B-32/no-such-tag", ModelNotFound, "cannot be loaded"),
        ("transformers:nobody/nothing", ModelNotFound, "cannot be loaded"),
        ("sentence-transformers:nobody/nothing", ModelNotFound, "cannot be loaded"),
        ("altclip:nobody/nothing", ModelNotFound, "cannot be loaded"),
        ("araclip:nobody/nothing", ModelNotFound, "cannot be loaded"),
        ("araclip:\u202e../../etc", ModelNotFound, "cannot be loaded"),
        ("m-clip:nobody/nothing", ModelNotFound, "its image tower is not known"),
        ("m-clip:nobody/nothing+open_clip:ViT-B-32/openai", ModelNotFound, "cannot be loaded"),
    ],
)
def test_what_is_not_there_says_so(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AraCLIP.load(name)


def searched(model: Any, folder: Path, pictures: list[Any]) -> None:
    """A gallery made and searched with a model: its scores are those of the pictures made squares as the model asks."""
    encoder = AraCLIP.load(model)
    with Gallery.open(folder, model=model, create=True) as gallery:
        assert len(gallery.add(pictures).paths) == 3
        assert gallery.stats().model == f"{encoder.name}@{encoder.fingerprint}"
        hits = gallery.search("a cat", k=3)
    squares = np.stack([transform_of(encoder).pixels(open_image(picture)) for picture in pictures])
    expected = np.sort(encoder.encode_pixels(squares) @ encoder.encode_text("a cat"))[::-1]
    np.testing.assert_allclose([hit.score for hit in hits], expected, atol=2e-3)


def test_a_gallery_takes_peers_by_kind_path_or_object(tmp_path: Path, clip_weights: str, pictures: list[Any]) -> None:
    location, folder = f"open_clip:{clip_weights}", write_clip_of_sentence_transformers(tmp_path)
    searched(location, tmp_path / "a", pictures)
    searched(folder, tmp_path / "b", pictures)
    searched(Translated(AraCLIP.load(location), str.upper), tmp_path / "c", pictures)
    assert AraCLIP.load(folder).image_size == AraCLIP.load(location).image_size == 16
    with pytest.raises(WidthMismatch, match="holds 8-wide vectors of open_clip:"):
        Gallery.open(tmp_path / "a", model=folder)


def test_a_single_text_or_picture_of_a_peer_is_one_vector(clip_weights: str, pictures: list[Any]) -> None:
    encoder = AraCLIP.load(f"open_clip:{clip_weights}")
    for model in (encoder, Translated(encoder, str.upper)):
        assert model.encode_text("a cat").shape == model.encode_image(pictures[0]).shape == (8,)
        np.testing.assert_allclose(model.encode_text("a cat"), model.encode_text(["a cat"])[0], **CLOSE)
        with pytest.raises(InputError, match="encode_image takes pictures, got int"):
            model.encode_image([3])  # type: ignore[list-item]
    assert repr(encoder) == f"<TorchEncoder open_clip:{clip_weights}: open_clip:{clip_weights} on cpu>"
    assert repr(Translated(encoder, str.upper)).startswith("<Translated by upper: <TorchEncoder open_clip:")


def test_knowing_the_names_needs_no_torch() -> None:
    code = (
        "import sys, araclip.peers.loading as peers; peers.parse_request('altclip'); sys.exit('torch' in sys.modules)"
    )
    source = str(Path(loading.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, check=True)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None if name == "sentence_transformers" else True)
    with pytest.raises(InputError, match=r"needs sentence-transformers\. Install the extra.*once \(`araclip pull`\)"):
        AraCLIP.load("clip-vit-b-32-multilingual")


def test_a_model_of_another_kind_is_refused(tmp_path: Path, clip_weights: str) -> None:
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(tmp_path / "clip")
    tiny_hf.tiny_tokenizer().save_pretrained(tmp_path / "clip")
    with pytest.raises(ModelMismatch, match="is a model of type clip, not altclip"):
        AraCLIP.load(f"altclip:{tmp_path / 'clip'}")
    with pytest.raises(ModelNotFound, match=r"preprocessor_config\.json must lie beside it"):
        AraCLIP.load(tmp_path / "clip")
    for file in (tmp_path / "clip").glob("*token*.json"):
        file.unlink()
    with pytest.raises(ModelNotFound, match="holds no tokenizer"):  # transformers would make one that knows no word
        AraCLIP.load(tmp_path / "clip")
    with pytest.raises(ModelMismatch, match="has no modelBase, transformerDimensions, numDims"):
        AraCLIP.load(f"m-clip:{tmp_path / 'clip'}+open_clip:{clip_weights}")


def test_towers_of_two_spaces_are_refused(tmp_path: Path, clip_weights: str) -> None:
    write_older_araclip(tmp_path)
    encoder = AraCLIP.load(f"araclip:{tmp_path}+open_clip:{clip_weights}")
    with pytest.raises(ModelMismatch, match="image tower makes 8-wide vectors, the text tower 64-wide ones"):
        encoder.encode_image([tiny_hf.picture()])
    with pytest.raises(ModelNotFound, match="has no image tower"):
        AraCLIP.load(tmp_path)


def test_a_missing_or_misshapen_key_of_m_clip_fails_by_name(tmp_path: Path, clip_weights: str) -> None:
    write_mclip(tmp_path / "mclip")
    path = tmp_path / "mclip" / "pytorch_model.bin"
    state = torch.load(path)
    name = "transformer.encoder.layer.1.output.dense.weight"
    for change, message in (
        ({name: None}, rf"{name} is missing, expected \(16, 24\)"),
        ({name: torch.zeros(3, 24)}, rf"{name} is \(3, 24\), expected \(16, 24\)"),
        ({"transformer.extra": torch.zeros(2)}, r"transformer\.extra of \(2,\) is not expected"),
    ):
        torch.save({key: value for key, value in {**state, **change}.items() if value is not None}, path)
        with pytest.raises(ModelMismatch, match=message):
            AraCLIP.load(f"m-clip:{tmp_path / 'mclip'}+open_clip:{clip_weights}")
