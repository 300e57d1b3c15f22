"""Published models as model folders: the ids and the vectors are those of their own libraries, whole and cut."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import CLIPImageProcessor, ViTImageProcessor

import tiny_hf
import tiny_published
import traced
from araclip import AraCLIP, AraCLIPModel, AraCLIPProcessor, open_gallery
from araclip.errors import ExportRejected, InputError, ModelMismatch
from araclip.peers import conversion, tokenizers
from araclip.peers.conversion import make_model_folder
from araclip.peers.loading import load_request
from araclip.peers.request import parse_request
from araclip.peers.tokenizers import encode_padded
from araclip.peers.towers import Source, split_towers
from araclip.peers.vocabulary import characters_of, cut_vocabulary
from araclip.server.settings import Settings
from araclip.training.export import export as exporting
from araclip.training.model import preprocessing
from serving import serving
from tiny_peers import write_araclip, write_mclip, write_nllb_clip, write_older_araclip

pytestmark = pytest.mark.usefixtures("small_models", "seeded", "traced_once")

BOTH = ("ar", "en")
TEXTS = ("قطة جالسة على طاولة", "قِطَّةٌ تنامُ", "a black cat, 12 DOGS!", "قطة black ٣ 🐈", "كلب " * 60)
CLOSE = {"atol": 1e-4, "rtol": 0}


def image_tower(folder: Path, model: str) -> str:
    path = folder.with_name("image.pt")
    torch.save(open_clip.create_model(model, load_weights=False).state_dict(), path)
    return f"{model}/{path}"


def m_clip(folder: Path) -> str:
    write_mclip(folder)
    return f"m-clip:{folder}+open_clip:{image_tower(folder, 'araclip-tiny-clip')}"


def older_araclip(folder: Path) -> str:
    write_older_araclip(folder)
    return f"araclip:{folder}+open_clip:{image_tower(folder, 'ViT-B-16-SigLIP-512')}"


def saved_araclip(folder: Path) -> Path:
    """An AraCLIPModel, as `araclip train` saves it."""
    square = {"height": tiny_hf.SIZE, "width": tiny_hf.SIZE}
    pictures = ViTImageProcessor(size=square, resample=3, do_convert_rgb=True)
    return tiny_hf.saved(folder, tiny_hf.tiny_model(), AraCLIPProcessor(pictures, tiny_hf.tiny_tokenizer()))


LAYOUTS: dict[str, Callable[[Path], object]] = {
    name.removeprefix("write_"): getattr(tiny_published, name)
    for name in dir(tiny_published)
    if name.startswith("write_") and name not in ("write_araclip", "write_mclip")
} | {"nllb": write_nllb_clip, "m_clip": m_clip, "araclip": write_araclip, "older_araclip": older_araclip}


def written(layout: str, folder: Path) -> str:
    """A checkpoint in this layout; what `AraCLIP.load` takes."""
    spec = (LAYOUTS | {"saved_araclip": saved_araclip})[layout](folder)
    return str(spec) if isinstance(spec, str | Path) else str(folder)


def vectors(source: Source, texts: tuple[str, ...]) -> np.ndarray[Any, Any]:
    text, rows = source.text, []
    for probe in texts:
        ids = torch.from_numpy(
            encode_padded(text.tokenizer, probe, text.max_tokens, text.pad_id if text.fixed else None)
        )
        with torch.inference_mode():
            rows.append(text.graph(*(ids, torch.ones_like(ids))[: 1 + text.mask])[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_keeps_its_librarys_ids_and_vectors(layout: str, tmp_path: Path) -> None:
    request = parse_request(written(layout, tmp_path / layout))
    assert request is not None
    source = split_towers(load_request(request))  # type: ignore[arg-type]
    conversion.check_ids(source)
    wanted = np.stack([source.reference.encode_text(text) for text in TEXTS])
    np.testing.assert_allclose(vectors(source, TEXTS), wanted, **CLOSE)
    text = source.text
    cut = cut_vocabulary(text.tokenizer, BOTH)
    text.graph.keep_rows(cut.rows, torch.from_numpy(encode_padded(text.tokenizer, "a", text.max_tokens, text.pad_id)))
    text.tokenizer, text.pad_id = cut.tokenizer, int(np.searchsorted(cut.rows, text.pad_id))
    np.testing.assert_allclose(vectors(source, TEXTS), wanted, **CLOSE)
    foreign = vectors(source, ("Чёрная кошка 黑猫", "Ж"))  # falls to pieces that are still there
    assert np.isfinite(foreign).all()


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of one colour each and odd sizes, in a folder."""
    folder, colours = tmp_path_factory.mktemp("album"), {"red": (19, 16), "blue": (60, 17), "green": (33, 51)}
    for colour, size in colours.items():
        Image.new("RGB", size, colour).save(folder / f"{colour}.png")
    return [folder / f"{colour}.png" for colour in colours]


