"""The model card of araclip-mini: what it is, what it was trained on, what it may be used for, what it scores."""

from typing import Any

TRAINING_DATA = [
    "Flickr8k, train split: 6,091 photographs (Flickr terms, non-commercial research), human English captions; "
    "Arabic captions of Flickr8k-Rev (CC0), ElJundi et al. (machine-translated, edited by people) and raw "
    "machine translation",
    "Flickr30k, 1,464 photographs, English captions, machine-translated Arabic (non-commercial research)",
    "COCO, 2,158 photographs, and Pascal Sentences, 1,000, English captions",
    "NIPS 2017 adversarial-challenge pictures, 1,000 (CC BY 2.0), with ImageNet class names in English and Arabic",
    "Caltech-101 (1,200) and Sports-100 (1,000), English labels",
    "GCompris word pictures, 1,107 (CC BY-SA 3.0), English and Arabic words",
    "226 public-domain pictures with titles (based.cooking, Documerica, Egyptian landmarks)",
    "Noto Color Emoji drawings (OFL-1.1), about 2,000, English and Arabic names of Unicode CLDR",
    "OpenMoji drawings (CC BY-SA 4.0), about 1,900, with the same names, in stage 2: the drawings of `araclip "
    "demo` are known to the model, its photographs are not",
    "Parallel text, 51 thousand pairs: machine-translated Flickr30k captions, Flickr8k captions, Tatoeba (CC "
    "BY 2.0), Moroccan Darija sentences (CC BY-NC), FLORES dialects (CC BY-SA 4.0), FreeDict (GPL-2+) and "
    "Arabic WordNet (CC BY-SA 3.0) word pairs, CLDR emoji names, ImageNet class names",
]

_CARD = """# araclip-mini

A dual encoder for Arabic (and English) text and pictures: {config[text][tower]} and {config[image][tower]}, each with
mean pooling and a linear projection into one {config[width]}-wide space. {megabytes} MB, runs on ONNX Runtime, needs no
network.

## How it was trained

The two stages of AraCLIP (ArabicNLP 2024), on two CPU cores (`recipes/araclip_mini.py` with
`recipes/araclip-mini.toml`):

0. an English teacher: both towers learn from pictures with English captions and names (InfoNCE);
1. distillation: the text encoder, starting as the teacher, learns to put an Arabic text where the teacher put its
   English original (cosine distance, plus a divergence of in-batch similarities);
2. contrastive fine-tuning on pictures with Arabic captions, one text in five in English.

## Trained on

{data}

The starting weights are multilingual-e5-small (Wang et al. 2024, MIT), read from 4-bit blocks, its vocabulary cut to
the {vocabulary:,} rows that Arabic and English text uses, and EfficientNet-Lite2 (Tan and Le 2019, ImageNet,
Apache-2.0).

## Licence

CC BY-NC-SA 4.0, **for non-commercial research**: most of the training photographs come from Flickr under terms that
allow no more. The code of AraCLIP is Apache-2.0; these weights are not.

## Measured

Flickr8k-Arabic, dev split: 1,000 pictures, every human caption (`caption_ar`) a query, any-hit, exported ONNX files.
The dev split was never trained on; that a further stage over drawings was not shipped was decided on it.

{table}

## Limits

It knows what ten thousand captioned photographs and four thousand drawings show: people, dogs, sports, streets, common
things. It reads no text in pictures and knows no names of people or places. Captions count, colours and left–right are
often confused. It was trained on web photographs and carries their bias: people are described by looks and clothing.
"""


def results_table(result: dict[str, Any]) -> str:
    """Both languages and directions as a Markdown table."""
    rows = ["| query | R@1 | R@5 | R@10 | MRR | median rank | queries |", "|---|---|---|---|---|---|---|"]
    for language in ("arabic", "english"):
        for direction, name, count in (("t2i", "text → picture", "n_queries"), ("i2t", "picture → text", "n_images")):
            m, n = result[language][direction], result[language][count]
            numbers = " | ".join(f"{m[key]:.3f}" for key in ("R@1", "R@5", "R@10", "MRR"))
            rows.append(f"| {language}, {name} | {numbers} | {m['median rank']:.0f} | {n:,} |")
    return "\n".join(rows)


def model_card(config: dict[str, Any], result: dict[str, Any], megabytes: float, vocabulary: int) -> str:
    """README.md of the model folder, in Markdown."""
    return _CARD.format(
        config=config,
        megabytes=round(megabytes),
        data="\n".join(f"- {line}" for line in TRAINING_DATA),
        vocabulary=vocabulary,
        table=results_table(result),
    )
