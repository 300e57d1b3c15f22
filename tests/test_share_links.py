"""A link to one search: what it grants, and that nothing widens it."""

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from araclip.server.http.problem_details import Problem
from araclip.server.http.share_links import ShareLinks
from serving import READ, WRITE, bearer, make_gallery, photo_album, problem, serving, settings_for

TOKENS = {"read": READ, "write": WRITE}
BLUE = {"where": ["folder=بيت"]}
TRIP = {"where": ["folder=رحلة"]}
EVERYWHERE = (
    "/stats", "/search?q=a", "/timeline", "/pictures", "/folders", "/places", "/events", "/metrics", "/v1/models",
)  # fmt: skip


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("shares")
    return Path(make_gallery(folder / "gallery", photo_album(folder / "album"), tiny_model))


@pytest.fixture(scope="module")
def client(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(gallery, tiny_model, token_read=READ, token_write=WRITE)) as client:
        yield client


def shared(client: TestClient, search: dict[str, object], **more: object) -> dict[str, object]:
    answer = client.post("/shares", json={"search": search, **more}, headers=bearer(READ))
    assert answer.status_code == 201, answer.text
    return answer.json()


def shown(client: TestClient, token: object) -> list[str]:
    return [each["id"] for each in client.get(f"/shared/{token}/pictures").json()["results"]]


def everything(client: TestClient) -> set[str]:
    return {each["id"] for each in client.get("/pictures", headers=bearer(READ)).json()["results"]}


def test_a_link_shows_its_pictures_with_thumbnails_and_originals_without_a_token(client: TestClient) -> None:
    link = shared(client, BLUE)
    found = shown(client, link["token"])
    expected = client.get("/pictures", params=BLUE, headers=bearer(READ)).json()["results"]
    assert found == [each["id"] for each in expected]
    assert link["pictures"] == len(found) > 0
    for identity in found:
        assert client.get(f"/shared/{link['token']}/thumbnails/{identity}").headers["content-type"] == "image/webp"
        original = client.get(f"/shared/{link['token']}/images/{identity}?download=1")
        assert original.content == client.get(f"/images/{identity}", headers=bearer(READ)).content
        assert "no-cache" in original.headers["cache-control"]
    answer = client.get(f"/shared/{link['token']}/pictures").json()
    assert set(answer["results"][0]) == {"id", "name", "width", "height", "captured_at", "placeholder"}


def test_a_link_to_words_shows_what_is_not_weak(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "لون أزرق", "k": 200}, headers=bearer(READ)).json()
    strong = [each["id"] for each in answer["results"] if not each["weak"]]
    body = {"search": {"q": "لون أزرق"}}
    if not strong:
        problem(client.post("/shares", json=body, headers=bearer(READ)), "bad-query")
    else:
        assert shown(client, shared(client, {"q": "لون أزرق"})["token"]) == strong


def test_a_link_grants_no_other_picture_and_no_other_address(client: TestClient) -> None:
    token = shared(client, BLUE)["token"]
    others = everything(client) - set(shown(client, token))
    assert others
    for identity in [*others, "0" * 32]:
        for path in (f"/shared/{token}/thumbnails/{identity}", f"/shared/{token}/images/{identity}"):
            problem(client.get(path), "no-picture")
            problem(client.get(path, headers={"If-None-Match": f'"{identity}"'}), "no-picture")
            problem(client.get(path, headers={"If-None-Match": f'"{identity}-256-1"'}), "no-picture")
    identity = next(iter(others))
    for path in (*EVERYWHERE, f"/images/{identity}", f"/thumbnails/{identity}", f"/images/{identity}/details"):
        for headers in ({}, bearer(str(token)), {"Cookie": f"araclip_session={token}"}):
            assert client.get(path, headers=headers).status_code == 401, path
    problem(client.post("/session", json={"token": str(token)[:900]}), "unauthorized")
    problem(client.post("/shares", json={"search": TRIP}, headers=bearer(str(token))), "unauthorized")
    for path in (f"/shared/{token}/../../images/{identity}", f"/shared/{token}/images/{identity}/details"):
        assert client.get(path).status_code in (401, 404)
    params = {"q": "أحمر", "where": TRIP["where"], "threshold": 0, "offset": 0}
    assert set(client.get(f"/shared/{token}/pictures", params=params).text.split('"')) & others == set()


