"""AraCLIPConfig, AraCLIPModel and AraCLIPProcessor, through the calls that transformers' users know."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize as l2_normalize
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    TimmWrapperConfig,
    TimmWrapperModel,
    ViTConfig,
    ViTModel,
)

from araclip import AraCLIPConfig, AraCLIPModel, AraCLIPProcessor
from araclip.errors import DataError, InputError, ModelMismatch, RecipeError
from araclip.training.losses import contrastive_loss, matryoshka, sigmoid_loss
from araclip.training.model.model import objective
from araclip.training.model.towers import pooled_text
from tiny_hf import (
    IMAGE_TOWERS,
    SIZE,
    TEXT_TOWERS,
    picture,
    saved,
    tiny_config,
    tiny_model,
    tiny_processor,
)

# transformers 5.0 compiles a piece of ModernBERT when imported, and the compiler uses what torch deprecates
deprecated = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
pytestmark = [deprecated, pytest.mark.usefixtures("seeded")]

CAPTIONS = ["قطة جالسة على طاولة", "كلب", "a dog on a table"]


def pixels(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE)


def inputs(texts: int = 3, pictures: int = 3) -> dict[str, torch.Tensor]:
    tokens = tiny_processor()(text=CAPTIONS[:texts], return_tensors="pt")
    return {**tokens, "pixel_values": pixels(pictures)}


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ------------------------------------------------------------------ the calling contract


def test_snippet_of_clip_runs_with_only_import_and_path_changed(tmp_path: Path) -> None:
    path = saved(tmp_path, tiny_model(), tiny_processor())
    image = picture()

    model = AraCLIPModel.from_pretrained(path)
    processor = AraCLIPProcessor.from_pretrained(path)
    inputs = processor(text="قطة جالسة على طاولة", images=image, return_tensors="pt")
    outputs = model(**inputs)

    assert outputs.logits_per_image.shape == (1, 1)
    cosine = (outputs.image_embeds * outputs.text_embeds).sum()
    torch.testing.assert_close(outputs.logits_per_image[0, 0], cosine * model.logit_scale.exp())


@pytest.mark.parametrize(
    ("text", "image"), [*((t, "vit") for t in TEXT_TOWERS), *(("bert", i) for i in IMAGE_TOWERS if i != "vit")]
)
def test_any_tower_gives_unit_vectors_after_saving_and_loading(tmp_path: Path, text: str, image: str) -> None:
    model, given = tiny_model(text, image), inputs()
    before = model(**given)
    model.save_pretrained(tmp_path)
    again = AraCLIPModel.from_pretrained(tmp_path)
    after = again(**given)

    assert before.text_embeds.shape == before.image_embeds.shape == (3, 8)
    torch.testing.assert_close(before.text_embeds.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(before.image_embeds.norm(dim=-1), torch.ones(3))
    assert not torch.allclose(before.image_embeds[0], before.image_embeds[1])  # the tower looks at the picture
    assert same_weights(model, again)
    for name in ("logits_per_image", "text_embeds", "image_embeds"):  # convolutions depend on where weights lie
        torch.testing.assert_close(before[name], after[name], rtol=1e-4, atol=1e-5)


def test_naflex_tower_takes_patches_of_any_shape_with_their_mask() -> None:
    siglip2 = {
        "model_type": "siglip2_vision_model", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "patch_size": 4, "num_patches": 16,
    }  # fmt: skip
    model = AraCLIPModel(AraCLIPConfig(text_config=TEXT_TOWERS["bert"], vision_config=siglip2, projection_dim=8)).eval()
    patches = torch.randn(2, 16, 48)
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 8:] = 0
    shapes = torch.tensor([[4, 4], [2, 4]])
    seen = model(pixel_values=patches, pixel_attention_mask=mask, spatial_shapes=shapes).image_embeds
    patches[1, 8:] = 7.0  # padding
    again = model.get_image_features(patches, pixel_attention_mask=mask, spatial_shapes=shapes)
    torch.testing.assert_close(seen, l2_normalize(again.pooler_output, dim=-1))


def test_logits_have_a_row_a_picture_and_a_column_a_text() -> None:
    out = tiny_model()(**inputs(texts=3, pictures=2))
    assert out.logits_per_image.shape == (2, 3)
    assert torch.equal(out.logits_per_text, out.logits_per_image.T)
    assert out.loss is None


def test_one_side_alone_gives_its_vectors_and_no_logits() -> None:
    model, given = tiny_model(), inputs()
    words = model(given["input_ids"], attention_mask=given["attention_mask"])
    sight = model(pixel_values=given["pixel_values"])
    assert set(words.keys()) == {"text_embeds", "text_model_output"}
    assert set(sight.keys()) == {"image_embeds", "vision_model_output"}
    with pytest.raises(InputError, match="neither text nor picture"):
        model()
    with pytest.raises(InputError, match=r"pictures \(pixel_values\) are missing"):
        model(given["input_ids"], return_loss=True)
    with pytest.raises(InputError, match="no text"):
        model.get_text_features()


def test_word_vectors_may_stand_in_for_token_ids() -> None:
    model, given = tiny_model(), inputs()
    words = model.get_input_embeddings()(given["input_ids"])
    torch.testing.assert_close(
        model.get_text_features(inputs_embeds=words, attention_mask=given["attention_mask"]).pooler_output,
        model.get_text_features(given["input_ids"], given["attention_mask"]).pooler_output,
    )


# ------------------------------------------------------------------ losses


@pytest.mark.parametrize("bias", [None, -10.0])
@pytest.mark.parametrize("prefixes", [(), (4,)])
def test_the_loss_is_infonce_or_with_a_bias_sigmoid(bias: float | None, prefixes: tuple[int, ...]) -> None:
    model = tiny_model(logit_bias_init=bias, matryoshka_dims=prefixes)
    out = model(**inputs(), return_loss=True)
    kind: Any = contrastive_loss if bias is None else sigmoid_loss
    learned = [model.logit_scale] if bias is None else [model.logit_scale, model.logit_bias]
    if prefixes:
        kind = matryoshka(kind, [4, 8])
    torch.testing.assert_close(out.loss, kind(out.text_embeds, out.image_embeds, *learned))
    cosines = out.text_embeds @ out.image_embeds.T
    torch.testing.assert_close(out.logits_per_text, cosines * model.logit_scale.exp() + (bias or 0.0))
    out.loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learned)
    with pytest.raises(DataError, match="3 texts and 2 pictures"):
        model(**inputs(pictures=2), return_loss=True)


def test_the_models_loss_takes_several_captions_of_a_picture() -> None:
    model = tiny_model(matryoshka_dims=(4,))
    text, image = (l2_normalize(torch.randn(rows, 8), dim=-1) for rows in (3, 2))
    owner, same = torch.tensor([0, 0, 1]), torch.tensor([[True, False], [True, True], [False, True]])
    wanted = matryoshka(contrastive_loss, [4, 8])(text, image, model.logit_scale, same, owner)
    torch.testing.assert_close(model.contrastive_loss(text, image, same=same, owner=owner), wanted)
    with pytest.raises(RecipeError, match=r"needs a bias, and the model has none"):
        objective(model, "sigmoid")
    with pytest.raises(RecipeError, match=r"no widths for it"):
        objective(tiny_model(), prefixes=True)
    plain = objective(model, "infonce", prefixes=False)
    torch.testing.assert_close(plain(text[:2], image), contrastive_loss(text[:2], image, model.logit_scale))


@pytest.mark.parametrize(("image", "block"), [("vit", "layer"), ("timm vit", "timm_model.blocks.0.mlp.fc1")])
def test_checkpointing_recomputes_and_changes_no_gradient(image: str, block: str) -> None:
    model, given = tiny_model(image=image), inputs()
    if block == "layer":  # its name differs between versions of transformers
        block = next(n for n, m in model.vision_model.named_modules() if ".0." in n and isinstance(m, torch.nn.Linear))
    seen = [model.text_model.encoder.layer[0].attention.self.query, model.vision_model.get_submodule(block)]
    passes = [0, 0]
    for i, module in enumerate(seen):
        module.register_forward_hook(lambda *_, i=i: passes.__setitem__(i, passes[i] + 1))
    model.train()
    for module in model.modules():  # dropout would differ between the runs
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def gradients() -> dict[str, torch.Tensor]:
        passes[:] = [0, 0]
        model.zero_grad()
        model(**given, return_loss=True).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    assert passes == [1, 1]
    _switch_checkpointing(model, "enable")
    recomputed = gradients()
    assert passes == [2, 2]
    _switch_checkpointing(model, "disable")
    gradients()
    assert passes == [1, 1]
    assert recomputed.keys() == plain.keys()
    for name, grad in plain.items():
        torch.testing.assert_close(recomputed[name], grad)


def _switch_checkpointing(model: AraCLIPModel, what: str) -> None:
    """By the newer name, of transformers 5.24, or else by the older."""
    newer = getattr(model, f"activation_checkpointing_{what}", None)
    (newer or getattr(model, f"gradient_checkpointing_{what}"))()


# ------------------------------------------------------------------ pooling


@pytest.mark.parametrize("text", TEXT_TOWERS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_text_has_one_vector_alone_and_padded_beside_longer_one(text: str, pooling: str) -> None:
    model, processor = tiny_model(text, None, text_pooling=pooling), tiny_processor(images=False)
    alone = model(**processor(text="كلب", return_tensors="pt")).text_embeds
    padded = processor(text=["كلب", "a cat on a table"], return_tensors="pt")
    assert padded["attention_mask"].sum(dim=1).tolist() == [3, 7]
    torch.testing.assert_close(model(**padded).text_embeds[:1], alone)


@given(
    values=st.lists(st.floats(-5, 5, width=32), min_size=6, max_size=6),
    noise=st.floats(-1e3, 1e3, width=32),
    pooling=st.sampled_from(["mean", "max", "cls"]),
)
def test_what_stands_in_the_padding_never_matters(values: list[float], noise: float, pooling: str) -> None:
    real = torch.tensor(values).reshape(1, 3, 2)
    padded = torch.cat([real, torch.full((1, 2, 2), noise)], dim=1)
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    expected = {"mean": real.mean(1), "max": real.amax(1), "cls": real[:, 0]}[pooling]
    torch.testing.assert_close(pooled_text(padded, mask, pooling), expected)


def test_a_vision_tower_is_pooled_as_asked() -> None:
    vectors = {}
    for pooling in ("pooler", "cls", "mean"):
        torch.manual_seed(0)
        found = tiny_model(image="dinov2", vision_pooling=pooling).get_image_features(pixels())
        vectors[pooling] = found.pooler_output
        torch.manual_seed(1)
    assert tiny_config().vision_pooling == "cls"
    assert tiny_config(image="dinov2").vision_pooling == "pooler"
    assert not torch.allclose(vectors["cls"], vectors["mean"])


def test_a_tower_that_pools_nothing_asks_for_another_pooling() -> None:
    mute = {**IMAGE_TOWERS["timm vit"], "do_pooling": False}
    config = AraCLIPConfig(text_config=TEXT_TOWERS["bert"], vision_config=mute, projection_dim=8)
    with pytest.raises(ModelMismatch, match=r'"timm_wrapper" has no pooled output.*vision_pooling="cls"'):
        AraCLIPModel(config)(pixel_values=pixels())
    config.vision_pooling = "mean"
    assert AraCLIPModel(config)(pixel_values=pixels()).image_embeds.shape == (3, 8)


def test_a_mirrored_model_sees_no_left_and_right(tmp_path: Path) -> None:
    seen = pixels()
    plain, mirrored = (tiny_model(image="timm resnet", vision_mirror=mirror).eval() for mirror in (False, True))
    mirrored.load_state_dict(plain.state_dict())
    output = mirrored.get_image_features(seen)
    found = output.pooler_output
    torch.testing.assert_close(found, mirrored.get_image_features(seen.flip(-1)).pooler_output)
    both = plain.get_image_features(seen).pooler_output + plain.get_image_features(seen.flip(-1)).pooler_output
    torch.testing.assert_close(found, both / 2)
    torch.testing.assert_close(output.last_hidden_state, plain.get_image_features(seen).last_hidden_state)
    mirrored.save_pretrained(tmp_path)
    again = AraCLIPModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again.get_image_features(seen).pooler_output, found)
    with pytest.raises(InputError, match="vision_mirror needs pixels"):
        mirrored.get_image_features(torch.zeros(2, 9, 48))


# ------------------------------------------------------------------ identity, or no image tower


def test_the_identity_keeps_the_pooled_output_of_siglip() -> None:
    tower = SiglipVisionModel(SiglipVisionConfig(**IMAGE_TOWERS["siglip"])).eval()
    model = AraCLIPModel.from_towers(_bert(), tower, vision_projection="identity").eval()
    seen = pixels()
    assert model.config.projection_dim == 16
    assert torch.equal(model.get_image_features(seen).pooler_output, tower(seen).pooler_output)


def test_the_identity_keeps_the_projected_space_of_clip(tmp_path: Path) -> None:
    teacher = _clip().eval()
    teacher.save_pretrained(tmp_path / "clip")
    model = AraCLIPModel.from_towers(_bert(), tmp_path / "clip", vision_projection="identity").eval()
    model.save_pretrained(tmp_path / "ours")
    seen = pixels()
    theirs = teacher(input_ids=torch.tensor([[1, 2]]), pixel_values=seen).image_embeds
    assert model.config.projection_dim == 12
    assert torch.equal(model(pixel_values=seen).image_embeds, AraCLIPModel.from_pretrained(tmp_path / "ours")(
        pixel_values=seen).image_embeds)  # fmt: skip
    torch.testing.assert_close(model(pixel_values=seen).image_embeds, theirs)


def test_the_identity_with_another_width_names_both() -> None:
    with pytest.raises(ModelMismatch, match=r"16-wide vectors and projection_dim is 8\. Set projection_dim=16"):
        tiny_model(image="siglip", vision_projection="identity")


def test_a_model_without_image_tower_refuses_pictures(tmp_path: Path) -> None:
    model = tiny_model(image=None)
    model.save_pretrained(tmp_path)
    again = AraCLIPModel.from_pretrained(tmp_path)
    words = tiny_processor(images=False)(text=CAPTIONS, return_tensors="pt")
    assert again.config.vision_config is None
    assert torch.equal(again(**words).text_embeds, model(**words).text_embeds)
    with pytest.raises(InputError, match="no image tower"):
        again(pixel_values=pixels())


# ------------------------------------------------------------------ starting points


def _bert() -> Any:
    return AutoModel.from_config(BertConfig(**TEXT_TOWERS["bert"]), add_pooling_layer=False)


def _clip() -> CLIPModel:
    text = {key: value for key, value in TEXT_TOWERS["bert"].items() if key not in ("model_type", "pad_token_id")}
    vision = {key: value for key, value in IMAGE_TOWERS["clip"].items() if key not in ("model_type", "projection_dim")}
    config = CLIPConfig(text_config={**text, "eos_token_id": 2}, vision_config=vision, projection_dim=12)
    return CLIPModel(config)


def test_pretrained_towers_keep_their_weights(tmp_path: Path) -> None:
    masked, clip = BertForMaskedLM(BertConfig(**TEXT_TOWERS["bert"])), _clip()
    masked.save_pretrained(tmp_path / "bert")
    clip.save_pretrained(tmp_path / "clip")
    model = AraCLIPModel.from_towers(tmp_path / "bert", tmp_path / "clip", projection_dim=8, matryoshka_dims=(4,))
    ours = model.text_model.state_dict()
    theirs = masked.bert.state_dict()
    assert ours.keys() == theirs.keys()  # no pooler
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    alone = CLIPVisionModel.from_pretrained(tmp_path / "clip")
    assert same_weights(model.vision_model, alone)
    seen = pixels()
    torch.testing.assert_close(model.vision_model(seen).pooler_output, clip.vision_model(seen).pooler_output)
    assert model.config.matryoshka_dims == [4]
    for tower in (model.text_model, model.vision_model):  # as fast as alone
        assert tower.config._attn_implementation == alone.config._attn_implementation == "sdpa"
    assert model.text_projection.weight.std() > 0.1  # and the projections are not left at zero


def test_towers_at_hand_keep_layers_that_were_replaced_by_hand(tmp_path: Path) -> None:
    tower = _bert()
    rows = torch.full((10, 16), 0.5)
    tower.embeddings.word_embeddings = torch.nn.Embedding(10, 16, _weight=rows)
    tower.config.vocab_size = 10
    cnn = TimmWrapperModel(TimmWrapperConfig(architecture="test_efficientnet"))
    cnn.timm_model.conv_head = torch.nn.Conv2d(64, 256, 1, bias=False)
    head = cnn.timm_model.conv_head.weight.clone()
    model = AraCLIPModel.from_towers(tower, cnn, projection_dim=8)
    assert torch.equal(model.text_model.embeddings.word_embeddings.weight, rows)
    assert torch.equal(model.vision_model.timm_model.conv_head.weight, head)
    model.save_pretrained(tmp_path)
    assert same_weights(AraCLIPModel.from_pretrained(tmp_path), model)


def test_an_encoder_decoder_is_no_text_tower() -> None:
    with pytest.raises(ModelMismatch, match=r'"bart" is an encoder-decoder.*must be an encoder'):
        AraCLIPModel(AraCLIPConfig(text_config={"model_type": "bart"}, vision_config=None))


def test_checkpoint_without_bias_can_go_on_with_sigmoid_loss(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    again = AraCLIPModel.from_pretrained(tmp_path, logit_bias_init=-10.0, logit_scale_init_value=2.3)
    assert again.logit_bias.item() == -10.0
    assert torch.equal(again.logit_scale, model.logit_scale)  # this one the checkpoint has


def test_a_checkpoint_with_a_hole_is_refused_and_names_it(tmp_path: Path) -> None:
    saved(tmp_path, tiny_model(), tiny_processor())
    weights = load_file(tmp_path / "model.safetensors")
    lost = "text_model.encoder.layer.1.output.dense.weight"
    save_file(
        {name: w for name, w in weights.items() if name != lost}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    for load in (AraCLIPModel.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(ModelMismatch, match=rf"lacks 1 of the \d+ weights of AraCLIPModel, {lost} for one"):
            load(tmp_path)
    _, report = AraCLIPModel.from_pretrained(
        saved(tmp_path / "whole", tiny_model(), tiny_processor()), output_loading_info=True
    )
    assert not report["missing_keys"]


def test_a_tower_from_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path / "bert")
    config = tmp_path / "bert" / "config.json"
    config.write_text(json.dumps(TEXT_TOWERS["modernbert"]), encoding="utf-8")
    with pytest.raises(ModelMismatch, match=r"lacks .* of ModernBertModel"):
        AraCLIPModel.from_towers(tmp_path / "bert")


def test_towers_may_come_from_an_araclip_folder(tmp_path: Path) -> None:
    first = tiny_model("xlm-roberta", "clip")
    first.save_pretrained(tmp_path / "first")
    second = AraCLIPModel.from_towers(tmp_path / "first", tmp_path / "first", projection_dim=4)
    assert same_weights(second.text_model, first.text_model)
    assert same_weights(second.vision_model, first.vision_model)
    tiny_model(image=None).save_pretrained(tmp_path / "blind")
    with pytest.raises(ModelMismatch, match="has no image tower"):
        AraCLIPModel.from_towers(tmp_path / "first", tmp_path / "blind")


def test_a_pretrained_vit_is_read_without_its_absent_pooler(tmp_path: Path) -> None:
    vit = ViTModel(ViTConfig(**IMAGE_TOWERS["vit"]), add_pooling_layer=False).eval()
    vit.save_pretrained(tmp_path)
    model = AraCLIPModel.from_towers(_bert(), tmp_path, vision_projection="identity").eval()
    seen = pixels()
    torch.testing.assert_close(model.get_image_features(seen).pooler_output, vit(seen).last_hidden_state[:, 0])
    with pytest.raises(ModelMismatch, match=r"lacks 2 of the \d+ weights of ViTModel, pooler"):
        AraCLIPModel.from_towers(_bert(), tmp_path, vision_pooling="pooler")


# ------------------------------------------------------------------ configuration


def test_the_default_is_arabert_and_a_vit_of_base_size() -> None:
    config = AraCLIPConfig()
    text = config.text_config
    assert (text.model_type, text.vocab_size, text.hidden_size, text.num_hidden_layers) == ("bert", 64_000, 768, 12)
    assert (config.vision_config.model_type, config.vision_config.hidden_size) == ("vit", 768)
    with torch.device("meta"):
        model = AraCLIPModel(config)
    assert 100e6 < sum(p.numel() for p in model.text_model.parameters()) < 140e6


def test_a_configuration_is_the_same_after_its_way_through_json(tmp_path: Path) -> None:
    for image in (None, "timm vit", "clip"):
        config = tiny_config(
            "modernbert", image, matryoshka_dims=[8, 2, 4, 2], logit_bias_init=-10.0, text_pooling="max", max_tokens=7
        )
        config.save_pretrained(tmp_path)
        again = AraCLIPConfig.from_pretrained(tmp_path)
        ours, theirs = again.to_dict(), config.to_dict()
        assert {k: v for k, v in ours.items() if k != "_name_or_path"} == {
            k: v for k, v in theirs.items() if k != "_name_or_path"
        }
        assert again.matryoshka_dims == [2, 4, 8]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"text_pooling": "first"}, r"text_pooling is 'first', expected one of mean, cls, max"),
        ({"vision_pooling": "max"}, r"vision_pooling is 'max', expected one of pooler, cls, mean"),
        ({"vision_projection": "mlp"}, r"vision_projection is 'mlp', expected one of linear, identity"),
        ({"matryoshka_dims": (4, 16)}, r"matryoshka_dims has 16, but the vectors are 8 wide"),
        ({"matryoshka_dims": (0,)}, r"must be positive"),
        ({"projection_dim": 0}, r"projection_dim=0.*must be positive"),
        ({"max_tokens": -1}, r"max_tokens=-1.*must be positive"),
        ({"normalizer": 99}, r"text normaliser 99, this release has 1"),
    ],
)
def test_a_configuration_that_asks_for_the_impossible_says_so(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises((RecipeError, ModelMismatch), match=fault):
        tiny_config(**wrong)


def test_a_tower_without_kind_says_what_is_missing() -> None:
    with pytest.raises(RecipeError, match=r"no model_type, only hidden_size"):
        AraCLIPConfig(text_config={"hidden_size": 8})


# ------------------------------------------------------------------ processor


def test_the_processor_normalises_pads_and_cuts_text() -> None:
    processor = tiny_processor(max_tokens=5)
    plain, adorned = processor(text="قطة جالسة"), processor(text="قِطّـــة   جالسة\u200f")
    assert plain["input_ids"] == adorned["input_ids"] == [[2, 5, 7, 3]]
    both = processor(text=["قطة", "a cat on a table"], return_tensors="pt")
    assert both["input_ids"].shape == (2, 5)
    assert both["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert set(both.keys()) == {"input_ids", "attention_mask"}
    assert processor(text="a cat on a table", max_length=100)["input_ids"] == [[2, 15, 16, 18, 3]]
    assert processor(text="a cat", max_length=3)["input_ids"] == [[2, 15, 3]]
    assert len(processor(text="قطة", padding="max_length")["input_ids"][0]) == 5


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_the_processor_takes_pictures_of_any_mode(mode: str) -> None:
    colour = {"RGB": (200, 40, 40), "RGBA": (200, 40, 40, 255), "CMYK": (0, 200, 200, 0)}.get(mode, 90)
    made = tiny_processor()(images=[picture(colour, mode), picture()], return_tensors="pt")
    assert made["pixel_values"].shape == (2, 3, SIZE, SIZE)
    assert made["pixel_values"].dtype == torch.float32


@pytest.mark.parametrize("images", [True, False])
def test_a_processor_is_the_same_after_saving_and_loading(tmp_path: Path, images: bool) -> None:
    processor = tiny_processor(images, max_tokens=5)
    processor.save_pretrained(tmp_path)
    again = AraCLIPProcessor.from_pretrained(tmp_path)
    assert (again.max_tokens, again.normalizer, again.tokenizer.model_max_length) == (5, 1, 5)
    assert again(text=CAPTIONS)["input_ids"] == processor(text=CAPTIONS)["input_ids"]
    if images:
        before, after = (p(images=picture(), return_tensors="pt")["pixel_values"] for p in (processor, again))
        # transformers 5.0 may load another backend than was saved, whose resizing rounds differently
        torch.testing.assert_close(before, after, rtol=0, atol=0.02)
    else:
        assert again.image_processor is None
        with pytest.raises(InputError, match="no image processor"):
            again(images=picture())


def test_the_processor_says_what_it_cannot_do(tmp_path: Path) -> None:
    processor = tiny_processor()
    with pytest.raises(InputError, match=r"expected a text or a list of texts, got 3 \(int\)"):
        processor(text=["قطة", 3])
    with pytest.raises(InputError, match="no tokenizer"):
        AraCLIPProcessor()
    processor.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": 99}))
    with pytest.raises(ModelMismatch, match="text normaliser 99, this release has 1"):
        AraCLIPProcessor.from_pretrained(tmp_path)


def test_the_processor_scales_pictures_as_towers_were_trained(tmp_path: Path) -> None:
    tiny_processor().tokenizer.save_pretrained(tmp_path / "text")
    tiny_processor().image_processor.save_pretrained(tmp_path / "vision")
    _clip().vision_model.config.save_pretrained(tmp_path / "vision")
    whole = AraCLIPProcessor.from_towers(tmp_path / "text", tmp_path / "vision", max_tokens=9)
    assert whole(images=picture(), return_tensors="pt")["pixel_values"].shape == (1, 3, SIZE, SIZE)
    assert whole.max_tokens == 9
    assert AraCLIPProcessor.from_towers(tmp_path / "text").image_processor is None

    lite = AraCLIPProcessor.from_towers(tmp_path / "text", TimmWrapperConfig(architecture="tf_efficientnet_lite2"))
    made = lite(images=picture((255, 255, 255)), return_tensors="pt")["pixel_values"]
    assert made.shape == (1, 3, 260, 260)
    torch.testing.assert_close(made, torch.ones_like(made))  # mean and deviation of this model are one half
    with pytest.raises(InputError, match='"clip_vision_model" does not say how its pictures are scaled'):
        AraCLIPProcessor.from_towers(tmp_path / "text", _clip().vision_model.config)
