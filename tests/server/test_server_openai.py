"""The routes that OpenAI's clients use: vectors, models, and errors in their shape; with OpenAI's own client too."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import pictures
import tiny
from araclip.client import Client
from araclip.errors import ServerError
from araclip.models.encoder import AraCLIP
from serving import READ, bearer, data_uri, encoded, listening, problem, serving, settings_for

ADDRESS = "/v1/embeddings"


@pytest.fixture(scope="module")
def client(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    """Its model's vectors may be cut to 2 or 4 numbers."""
    folder = Path(shutil.copytree(tiny_model, gallery.parent / "model"))
    tiny.write_config(folder, {**tiny.read_config(folder), "matryoshka": [2, 4]})
    with serving(settings_for(gallery, folder)) as client:
        yield client


# ------------------------------------------------------------------ vectors


def test_embeddings_have_shape_of_openai_for_texts_and_pictures(client: TestClient) -> None:
    red = data_uri(encoded(Image.new("RGB", (30, 30), pictures.RED)))
    answer = client.post(ADDRESS, json={"input": ["أحمر", red, "أزرق"], "model": "araclip-mini"}).json()
    assert answer["object"] == "list"
    assert answer["model"].startswith("tiny@")
    assert [(entry["object"], entry["index"]) for entry in answer["data"]] == [("embedding", i) for i in range(3)]
    text, picture, other = (entry["embedding"] for entry in answer["data"])
    dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    assert dot(text, text) == pytest.approx(1, abs=1e-5)
    assert dot(text, picture) > dot(other, picture) + 0.3
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}  # <s> word </s>, twice


def test_embeddings_in_base64_are_the_same_numbers(client: TestClient) -> None:
    plain = client.post(ADDRESS, json={"input": "أحمر", "encoding_format": None}).json()["data"][0]["embedding"]
    packed = client.post(ADDRESS, json={"input": "أحمر", "encoding_format": "base64"}).json()
    assert np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4") == pytest.approx(plain)


def test_a_text_that_begins_like_a_data_uri_is_a_text(client: TestClient) -> None:
    answer = client.post(ADDRESS, json={"input": ["data: أحمر, أزرق", "data:"]})
    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] > 2


def test_fields_that_openai_knows_and_we_do_not_are_ignored(client: TestClient) -> None:
    asked = {"input": "أحمر", "model": "any", "user": "u-1", "dimensions": 8, "service_tier": "auto", "extra": {"a": 1}}
    assert client.post(ADDRESS, json=asked).status_code == 200


@pytest.mark.parametrize(
    ("asked", "kind", "param", "words"),
    [
        ({"input": []}, "invalid", "input", "list is empty"),
        ({"input": ""}, "invalid", "input", "entry 0 is an empty text"),
        ({"input": ["x", ""]}, "invalid", "input", "entry 1 is an empty text"),
        ({"input": [1, 2]}, "invalid", "input", "token ids"),
        ({"input": [[1, 2], [3]]}, "invalid", "input", "token ids"),
        ({"input": ["x", None]}, "invalid", "input", "entry 1 is no text"),
        ({"input": {"text": "x"}}, "invalid", "input", "entry 0 is no text"),
        ({"input": ["x"] * 2049}, "invalid", "input", "2049 entries, the most is 2048"),
        ({}, "invalid", "input", "required"),
        ({"input": "x", "dimensions": 0}, "invalid", "dimensions", "greater than or equal to 1"),
        ({"input": "x", "encoding_format": "hex"}, "invalid", "encoding_format", "'float' or 'base64'"),
        ({"input": ["x", "ق" * 1001]}, "bad-query", "input.1", "1001 characters, the most is 1000"),
        ({"input": "x", "dimensions": 3}, "bad-query", "dimensions", "vectors of 2, 4, 8 numbers"),
        ({"input": ["x", "data:image/png;base64,%%%"]}, "bad-query", "input.1", "not valid base64"),
        ({"input": "data:text/html,<b>"}, "bad-query", "input.0", "data:image"),
        ({"input": "data:image/png; base64,AAAA"}, "bad-query", "input.0", "data:image"),
        ({"input": "data:image/png;base64"}, "bad-query", "input.0", "data:image"),
        ({"input": data_uri(b"not a picture")}, "bad-picture", "input.0", "not a"),
        ({"input": [data_uri(b"x")] * 17}, "bad-query", "input", "17 pictures, the most is 16"),
    ],
)
def test_what_cannot_be_embedded_is_error_that_names_field(
    client: TestClient, asked: dict[str, object], kind: str, param: str | None, words: str
) -> None:
    english = problem(client.post(ADDRESS, json=asked), kind)
    assert english["param"] == param
    assert words in english["message"]
    arabic = problem(client.post(ADDRESS, json=asked, headers={"Accept-Language": "ar"}), kind)["message"]
    assert any("\u0600" < letter < "\u06ff" for letter in arabic)


