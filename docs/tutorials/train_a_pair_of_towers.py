# %% [markdown]
# # Train a pair of towers
#
# Both stages of the method, on a set small enough for a minute on two cores: a text tower first learns, from
# English–Arabic pairs, the vectors that a teacher gives the English text (distillation); then text tower and image
# tower learn together from captioned pictures (contrastive fine-tuning). The result is exported and searched like any
# other model.
#
# The towers have a few thousand weights and begin at random, and the pictures are coloured shapes: this shows every
# step, not what a good model can do. [Train a model](../training.md) has real towers and data. In a clone:
#
# ```text
# pip install '.[train]'
# python docs/tutorials/train_a_pair_of_towers.py
# ```

# %%
import json
import random
from itertools import product
from pathlib import Path

from PIL import Image, ImageDraw
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTModel

from araclip import Gallery
from araclip.cli import app

data = Path("tutorial-data").absolute()
data.mkdir(exist_ok=True)

# %% [markdown]
# ## Pictures with captions, and parallel text
#
# A picture set is a folder with a `captions.jsonl`, one object a line. Some pictures are kept out of training: the
# `dev` split.

# %%
COLOURS = {"red": ("حمراء", "#dc1e1e"), "green": ("خضراء", "#1eb428"), "blue": ("زرقاء", "#1e3cdc")}
SHAPES = {"circle": "دائرة", "bar": "عارضة", "frame": "نافذة"}
chance = random.Random(0)


def draw(colour: str, shape: str) -> Image.Image:
    """A shape of some size at some place."""
    picture = Image.new("RGB", (32, 32), "white")
    pen, side = ImageDraw.Draw(picture), chance.randint(16, 24)
    left, top = chance.randint(0, 32 - side), chance.randint(0, 32 - side)
    box = (left, top, left + side, top + side)
    if shape == "circle":
        pen.ellipse(box, colour)
    elif shape == "bar":
        pen.rectangle((left, top + side // 3, left + side, top + 2 * side // 3), colour)
    else:
        pen.rectangle(box, outline=colour, width=4)
    return picture


rows, pairs = [], []
for (english, (arabic, ink)), (shape, name) in product(COLOURS.items(), SHAPES.items()):
    pairs += [
        (f"a {english} {shape}", f"{name} {arabic}"),
        (f"{english} {shape} on white", f"{name} {arabic} على أبيض"),
    ]
    for number in range(6):
        file = f"{english}-{shape}-{number}.png"
        draw(ink, shape).save(data / file)
        split = "train" if number < 5 else "dev"
        rows.append({"image": file, "split": split, "caption_ar": [f"{name} {arabic}", f"{name} {arabic} على أبيض"]})
(data / "captions.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
(data / "pairs.tsv").write_text("en\tar\n" + "".join(f"{en}\t{ar}\n" for en, ar in pairs), "utf-8")

# %% [markdown]
# ## Two towers
#
# Any text encoder and any vision tower of transformers or timm will do, by hub id or folder. These are new and tiny.

# %%
special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
words = {word: None for _, arabic in pairs for word in arabic.split()}
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate((*special.values(), *words))}, "[UNK]"))
tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
small = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
bert = BertConfig(vocab_size=len(special) + len(words), hidden_size=32, max_position_embeddings=16, **small)
BertModel(bert, add_pooling_layer=False).save_pretrained(data / "bert")
PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(data / "bert")
vit = ViTConfig(hidden_size=32, image_size=32, patch_size=8, **small)
ViTModel(vit, add_pooling_layer=False).save_pretrained(data / "vit")
ViTImageProcessor(size={"height": 32, "width": 32}, do_convert_rgb=True).save_pretrained(data / "vit")

# %% [markdown]
# ## The recipe
#
# One TOML file, a section a stage; the teacher is the bundled model, whose vectors have 512 numbers. Every key is in
# [Recipe keys](../recipe-keys.md).

# %%
recipe = Path("tutorial.toml")
recipe.write_text(
    f"""
name = "tutorial"
stages = ["distill", "finetune"]
data = '{data}'

[model]
text = '{data / "bert"}'
vision = '{data / "vit"}'
projection_dim = 512
max_tokens = 12

[distill]
teacher = "araclip:araclip-mini"
sources = [{{ path = "pairs.tsv" }}]
steps = 60
batch = 16
lr_text = 3e-3
lr_head = 3e-3

[finetune]
pictures = [{{ folder = ".", split = "train" }}]
image = {{ train = "full" }}
steps = 80
batch = 9
lr_text = 1e-3
lr_image = 3e-3
lr_head = 3e-3
dev = {{ folder = "." }}
""",
    "utf-8",
)

# %% [markdown]
# ## Train, export, search
#
# These are the commands of the command line: `araclip train all tutorial.toml` and so on. A run that is stopped
# continues when the same command is given again.


# %%
def araclip(*arguments: str) -> None:
    """A command, as it is typed after `araclip`."""
    app(list(arguments), standalone_mode=False)


araclip("train", "all", str(recipe), "--runs", "tutorial-runs", "--fresh")

# %% [markdown]
# The table says how often a dev picture is found by its caption: of nine pictures, chance would find one in nine.
# Exporting writes the two graphs that search needs, and compares their vectors with the trained model's:

# %%
araclip("export", "tutorial-runs/finetune", "tutorial-model", "--weights", "float32")

# %%
held_out = [data / row["image"] for row in rows if row["split"] == "dev"]
with Gallery.open("tutorial-shapes", model="tutorial-model", create=True) as gallery:
    gallery.add(held_out)
    for query in ("دائرة حمراء", "نافذة زرقاء", "عارضة خضراء"):
        print(query, "→", [Path(hit.path).stem for hit in gallery.search(query, k=2, literal=True, text_weight=0)])