@pytest.mark.parametrize("layout", [*LAYOUTS, "saved_araclip"])
def test_a_pulled_folder_works_as_its_library_does(
    layout: str, tmp_path: Path, album: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SECONDS", 0.0)  # no need to measure speed
    spec = written(layout, tmp_path / layout)
    library = AraCLIP.load(spec)
    with traced.quickly():
        pulled = AraCLIP.load(make_model_folder(spec, tmp_path / "pulled", languages=BOTH))
    assert isinstance(pulled, AraCLIP)
    side, rng = pulled.image_size, np.random.default_rng(1)
    sizes = ((33, 51), (60, 17), (side, side), (side + 3, side), (side, side + 7), (9, 5))
    pictures = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    np.testing.assert_allclose(pulled.encode_text(TEXTS), library.encode_text(TEXTS), **CLOSE)
    np.testing.assert_allclose(pulled.encode_image(pictures), library.encode_image(pictures), **CLOSE)
    if pulled.config.source is not None:  # made elsewhere: to search with
        with pytest.raises(ModelMismatch, match=r"cannot become one\. Use it with AraCLIP\.load"):
            AraCLIPModel.from_pretrained(tmp_path / "pulled")
    with open_gallery(tmp_path / "gallery", model=pulled, create=True) as gallery:
        gallery.update([album[0].parent])
    scores = dict(zip(map(str, album), library.encode_image(album) @ library.encode_text("قطة"), strict=True))
    with open_gallery(tmp_path / "gallery") as gallery:  # which knows its model
        found = {hit.path: hit.score for hit in gallery.search("قطة", k=3, text_weight=0)}
        (itself,) = gallery.search(album[1], k=1)
    assert found == pytest.approx(scores, abs=2e-3)  # stored in float16
    assert (itself.path, itself.score) == (str(album[1]), pytest.approx(1, abs=2e-3))
    with serving(Settings.read(gallery=tmp_path / "gallery")) as client:
        hits = client.get("/search", params={"q": "قطة", "k": 3}).json()["results"]
    assert {hit["name"] for hit in hits} == {path.name for path in album}


def test_a_text_tower_that_is_read_at_its_first_token_is_pulled(tmp_path: Path) -> None:
    spec = tiny_published.write_multilingual_clip(tmp_path / "published", "cls_token")
    library = AraCLIP.load(spec)
    with traced.quickly():
        pulled = AraCLIP.load(make_model_folder(spec, tmp_path / "pulled"))
    np.testing.assert_allclose(pulled.encode_text(TEXTS), library.encode_text(TEXTS), **CLOSE)


def test_pictures_resized_by_pillow_are_compared_strictly(tmp_path: Path) -> None:
    request = parse_request(written("clip", tmp_path / "clip"))
    assert request is not None
    expected = conversion.encode_probes(split_towers(load_request(request)))  # type: ignore[arg-type]
    assert expected.least_resized == conversion.LEAST_COSINE


def test_a_tower_that_cannot_be_written_says_why_in_plain_text(tmp_path: Path) -> None:
    request = parse_request(written("clip", tmp_path / "clip"))
    assert request is not None
    text = split_towers(load_request(request)).text  # type: ignore[arg-type]
    encode = text.graph.encode
    text.graph.encode = lambda ids, mask: encode(ids, mask) if ids.sum() > 9 else encode(ids, mask) + 1
    with pytest.raises(
        ExportRejected, match=r"cannot write the tower 'clip_text_model' as ONNX \(.{20,}\)\."
    ) as refused:
        conversion.write_text_graph(text, tmp_path / "text.onnx")
    assert "\x1b" in str(refused.value.__cause__) and str(refused.value).isprintable()


def test_what_is_no_published_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no published model"):
        make_model_folder("araclip-mini", tmp_path / "out")
    with pytest.raises(InputError, match="'xx', known are"):
        make_model_folder("siglip2-b16-256", tmp_path / "out", languages=("xx",))
    with pytest.raises(InputError, match="weights are stored as"):
        make_model_folder("siglip2-b16-256", tmp_path / "out", weights="int3")
    with pytest.raises(InputError, match="photos: no such folder"):
        make_model_folder("siglip2-b16-256", tmp_path / "out", pictures=tmp_path / "photos")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}, "a crop of"),
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "pictures of many sizes"),
        ({"size": {"height": 32, "width": 16}, "do_center_crop": False}, "no squares of one size"),
        ({"do_resize": False}, "does not resize them"),
        ({"rescale_factor": 0.0}, r"cannot prepare pictures \(ZeroDivisionError"),
    ],
)
def test_pictures_that_folder_cannot_prepare_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelMismatch, match=message):
        preprocessing.of_transformers("the model", CLIPImageProcessor(**settings))
    with pytest.raises(ModelMismatch, match="resize_mode 'longest'"):
        preprocessing.of_open_clip(
            "the model",
            {"size": 224, "resize_mode": "longest", "interpolation": "bicubic", "mean": [0] * 3, "std": [1] * 3},
        )


def test_an_unknown_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(ModelMismatch, match="the model: object has no fast tokenizer behind it"):
        tokenizers.convert_transformers("the model", object())
    with pytest.raises(ModelMismatch, match=r"drops tokens at random \(reduction_mask\)"):
        tokenizers.convert_open_clip("the model", SimpleTokenizer(reduction_mask="random"))


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_open_clips_cleaning_is_written_as_normalisers(clean: str) -> None:
    own = tokenizers.add_cleaning(Tokenizer(models.BPE()), clean).normalizer
    ugly = (
        "", "  ", "قِطَّةٌ  كتـــاب", "a\tb\nc\u00a0d\x1ce\u2003f", "“it’s” ﬁne_x", "&lt;b&gt; &amp; y",
        "e\u0301 🐈\u200d⬛", "\u200fنعم\u200e؟ ٣!",
    )  # fmt: skip
    assert [own.normalize_str(text) for text in ugly] == [get_clean_fn(clean)(text) for text in ugly]


def test_digits_and_emoji_belong_to_every_language() -> None:
    own = characters_of(BOTH)
    assert own.issuperset("aZé ٣۳३ ڤچپگ 🐈🫠\u200d\ufe0f ؟،؛…—™ \u064b\u0640")
    assert own.isdisjoint("жЯ黑देγ한㈱ğ")
    assert characters_of(("ru",)) >= set("жЯ")
