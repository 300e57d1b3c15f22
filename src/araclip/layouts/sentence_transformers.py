"""sentence-transformers' layout: the whole model folder as one module of texts and pictures; its text graph for others.

modules.json            the module `sentence_transformers_module.AraCLIPModule`; sentence-transformers asks for
                        trust_remote_code=True before it imports a class that is not its own, here araclip's
0_AraCLIP/              the model folder
onnx/model.onnx         input_ids, attention_mask → embedding: fastembed and ONNX Runtime
tokenizer.json, …       AutoTokenizer; config.json: what fastembed reads
"""

from pathlib import Path

from araclip.encoder import AraCLIP
from araclip.layouts.graphs import AdaptedGraph, copy_model_folder, link_or_copy, pad_ids
from araclip.layouts.tokenizer_files import padding, write_json, write_tokenizer

FOLDER = "0_AraCLIP"
MODULE = "araclip.layouts.sentence_transformers_module.AraCLIPModule"


def write_sentence_transformers(model: AraCLIP, out: Path) -> None:
    """Write the layout."""
    copy_model_folder(model, out / FOLDER)
    write_json(out / "modules.json", [{"idx": 0, "name": "0", "path": FOLDER, "type": MODULE}])
    write_json(
        out / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    text = model.config.text
    config = {"hidden_size": model.width, "pad_token_id": padding(model)[0],
              "max_position_embeddings": text.max_tokens}  # fmt: skip
    write_json(out / "config.json", config)
    write_tokenizer(model, out)
    if text.padding == "longest" and not model.config.data_files:
        link_or_copy(out / FOLDER / "text.onnx", out / "onnx" / "model.onnx")
        return
    graph = AdaptedGraph(model.folder / "text.onnx")
    pad_ids(graph, text)
    graph.save(out / "onnx" / "model.onnx")