def test_a_model_trained_with_prefixes_gives_them_and_no_others(client: TestClient) -> None:
    whole = np.array(client.post(ADDRESS, json={"input": "أحمر"}).json()["data"][0]["embedding"])
    for form in ("float", "base64"):
        asked = {"input": "أحمر", "dimensions": 4, "encoding_format": form}
        sent = client.post(ADDRESS, json=asked).json()["data"][0]["embedding"]
        short = np.frombuffer(base64.b64decode(sent), "<f4") if form == "base64" else np.array(sent)
        assert short == pytest.approx(whole[:4] / np.linalg.norm(whole[:4]), abs=1e-6)


# ------------------------------------------------------------------ models and errors


def test_one_model_is_listed_and_found_by_its_name_and_its_id(client: TestClient) -> None:
    (only,) = client.get("/v1/models").json()["data"]
    assert only["object"] == "model"
    assert only["id"] == client.post(ADDRESS, json={"input": "x"}).json()["model"]
    assert client.get(f"/v1/models/{only['id']}").json() == client.get("/v1/models/tiny").json() == only
    assert "tiny@" in problem(client.get("/v1/models/a/b"), "no-model")["message"]


def test_errors_below_v1_have_openais_shape_others_are_problems(
    gallery: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(gallery, tiny_model, token_read=READ, max_body=2000, max_searches=1)
    with serving(settings) as client:
        service, known = client.app.state.service, bearer(READ)
        for address, kind in ((ADDRESS, "unauthorized"), ("/search", "unauthorized")):
            problem(client.post(address, json={"input": "x", "q": "x"}), kind)
        for address in ("/v1/nothing", "/nothing"):
            problem(client.get(address, headers=known), "not-found")
        problem(client.get(ADDRESS, headers=known), "method")
        problem(client.get("/v1/models", headers={**known, "Host": "evil.example"}), "wrong-host")
        problem(client.post(ADDRESS, json={"input": "x" * 3000}, headers=known), "too-large")
        problem(client.post(ADDRESS, content=b"{", headers={**known, "Content-Type": "application/json"}), "invalid")
        with service.embeddings.entered(""):
            refused = client.post(ADDRESS, json={"input": "x"}, headers=known)
            assert problem(refused, "busy")["type"] == "rate_limit_error"
            assert refused.headers["retry-after"] == "1"

        async def broken(*_: object) -> None:
            raise RuntimeError("secret of the server")

        monkeypatch.setattr(service.texts, "rows", broken)
        assert "secret" not in str(problem(client.post(ADDRESS, json={"input": "x"}, headers=known), "internal"))


def test_our_client_reads_errors_of_either_shape(gallery: Path, tiny_model: Path) -> None:
    with listening(settings_for(gallery, tiny_model)) as address, Client(address) as client:
        with pytest.raises(ServerError, match="1001 characters, the most is 1000") as below_v1:
            client.encode_text(["ق" * 1001])
        with pytest.raises(ServerError, match="cannot be carried out: the query has 1001 characters"):
            client.search("ق" * 1001)
        assert below_v1.value.status == 400


# ------------------------------------------------------------------ OpenAI's own client


def test_openais_client_gets_vectors_models_and_its_own_errors(gallery: Path, tiny_model: Path) -> None:
    openai = pytest.importorskip("openai")
    expected = AraCLIP(tiny_model, threads=1).encode_text(["أحمر", "قطة"])
    with listening(settings_for(gallery, tiny_model, token_read=READ)) as address:
        options = {"base_url": f"{address}/v1", "max_retries": 0}
        with openai.OpenAI(api_key=READ, **options) as theirs:
            (model,) = theirs.models.list().data
            assert theirs.models.retrieve(model.id).id == model.id
            for form in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):  # {}: base64, decoded by it
                found = theirs.embeddings.create(model=model.id, input=["أحمر", "قطة"], user="me", **form)
                rows = [entry.embedding for entry in found.data]
                if form.get("encoding_format") == "base64":
                    rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
                assert np.allclose(rows, expected, atol=1e-6)
                assert (found.model, found.usage.total_tokens) == (model.id, 6)
            with pytest.raises(openai.NotFoundError) as absent:
                theirs.models.retrieve("text-embedding-3-small")
            assert absent.value.code == "model_not_found"
            with pytest.raises(openai.BadRequestError, match="8-wide vectors only") as narrow:
                theirs.embeddings.create(model=model.id, input="x", dimensions=3)
            assert (narrow.value.param, narrow.value.type) == ("dimensions", "invalid_request_error")
            for wrong, words in (([1, 2], "token ids"), ([], "list is empty"), ("", "empty text")):
                with pytest.raises(openai.UnprocessableEntityError, match=words) as refused:
                    theirs.embeddings.create(model=model.id, input=wrong)
                assert refused.value.param == "input"
        with openai.OpenAI(api_key="wrong", **options) as stranger:
            with pytest.raises(openai.AuthenticationError) as unknown:
                stranger.embeddings.create(model=model.id, input="x")
            assert unknown.value.code == "invalid_api_key"
            assert json.loads(unknown.value.response.text)["error"]["message"]
