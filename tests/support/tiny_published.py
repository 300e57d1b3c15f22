"""Tiny random checkpoints with tokenizers of every published kind, trained on a few words of several scripts."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    BertConfig,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    DistilBertConfig,
    DistilBertModel,
    MetaClip2Config,
    MetaClip2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipTokenizer,
    SiglipVisionConfig,
    SiglipVisionModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tiny_peers import BERT, CLIP, SIGLIP

CORPUS = [
    "قطة سوداء جالسة على طاولة في بيت كبير", "كلب يركض في حديقة خضراء", "قِطَّةٌ تنامُ", "سيارة حمراء ٢٠٢٥ و ٣ كلاب",
    "a black cat sits on a table in a big house", "A dog runs in the Green garden", "café 123 45 !?.,",
    "🐈 🐕 ❤️ 👨‍👩‍👧",
    "Чёрная кошка сидит на столе", "собака бежит", "黑猫坐在桌子上", "Η γάτα κάθεται", "बिल्ली मेज पर",
] * 3  # fmt: skip
SIDE = 16
LAYERS: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
}  # fmt: skip
VISION: dict[str, Any] = {**LAYERS, "image_size": SIDE, "patch_size": 8}


# ------------------------------------------------------------------ tokenizers


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    """As SigLIP 2 has it: byte pairs with single bytes for the rest, no beginning, one end, padded right with id 0."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=560, special_tokens=special))
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [added for added in content["added_tokens"] if added["id"] < 4]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
        padding_side="right",
    )  # fmt: skip


def xlmr_tokenizer() -> PreTrainedTokenizerFast:
    """As XLM-R, XLM-V and mT5 have theirs: a Unigram model."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>"
    )


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """As BERT has it: WordPiece."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's own, with its 49,408 byte pairs."""
    simple = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(piece, piece): id_ for piece, id_ in simple.encoder.items()}
    merges = sorted(simple.bpe_ranks, key=simple.bpe_ranks.__getitem__)
    return CLIPTokenizer(vocab=vocabulary, merges=[merge for merge in merges if len(merge) == 2], model_max_length=12)


def siglip_tokenizer(folder: Path) -> SiglipTokenizer:
    """SigLIP's own, in Python over a SentencePiece file."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text("\n".join(CORPUS * 20).lower(), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "spiece"), vocab_size=200, model_type="unigram",
        hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    return SiglipTokenizer(str(folder / "spiece.model"), model_max_length=12)


# ------------------------------------------------------------------ open_clip


def _write_open_clip(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def write_siglip2_of_open_clip(folder: Path) -> Path:
    """SigLIP 2 as open_clip has it: Gemma's tokenizer, canonical text, twelve tokens always."""
    tokenizer = gemma_tokenizer()
    tokenizer.save_pretrained(folder)
    text = {
        **SIGLIP["text_cfg"], "vocab_size": 600, "hf_tokenizer_name": str(folder),
        "tokenizer_kwargs": {"clean": "canonicalize"},
    }  # fmt: skip
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return _write_open_clip(folder, {**SIGLIP, "text_cfg": text}, half)


def write_clip_of_open_clip(folder: Path) -> Path:
    """CLIP: byte pairs, causal, read at the end token; pictures are cut from the middle."""
    folder.mkdir(parents=True)
    return _write_open_clip(folder, CLIP, {"interpolation": "bicubic", "resize_mode": "shortest"})


def write_resnet_of_open_clip(folder: Path) -> Path:
    """RN50 and its like: convolutions pooled by attention; safetensors."""
    folder.mkdir(parents=True)
    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 128, "patch_size": None}
    config = {**CLIP, "vision_cfg": vision, "quick_gelu": True}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    for part in model.visual.modules():  # as if trained: every block does something, colours differ
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def write_worldwide_of_open_clip(folder: Path) -> Path:
    """MetaCLIP 2: XLM-V's tokenizer, causal, read at the tokenizer's end token."""
    xlmr_tokenizer().save_pretrained(folder)
    text = {
        "context_length": 12, "vocab_size": 230, "width": 16, "heads": 2, "layers": 1, "pool_type": "eos", "eos_id": 2,
        "hf_tokenizer_name": str(folder),
    }  # fmt: skip
    return _write_open_clip(folder, {**CLIP, "text_cfg": text}, {})


def _write_with_text_tower(folder: Path, vision: dict[str, Any], **text: Any) -> Path:
    """A CustomTextCLIP as its repositories hold it: settings with a network of timm, safetensors, CLIP's tokenizer."""
    folder.mkdir(parents=True)
    network = {"image_size": SIDE, "timm_model_pretrained": False, **vision}
    config = {**CLIP, "vision_cfg": network, "text_cfg": {**CLIP["text_cfg"], **text}, "custom_text": True}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.manual_seed(1)  # the text tower is the same in all these models, so that its graph is traced once
    model.text.init_parameters()
    for name, weight in model.text.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight, std=0.1)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    clip_tokenizer(folder).save_pretrained(folder)
    return folder


