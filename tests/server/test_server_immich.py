"""Immich's and OpenCloud's calls: what they send is answered as their own machine-learning service answers it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import pictures
import tiny
from araclip.errors import WidthMismatch
from araclip.models.encoder import AraCLIP
from araclip.server.routes.immich import IMMICH_WIDTHS, fit_width, stand_ins
from serving import READ, bearer, encoded, make_gallery, photo_album, problem, serving, settings_for

DEFAULT = "ViT-B-32__openai"  # Immich's, 512 wide
OPENCLOUD = "XLM-Roberta-Large-Vit-B-32"  # OpenCloud's default


@pytest.fixture(scope="module")
def client(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(gallery, tiny_model)) as client:
        yield client


def entries(kind: str, model: str = DEFAULT, **more: Any) -> str:
    return json.dumps({"clip": {kind: {"modelName": model, **more}}})


def ask(client: TestClient, entries: str, text: str | None = None, image: bytes | None = None, **how: Any) -> Any:
    """As Immich's FormData: multipart always, a picture as a blob without a name or type of its own."""
    parts: dict[str, Any] = {"entries": (None, entries)}
    if text is not None:
        parts["text"] = (None, text)
    if image is not None:
        parts["image"] = ("blob", image, "application/octet-stream")
    return client.post("/predict", files=parts, **how)


def test_ping_answers_pong_as_plain_text(client: TestClient) -> None:
    answer = client.get("/ping")
    assert (answer.status_code, answer.text) == (200, "pong")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_text_vector_is_filled_up_to_the_width_of_immich(client: TestClient, tiny_model: Path) -> None:
    answer = ask(client, entries("textual", options={"language": "ar"}), text="قطة أحمر")
    assert answer.status_code == 200
    assert answer.json().keys() == {"clip"}
    vector = np.array(json.loads(answer.json()["clip"]), np.float32)
    own = AraCLIP(tiny_model, threads=1).encode_text(["قطة أحمر"])[0]
    assert vector.shape == (512,)
    np.testing.assert_allclose(vector[: len(own)], own, atol=1e-6)
    assert not vector[len(own) :].any()


def test_a_picture_becomes_a_vector_with_its_upright_size(client: TestClient) -> None:
    red = ask(client, entries("visual"), image=encoded(Image.new("RGB", (60, 30), pictures.RED))).json()
    assert (red["imageWidth"], red["imageHeight"]) == (60, 30)
    vectors = [json.loads(red["clip"])]
    vectors += [json.loads(ask(client, entries("textual"), text=text).json()["clip"]) for text in ("أحمر", "أزرق")]
    picture, same, other = map(np.array, vectors)
    assert picture @ same > 0.9 > picture @ other


def test_opencloud_and_others_by_name_are_answered_too(client: TestClient, tiny_model: Path) -> None:
    own = AraCLIP(tiny_model, threads=1)
    for name, width in ((OPENCLOUD, 512), (f"M-CLIP/{OPENCLOUD}", 512), ("tiny", own.width), (own.label, own.width)):
        vector = json.loads(ask(client, entries("textual", name), text="قطة").json()["clip"])
        assert len(vector) == width


@pytest.mark.parametrize("task", ["facial-recognition", "ocr"])
def test_another_task_is_refused_with_what_to_turn_off(client: TestClient, task: str) -> None:
    models = {"detection": {"modelName": "m", "options": {"minScore": 0.7}}, "recognition": {"modelName": "m"}}
    answer = ask(client, json.dumps({task: models}), image=encoded(Image.new("RGB", (9, 9))))
    assert task in problem(answer, "no-task")["detail"]


@pytest.mark.parametrize(
    ("sent", "text", "kind"),
    [
        ("", "قطة", "invalid"),
        ("{", "قطة", "invalid"),
        ("[]", "قطة", "invalid"),
        ('{"clip": {}}', "قطة", "invalid"),
        ('{"clip": {"textual": {"modelName": "a"}, "visual": {"modelName": "a"}}}', "قطة", "invalid"),
        ('{"clip": {"textual": {}}}', "قطة", "invalid"),
        ('{"clip": {"textual": {"modelName": 7}}}', "قطة", "invalid"),
        ("[" * 100 + "]" * 100, "قطة", "invalid"),
        (entries("textual"), None, "invalid"),
        (entries("visual"), "قطة", "invalid"),
        (entries("textual", "buffalo_l"), "قطة", "no-model"),
        (entries("textual"), "ق" * 1001, "bad-query"),
    ],
)
def test_what_immich_would_not_send_is_refused(client: TestClient, sent: str, text: str | None, kind: str) -> None:
    problem(ask(client, sent, text=text), kind)


def test_what_is_no_picture_is_refused_and_the_server_goes_on(client: TestClient) -> None:
    problem(ask(client, entries("visual"), image=b"no picture"), "bad-picture")
    assert ask(client, entries("textual"), text="قطة").status_code == 200


def test_a_model_too_wide_for_the_name_is_refused(gallery: Path, tmp_path: Path) -> None:
    model = tiny.write_tiny_model(tmp_path / "wide", width=600)
    wide = make_gallery(tmp_path / "gallery", photo_album(tmp_path / "album"), model)
    tiny.write_config(model, {**tiny.read_config(model), "matryoshka": [512]})
    with serving(settings_for(wide, model)) as client:
        cut = json.loads(ask(client, entries("textual"), text="قطة").json()["clip"])
        assert len(cut) == 512
        assert np.linalg.norm(cut) == pytest.approx(1, abs=1e-5)
    tiny.write_config(model, {**tiny.read_config(model), "matryoshka": []})
    with serving(settings_for(wide, model)) as client:
        detail = problem(ask(client, entries("textual"), text="قطة"), "no-model")["detail"]
        assert "600 wide" in detail
        assert "ViT-B-16-plus-240__laion400m_e31" in detail


def test_with_tokens_a_call_needs_one_unless_it_is_opened(gallery: Path, tiny_model: Path) -> None:
    settings = settings_for(gallery, tiny_model, token_read=READ)
    basic = {"Authorization": "Basic " + base64.b64encode(f"x:{READ}".encode()).decode()}
    with serving(settings) as client:
        assert client.get("/ping").text == "pong"
        problem(ask(client, entries("textual"), text="قطة"), "unauthorized")
        problem(ask(client, entries("textual"), text="قطة", headers={"Authorization": "Basic x"}), "unauthorized")
        for headers in (bearer(READ), basic):
            assert ask(client, entries("textual"), text="قطة", headers=headers).status_code == 200
        problem(client.get("/stats", headers=basic), "unauthorized")  # a password opens /predict alone
    with serving(settings_for(gallery, tiny_model, token_read=READ, open_predict=True)) as client:
        assert ask(client, entries("textual"), text="قطة").status_code == 200
        problem(client.get("/search", params={"q": "قطة"}), "unauthorized")


def test_the_names_that_a_model_can_stand_for() -> None:
    assert stand_ins([384])[0] == DEFAULT
    assert all(IMMICH_WIDTHS[name] >= 768 for name in stand_ins([768]))
    assert stand_ins([2000]) == []
    vector = np.eye(4, dtype=np.float32)[0]
    assert fit_width(vector, 6).tolist() == [1, 0, 0, 0, 0, 0]
    assert fit_width(vector, 2, [2]).tolist() == [1, 0]
    with pytest.raises(WidthMismatch, match="4-wide vectors, 2-wide"):
        fit_width(vector, 2)
