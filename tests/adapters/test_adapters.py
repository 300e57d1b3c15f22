"""AraCLIP inside LangChain and LlamaIndex, with their own stores."""

import base64
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pictures
from araclip.client import Client
from araclip.models.encoder import AraCLIP
from serving import listening, make_gallery, settings_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of theirs


def test_importing_araclip_imports_neither_framework() -> None:
    import subprocess

    code = (
        "import sys, araclip.adapters, araclip.client; "
        "print(sorted({'langchain_core', 'llama_index'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_langchain_store_finds_texts_and_pictures_by_arabic(model: AraCLIP, tmp_path: Path) -> None:
    pytest.importorskip("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore

    from araclip.adapters.langchain import AraCLIPEmbeddings

    embeddings = AraCLIPEmbeddings(model)
    store = InMemoryVectorStore(embeddings)
    store.add_texts(["red", "green", "blue"])
    assert store.similarity_search("أزرق", k=1)[0].page_content == "blue"
    red = pictures.solid(tmp_path / "red.png", pictures.RED)
    (row,) = embeddings.embed_images([red])
    assert store.similarity_search_by_vector(row, k=1)[0].page_content == "red"
    assert embeddings.embed_image(uris=[str(red)]) == [row]  # as Chroma's, LanceDB's and VDMS's stores call it


def test_adapters_read_words_of_queries_where_given_a_reader(model: AraCLIP) -> None:
    pytest.importorskip("langchain_core")
    from araclip.adapters.langchain import AraCLIPEmbeddings
    from araclip.text.resources import interpreter

    plain, reading = AraCLIPEmbeddings(model), AraCLIPEmbeddings(model, interpreter())
    assert reading.embed_query("ازرق") == pytest.approx(plain.embed_query("أزرق"), abs=1e-5)
    both = reading.embed_query("عربية")
    assert np.linalg.norm(both) == pytest.approx(1, abs=1e-5)
    assert both != pytest.approx(plain.embed_query("عربية"), abs=1e-3)


def test_llama_index_places_texts_and_pictures_in_one_space(model: AraCLIP, tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core")
    from araclip.adapters.llama_index import AraCLIPEmbedding

    embedding = AraCLIPEmbedding(model)
    assert embedding.model_name == model.label
    unnamed = SimpleNamespace(label=None, encode_text=model.encode_text)
    assert AraCLIPEmbedding(unnamed).model_name == "araclip"
    red = embedding.get_image_embedding(str(pictures.solid(tmp_path / "red.png", pictures.RED)))
    query, other = embedding.get_query_embedding("أحمر"), embedding.get_query_embedding("أزرق")
    assert embedding.similarity(query, red) > embedding.similarity(other, red) + 0.3
    assert np.allclose(embedding.get_text_embedding_batch(["أحمر", "أزرق"]), [query, other])


def test_llama_index_over_a_server_takes_pictures_of_nodes(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import ImageNode

    from araclip.adapters.llama_index import AraCLIPEmbedding

    red = pictures.solid(tmp_path / "album" / "red.png", pictures.RED)
    node = ImageNode(image=base64.b64encode(red.read_bytes()).decode())
    with (
        listening(settings_for(make_gallery(tmp_path / "gallery", red.parent, tiny_model), tiny_model)) as address,
        Client(address) as client,
    ):
        (row,) = AraCLIPEmbedding(client).get_image_embedding_batch([node.resolve_image()])
        assert row == client.encode_image(red)
