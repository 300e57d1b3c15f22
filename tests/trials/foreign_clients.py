"""What others' own programs make of a model in their layout, and of the server's answers, beside the model's own.

    npm install --ignore-scripts --prefix DIR @huggingface/transformers          # transformers.js with onnxruntime-node
    python tests/trials/foreign_clients.py araclip-mini --pictures FOLDER --node-modules DIR/node_modules

Prints a line a client: the library's version, how many texts got the model's token ids, the lowest cosine of texts and
of pictures. A client that is not installed (node, sentence-transformers, fastembed) is named and left out.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from araclip import AraCLIP, open_gallery
from araclip.layouts.layout import write_layout
from araclip.layouts.sentence_transformers_module import AraCLIPModule
from araclip.models.encoder_base import Vectors
from araclip.server.run import Serving
from araclip.server.settings import Settings
from araclip.text.normalization import normalize

HERE = Path(__file__).parent
TEXTS = [
    "قطة جالسة على طاولة", "قِطّةٌ ســوداء", "ﻻ شيء ٣", "a red car", "كلب\u200f في حديقة البيت", "👩‍🚀 رائدة",
    "cafe\u0301", "كتاب\u00a0 مفتوح\nعلى المكتب", "ﷺ",
    "السيارة رقم ١٢٣ في شارع طويل جدا بين بيوت قديمة وأشجار عالية قرب البحر مساء",
]  # fmt: skip
IMMICH = "ViT-B-32__openai"


class Trial:
    """A model, and the texts and pictures that every client encodes."""

    def __init__(self, model: AraCLIP, pictures: list[Path], work: Path) -> None:
        self.model, self.pictures, self.work = model, pictures, work
        self.texts, self.images = model.encode_text(TEXTS), model.encode_image(pictures)
        tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        tokenizer.enable_truncation(model.config.text.max_tokens)
        read = normalize if model.config.text.normalizer else str
        self.ids = [tokenizer.encode(read(text)).ids for text in TEXTS]

    def layout(self, name: str) -> Path:
        """The model in a layout."""
        return write_layout(self.model.folder, self.work / name.replace(".", "-"), name)

    def line(self, client: str, texts: Any, images: Any = None, ids: Any = None) -> None:
        """Print how far a client's vectors are from the model's."""
        words = [client]
        if ids is not None:
            words.append(f"{sum(a == b for a, b in zip(ids, self.ids, strict=True))} of {len(TEXTS)} texts: equal ids")
        for kind, own, found in (("texts", self.texts, texts), ("pictures", self.images, images)):
            if found is not None:
                words.append(f"{kind} ≥ {_cosines(own, np.array(found, np.float32)).min():.6f}")
        print(" · ".join(words), flush=True)


def transformers_js(trial: Trial, node_modules: Path) -> None:
    """transformers.js on onnxruntime-node."""
    package = node_modules / "@huggingface" / "transformers"
    asked = {
        "folder": str(trial.layout("transformers.js")), "library": str(package / "dist" / "transformers.node.mjs"),
        "dtype": "fp32", "texts": TEXTS, "pictures": [str(path) for path in trial.pictures],
    }  # fmt: skip
    answer = _node("transformers_js.mjs", asked)
    name = f"transformers.js {json.loads((package / 'package.json').read_text())['version']}"
    trial.line(name, answer["texts"], answer["pictures"], answer["ids"])


def sentence_transformers(trial: Trial) -> None:
    """SentenceTransformer of the exported folder, and of the module alone."""
    from sentence_transformers import SentenceTransformer

    pictures = [Image.open(path) for path in trial.pictures]
    name = f"sentence-transformers {version('sentence-transformers')}"
    exported = SentenceTransformer(str(trial.layout("sentence-transformers")), trust_remote_code=True, device="cpu")
    trial.line(f"{name}, exported", exported.encode(TEXTS), exported.encode(pictures))
    module = SentenceTransformer(modules=[AraCLIPModule(trial.model)], device="cpu")
    trial.line(f"{name}, module", module.encode(TEXTS), module.encode([str(path) for path in trial.pictures]))


def transformers(trial: Trial) -> None:
    """AutoTokenizer of the folder for sentence-transformers."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trial.work / "sentence-transformers")
    ids = tokenizer(TEXTS, truncation=True)["input_ids"]
    trial.line(f"transformers {version('transformers')}, AutoTokenizer", None, None, ids)


def fastembed(trial: Trial) -> None:
    """TextEmbedding with a custom model."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="araclip", pooling=PoolingType.DISABLED, normalization=False, sources=ModelSource(hf="araclip/araclip"),
        dim=trial.model.width, model_file="onnx/model.onnx",
    )  # fmt: skip
    client = TextEmbedding("araclip", specific_model_path=str(trial.work / "sentence-transformers"))
    trial.line(f"fastembed {version('fastembed')}", list(client.embed(TEXTS)))


def immich_server(trial: Trial) -> None:
    """Immich's calls from Node to `araclip serve`."""
    with _served(trial) as url:
        asked = {"url": url, "modelName": IMMICH, "texts": TEXTS, "pictures": [str(path) for path in trial.pictures]}
        answer = _node("immich_calls.mjs", asked)
    assert answer["ping"] == "pong"
    texts, pictures = ([json.loads(one["body"]["clip"]) for one in answer[kind]] for kind in ("texts", "pictures"))
    for one, path in zip(answer["pictures"], trial.pictures, strict=True):
        assert (one["body"]["imageWidth"], one["body"]["imageHeight"]) == Image.open(path).size
    trial.line(f"Immich's calls from Node {_node_version()}", texts, pictures)
    print(f"  faces: {answer['faces']['status']} {answer['faces']['body']['detail']}")


@contextlib.contextmanager
def _served(trial: Trial) -> Iterator[str]:
    folder = trial.work / "gallery"
    open_gallery(folder, model=trial.model, create=True).close()
    ready, addresses = threading.Event(), []

    def told(address: str) -> None:
        addresses.append(address)
        ready.set()

    server = Serving(Settings.read(gallery=folder, model=str(trial.model.folder)), ready=told)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(120), "the server did not start"
            yield addresses[0]
        finally:
            server.should_exit = True
            thread.join(60)


def _node(script: str, asked: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", str(HERE / script)], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def _node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _cosines(own: Vectors, found: Vectors) -> Vectors:
    rows: Vectors = (own * found[:, : own.shape[1]]).sum(axis=1) / np.linalg.norm(found, axis=1)
    return rows


def main() -> None:
    """Try every client."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", help="a model folder, or a bundled or pulled model")
    options.add_argument("--pictures", type=Path, required=True, help="a folder; the first twelve are used")
    options.add_argument("--node-modules", type=Path, help="where npm put @huggingface/transformers")
    given = options.parse_args()
    found = (path for path in sorted(given.pictures.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    pictures = list(islice(found, 12))
    clients: list[Callable[[Trial], None]] = [sentence_transformers, transformers, fastembed]
    with tempfile.TemporaryDirectory() as work:
        trial = Trial(AraCLIP(given.model), pictures, Path(work))
        for client in [*clients, immich_server]:
            try:
                client(trial)
            except (ImportError, PackageNotFoundError, FileNotFoundError) as error:
                print(f"{client.__name__} was left out: {error}")
        if given.node_modules:
            transformers_js(trial, given.node_modules)


if __name__ == "__main__":
    main()