def write_eva_of_open_clip(folder: Path) -> Path:
    """EVA-02 CLIP: a causal text tower of its own; the image tower turns positions and reads a token."""
    return _write_with_text_tower(
        folder, {"timm_model_name": "araclip_tiny_eva", "timm_pool": "token", "timm_proj": None}
    )


def write_perception_encoder_of_open_clip(folder: Path) -> Path:
    """PE-Core: as EVA-02, but pooled by attention."""
    return _write_with_text_tower(folder, {"timm_model_name": "araclip_tiny_pe", "timm_pool": "map", "timm_proj": None})


def write_vitamin_of_open_clip(folder: Path) -> Path:
    """ViTamin: convolutions before attention, with a linear projection."""
    return _write_with_text_tower(
        folder, {"timm_model_name": "araclip_tiny_vitamin", "timm_pool": "", "timm_proj": "linear"}
    )


def write_mobileclip_of_open_clip(folder: Path) -> Path:
    """MobileCLIP-B: says that its mask is causal."""
    vision = {"timm_model_name": "araclip_tiny_mci", "timm_pool": "token", "timm_proj": None}
    return _write_with_text_tower(folder, {**vision, "timm_drop": 0.0, "timm_drop_path": 0.0}, no_causal_mask=False)


def write_xlmr_of_open_clip(folder: Path) -> Path:
    """LAION's: XLM-R, averaged, and an MLP."""
    xlmr_tokenizer().save_pretrained(folder)
    XLMRobertaModel(XLMRobertaConfig(**{**BERT, "pad_token_id": 1, "vocab_size": 230})).save_pretrained(folder)
    text = {
        "hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler", "context_length": 12,
    }  # fmt: skip
    return _write_open_clip(folder, {**CLIP, "custom_text": True, "text_cfg": text}, {})