def test_nobody_else_can_make_or_change_a_link(client: TestClient) -> None:
    token = str(shared(client, BLUE)["token"])
    text, signature = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(text + "==="))
    assert body["search"] == BLUE
    other = str(shared(client, TRIP)["token"]).split(".")[1]

    def packed(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, ensure_ascii=False).encode()).decode().rstrip("=")

    wider = [
        f"{packed({**body, 'search': TRIP})}.{signature}",
        f"{packed({**body, 'until': body['until'] + 1})}.{signature}",
        f"{packed(body)}.{other}",
        f"{text}.{other}", f"{text}.", text, f"{text}.{signature}.{signature}", f"{text}=.{signature}",
        f"{text}.{signature}=", f".{signature}", ".", "..", f"{text}.{signature[:-1]}", "x" * 6_000,
        ShareLinks({"read": "x" * 32}).make(TRIP, 1000)[0],
        ShareLinks({"read": READ}).make(TRIP, 1000)[0],  # a server with fewer tokens is another server
    ]  # fmt: skip
    for forged in wider:
        problem(client.get(f"/shared/{forged}/pictures"), "no-share") if forged not in (".", "..") else None
        with pytest.raises(Problem):
            ShareLinks(TOKENS).read(forged)
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, len(token), 7)]
    for forged in changed:
        with pytest.raises(Problem):
            ShareLinks(TOKENS).read(forged)


def test_a_link_survives_a_restart_and_ends_with_its_time_or_a_changed_token(gallery: Path, tiny_model: Path) -> None:
    clock = itertools.count(1_000_000, 50)
    links = ShareLinks(TOKENS, now=lambda: next(clock))
    token, expires = links.make(BLUE, 60)
    assert expires == 1_000_060
    assert ShareLinks(TOKENS, now=lambda: 1_000_059).read(token) == (BLUE, expires)
    for later in (1_000_060, 2_000_000):
        with pytest.raises(Problem) as ended:
            ShareLinks(TOKENS, now=lambda later=later: later).read(token)  # type: ignore[misc]
        assert ended.value.kind == "no-share"
    changed = ({**TOKENS, "read": READ + "1"}, {**TOKENS, "write": WRITE + "1"}, {"read": WRITE, "write": READ}, {})
    for tokens in changed:
        with pytest.raises(Problem):
            ShareLinks(tokens, now=lambda: 1_000_001).read(token)


def test_what_a_link_may_show_is_bounded(client: TestClient) -> None:
    refused = (
        ({"q": "", "where": []}, "bad-query"),  # everything
        ({"where": ["hidden=no"]}, "bad-query"),
        ({"where": ["scenes=all"], "collapse": "near"}, "bad-query"),
        ({"where": ["hidden=yes"]}, "bad-query"),
        ({"where": ["hidden=any"]}, "bad-query"),
        ({"where": ["captured=1970"]}, "bad-query"),  # nothing
        ({"where": ["folder=بيت"], "like": []}, "invalid"),
        ({"q": "أ" * 1001}, "bad-query"),
    )
    for search, kind in refused:
        problem(client.post("/shares", json={"search": search}, headers=bearer(READ)), kind)
    problem(client.post("/shares", json={"search": BLUE, "days": 400}, headers=bearer(READ)), "invalid")
    problem(client.post("/shares", json={"search": BLUE}), "unauthorized")


def test_a_hidden_picture_leaves_a_link(client: TestClient) -> None:
    token = shared(client, TRIP)["token"]
    hidden = shown(client, token)[0]
    body = {"ids": [hidden]}
    assert client.post("/hidden", json=body, headers=bearer(WRITE)).json() == {"changed": 1}
    try:
        client.app.state.service.gallery.refresh()  # type: ignore[attr-defined]
        assert hidden not in shown(client, token)
        problem(client.get(f"/shared/{token}/images/{hidden}"), "no-picture")
    finally:
        client.post("/hidden", json={**body, "hidden": False}, headers=bearer(WRITE))


def test_without_tokens_there_are_no_links(gallery: Path, tiny_model: Path) -> None:
    with serving(settings_for(gallery, tiny_model)) as client:
        problem(client.post("/shares", json={"search": BLUE}), "no-tokens")
        token, _ = ShareLinks(TOKENS).make(BLUE, 1000)
        problem(client.get(f"/shared/{token}/pictures"), "no-share")
        token, _ = ShareLinks({}).make(BLUE, 1000) if ShareLinks({}).on else ("a.b", 0)
        problem(client.get(f"/shared/{token}/pictures"), "no-share")