def write_coca_of_open_clip(folder: Path) -> Path:
    """CoCa: both towers return the vectors of their tokens as well; a decoder that is not used."""
    folder.mkdir(parents=True)
    vision = {**CLIP["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**CLIP["text_cfg"], "embed_cls": True, "output_tokens": True}
    decoder = {**CLIP["text_cfg"], "attn_pooler_heads": 2}
    config = {**CLIP, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder, "custom_text": True}
    return _write_open_clip(folder, config, {})


# ------------------------------------------------------------------ transformers


def _crop(folder: Path) -> None:
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def _squash(folder: Path) -> None:
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def write_clip(folder: Path) -> Path:
    """CLIPModel with CLIP's tokenizer."""
    text = {**LAYERS, "vocab_size": 49408, "max_position_embeddings": 12}
    CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    _crop(folder)
    clip_tokenizer(folder).save_pretrained(folder)
    return folder


def write_siglip(folder: Path) -> Path:
    """SigLIP, multilingual: a SentencePiece file and no tokenizer.json."""
    tokenizer = siglip_tokenizer(folder)
    _siglip(folder, len(tokenizer) + 4)
    tokenizer.save_pretrained(folder)
    return folder


def write_siglip2(folder: Path) -> Path:
    """SigLIP 2 of a fixed resolution, which is a SiglipModel with Gemma's tokenizer."""
    _siglip(folder, 600)
    gemma_tokenizer().save_pretrained(folder)
    return folder


def _siglip(folder: Path, words: int) -> None:
    text = {**LAYERS, "vocab_size": words, "projection_size": 16, "max_position_embeddings": 12}
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    _squash(folder)


def write_metaclip2(folder: Path) -> Path:
    """MetaCLIP 2 as transformers has it."""
    text = {**LAYERS, "vocab_size": 230, "max_position_embeddings": 12, "eos_token_id": 2, "pad_token_id": 1}
    MetaClip2Model(MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    _crop(folder)
    xlmr_tokenizer().save_pretrained(folder)
    return folder


def write_altclip(folder: Path) -> Path:
    """AltCLIP: XLM-R, its first token, two linear layers."""
    text = {**LAYERS, "vocab_size": 230, "max_position_embeddings": 40, "project_dim": 12, "pad_token_id": 1}
    AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
    _crop(folder)
    xlmr_tokenizer().save_pretrained(folder)
    return folder


def write_vit_and_bert(folder: Path) -> Path:
    """A VisionTextDualEncoder."""
    towers = ViTConfig(**VISION), BertConfig(**{**BERT, "vocab_size": 280})
    config = VisionTextDualEncoderConfig.from_vision_text_configs(*towers, projection_dim=8)
    VisionTextDualEncoderModel(config).save_pretrained(folder)
    _squash(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder


# ------------------------------------------------------------------ sentence-transformers


def write_multimodal_clip(folder: Path) -> Path:
    """clip-ViT-B-32: a module of sentence-transformers 2's, which embeds texts and pictures, with the files of then."""
    clip = folder / "0_CLIPModel"
    text = {**LAYERS, "vocab_size": 49408, "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 2}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8))
    model.config.save_pretrained(clip)
    torch.save(model.state_dict(), clip / "pytorch_model.bin")
    _json(folder / "modules.json", [_module(0, "0_CLIPModel", "CLIPModel")])
    _json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})
    byte_pairs = json.loads(clip_tokenizer(folder).backend_tokenizer.to_str())["model"]
    _json(clip / "vocab.json", byte_pairs["vocab"])
    merges = "\n".join(" ".join(pair) for pair in byte_pairs["merges"])
    (clip / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    ends = {"unk_token": "<|endoftext|>", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken"}
    _json(clip / "tokenizer_config.json", {
        **{name: {"content": token, **added} for name, token in ends.items()}, "pad_token": "<|endoftext|>",
        "add_prefix_space": False, "errors": "replace", "do_lower_case": True, "model_max_length": 12,
        "name_or_path": "openai/clip-vit-base-patch32", "tokenizer_class": "CLIPTokenizer",
    })  # fmt: skip
    _json(clip / "special_tokens_map.json", {**ends, "pad_token": "<|endoftext|>"})
    _json(clip / "preprocessor_config.json", {
        "crop_size": SIDE, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": SIDE,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
    })  # fmt: skip
    return folder


def write_multilingual_clip(folder: Path, pooling: str = "mean_tokens") -> str:
    """clip-ViT-B-32-multilingual-v1: DistilBERT, averaged, a dense layer; beside it CLIP's image tower."""
    text = folder / "text"
    sizes = {"dim": 16, "hidden_dim": 24, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 40}
    DistilBertModel(DistilBertConfig(vocab_size=280, **sizes)).save_pretrained(text)
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 40
    tokenizer.save_pretrained(text)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    _json(text / "modules.json", [_module(i, path, kind) for i, (path, kind) in enumerate(kinds)])
    _json(text / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})
    _json(text / "sentence_bert_config.json", {"max_seq_length": 30, "do_lower_case": False})
    ways = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    how = {"word_embedding_dimension": 16, **{f"pooling_mode_{name}": name == pooling for name in ways}}
    _json(text / "1_Pooling" / "config.json", how)
    dense = {"in_features": 16, "out_features": 8, "bias": False}
    _json(text / "2_Dense" / "config.json", {**dense, "activation_function": "torch.nn.modules.linear.Identity"})
    torch.save({"linear.weight": torch.randn(8, 16)}, text / "2_Dense" / "pytorch_model.bin")
    image = write_multimodal_clip(folder / "image")
    return f"sentence-transformers:{text}+sentence-transformers:{image}"


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


class PublishedMexma(nn.Module):
    """MEXMA-SigLIP 2's model by its own code's words: text encoder, projector, image tower, two scalars."""

    def __init__(self, **names: str) -> None:
        super().__init__()
        self.names = {"text": "text_model", "projector": "text_projector", "image": "vision_model", **names}
        sizes = {**LAYERS, "hidden_size": 32, "num_attention_heads": 16}
        text = XLMRobertaConfig(
            **sizes, vocab_size=256, max_position_embeddings=40, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5
        )
        vision = SiglipVisionConfig(**{**sizes, "hidden_size": 48, "image_size": SIDE, "patch_size": 8})
        setattr(self, self.names["text"], XLMRobertaModel(text, add_pooling_layer=False))
        setattr(self, self.names["projector"], nn.Linear(32, 48, bias=False))
        setattr(self, self.names["image"], SiglipVisionModel(vision))
        self.logit_scale, self.logit_bias = nn.Parameter(torch.randn(1)), nn.Parameter(torch.randn(1))

    def encode_texts(self, **tokens: torch.Tensor) -> torch.Tensor:
        """The first token, projected."""
        first = getattr(self, self.names["text"])(**tokens).last_hidden_state[:, 0]
        return getattr(self, self.names["projector"])(first)

    def encode_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """What the attention head pools."""
        return getattr(self, self.names["image"])(pixel_values).pooler_output


def write_mexma(folder: Path, **names: str) -> Path:
    """visheratin/mexma-siglip2: config.json without sizes, weights in bfloat16, a tokenizer and an image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    model = PublishedMexma(**names)
    config = {
        "architectures": ["MexmaSigLIP"], "optimized": False, "torch_dtype": "bfloat16",
        "auto_map": {"AutoConfig": "mexma_siglip.MexmaSigLIPConfig", "AutoModel": "mexma_siglip.MexmaSigLIP"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mexma_siglip.py").write_text("raise RuntimeError('the code of a repository was run')\n")
    state = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    xlmr_tokenizer().save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, resample=2).save_pretrained(folder)
    return folder
