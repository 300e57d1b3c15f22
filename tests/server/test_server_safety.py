"""Authorization, host and origin checks, limits."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from araclip.errors import InputError
from araclip.server.http.errors import language_of
from araclip.server.http.limits import HEADERS
from araclip.server.http.tokens import Keys
from araclip.server.settings import Settings
from serving import READ, WRITE, bearer, encoded, make_gallery, photo_album, problem, serving, settings_for

NOWHERE = "0" * 32
PROTECTED = (
    ("GET", "/search?q=x"),
    ("POST", "/search"),
    ("POST", "/search/image"),
    ("GET", f"/images/{NOWHERE}"),
    ("GET", f"/images/{NOWHERE}/details"),
    ("GET", f"/images/{NOWHERE}/explain?q=x"),
    ("GET", f"/images/{NOWHERE}/near"),
    ("GET", "/suggestions?q=x"),
    ("GET", f"/thumbnails/{NOWHERE}"),
    ("POST", "/thumbnails"),
    ("POST", "/images"),
    ("DELETE", f"/images/{NOWHERE}"),
    ("GET", "/timeline"),
    ("GET", "/pictures"),
    ("GET", "/folders"),
    ("GET", "/places"),
    ("POST", "/archives"),
    ("GET", "/archives/x"),
    ("POST", "/paths"),
    ("POST", "/hidden"),
    ("GET", "/stats"),
    ("GET", "/index"),
    ("POST", "/index"),
    ("GET", "/events"),
    ("GET", "/metrics"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/tiny"),
    ("POST", "/predict"),
)


@pytest.fixture(scope="module")
def open_server(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(gallery, tiny_model, uploads=True, max_body=100_000, max_upload=50_000)) as client:
        yield client


@pytest.fixture(scope="module")
def closed_server(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    settings = settings_for(gallery, tiny_model, uploads=True, token_read=READ, token_write=WRITE, events_seconds=0.1)
    with serving(settings) as client:
        yield client


# ------------------------------------------------------------------ tokens


def test_every_address_but_health_page_and_session_wants_a_token(closed_server: TestClient) -> None:
    paths = closed_server.get("/openapi.json").json()["paths"]
    known = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    free = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/ping"), ("POST", "/session")}
    assert len(known - free) == len(PROTECTED)  # whoever adds an address decides
    for method, address in PROTECTED:
        answer = closed_server.request(method, address)
        problem(answer, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz"):
        assert closed_server.get(path).status_code == closed_server.head(path).status_code == 200


def test_a_reader_reads_and_a_writer_does_both(closed_server: TestClient) -> None:
    sent = {"file": ("a.png", encoded(Image.new("RGB", (9, 9), (5, 5, 5))))}
    assert closed_server.get("/search?q=x", headers=bearer(READ)).status_code == 200
    assert closed_server.get("/search?q=x", headers=bearer(WRITE)).status_code == 200
    problem(closed_server.post("/images", files=sent, headers=bearer(READ)), "forbidden")
    problem(closed_server.delete(f"/images/{NOWHERE}", headers=bearer(READ)), "forbidden")
    assert closed_server.post("/images", files=sent, headers=bearer(WRITE)).status_code == 201
    assert closed_server.get("/stats", headers=bearer(READ)).json()["writable"] is False
    assert closed_server.get("/stats", headers=bearer(WRITE)).json()["writable"] is True


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Bearer {READ[:-1]}", f"Bearer {READ}x", f"Basic {READ}", READ, "Bearer é"]
)
def test_a_wrong_token_is_no_token(closed_server: TestClient, header: str) -> None:
    problem(closed_server.get("/search?q=x", headers={"Authorization": header.encode("latin-1")}), "unauthorized")


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from araclip.server.http import tokens as auth

    compared: list[tuple[int, int]] = []
    real = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    keys = Keys({"read": READ, "write": WRITE}, session_seconds=60)
    for guess in ("", "x", READ, WRITE, READ * 100):
        keys.scopes_of_token(guess)
    assert compared == [(32, 32)] * 10  # digests of one length, each known one, whatever was guessed


def test_session_lets_browser_fetch_pictures_and_change_nothing(closed_server: TestClient) -> None:
    problem(closed_server.post("/session", json={"token": "wrong" * 9}), "unauthorized")
    answer = closed_server.post("/session", json={"token": WRITE})
    assert answer.json()["scopes"] == ["read", "write"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert WRITE not in cookie
    try:
        assert closed_server.get("/search?q=x").status_code == 200  # the client keeps the cookie
        assert closed_server.get("/events").status_code == 200
        problem(closed_server.delete(f"/images/{NOWHERE}"), "unauthorized")
        problem(closed_server.post("/search", json={"q": "x"}), "unauthorized")
    finally:
        closed_server.cookies.clear()


def test_a_cookie_ends_with_its_time_and_cannot_be_made_up() -> None:
    now = [1000.0]
    keys = Keys({"read": READ}, session_seconds=60, now=lambda: now[0])
    cookie = keys.cookie()
    assert keys.scopes_of_cookie(cookie) == {"read"}
    later = f"{int(cookie.split('.')[0]) + 1000}.{cookie.split('.')[1]}"
    for made_up in ("", ".", later, "9999999999.", "x.y", Keys({"read": READ}, session_seconds=60).cookie()):
        assert keys.scopes_of_cookie(made_up) == frozenset()
    now[0] += 61
    assert keys.scopes_of_cookie(cookie) == frozenset()


def test_a_browser_stays_signed_in_to_two_servers_of_one_host(gallery: Path, tiny_model: Path, tmp_path: Path) -> None:
    settings = settings_for(gallery, tiny_model, token_read=READ, cache=tmp_path)
    with serving(settings) as first, serving(settings) as second:
        assert first.post("/session", json={"token": READ}).status_code == 200
        second.cookies = first.cookies  # a browser's cookies do not depend on the port
        assert second.post("/session", json={"token": READ}).status_code == 200
        first.cookies = second.cookies
        assert (first.get("/stats").status_code, second.get("/stats").status_code) == (200, 200)


# ------------------------------------------------------------------ what a server refuses to be


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_public_address_needs_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match=r"reachable from other machines.*ARACLIP_TOKEN_READ"):
        Settings.read(gallery=tmp_path, host=host)
    assert Settings.read(gallery=tmp_path, host=host, token_read=READ).tokens == {"read": READ}


def test_tokens_come_from_environment_or_file_and_must_be_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(f"{WRITE}\n")
    monkeypatch.setenv("ARACLIP_TOKEN_READ", READ)
    monkeypatch.setenv("ARACLIP_TOKEN_WRITE_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("ARACLIP_PORT", "8123")
    monkeypatch.setenv("ARACLIP_INDEX", "/a:/b")
    monkeypatch.setenv("ARACLIP_ALLOWED_HOSTS", "araclip.example, Other.example")
    settings = Settings.read(gallery=tmp_path, port=9000)
    assert settings.tokens == {"read": READ, "write": WRITE}
    assert settings.port == 9000  # an option goes before the environment
    assert settings.index == (Path("/a"), Path("/b"))
    assert {"araclip.example", "other.example", "localhost"} <= settings.hosts
    assert READ not in repr(settings)
    monkeypatch.setenv("ARACLIP_TOKEN_READ", "short")
    with pytest.raises(InputError, match=r"16 or more.*openssl"):
        _ = Settings.read(gallery=tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": 70000}, "port"),
        ({"watch": True}, "--index"),
        ({"token_read": READ, "uploads": True}, "ARACLIP_TOKEN_WRITE"),
        ({"token_read_file": Path("/nowhere/token")}, "cannot be read"),
        ({"token_read": "كلمة-مرور-طويلة-بما-يكفي"}, r"outside ASCII.*openssl"),  # a browser cannot send it
        ({"token_write": f"{WRITE} "}, "spaces"),
    ],
)
def test_invalid_settings_say_what_to_do(tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings.read(gallery=tmp_path, **given)


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
    words = " ".join(page.split("## Settings\n", 1)[1].split("\n## ", 1)[0].split())
    for name, field in Settings.model_fields.items():
        limit = isinstance(field.default, int | float) and not isinstance(field.default, bool) and name != "port"
        assert f"`{name.upper()}`" + (f" ({field.default:,})" if limit else "") in words, name


# ------------------------------------------------------------------ where a request comes from


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_a_request_for_another_host_name_is_refused(open_server: TestClient, host: str) -> None:
    problem(open_server.get("/search?q=x", headers={"Host": host}), "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_own_names_are_answered_with_any_port(open_server: TestClient, host: str) -> None:
    assert open_server.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "none", "Origin": "null"},
    ],
)
def test_another_sites_page_can_change_and_read_nothing(open_server: TestClient, headers: dict[str, str]) -> None:
    sent = {"file": ("a.png", encoded(Image.new("RGB", (9, 9))))}
    problem(open_server.post("/images", files=sent, headers=headers), "foreign-origin")
    problem(open_server.post("/search", json={"q": "x"}, headers=headers), "foreign-origin")
    answer = open_server.get("/search?q=x", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = open_server.options("/search", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


def test_the_servers_own_page_may_change_things(open_server: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    form = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}  # of a page that sends no referrer
    assert open_server.post("/share", headers=form, follow_redirects=False).headers["location"] == "./?shared"
    assert open_server.post("/search", json={"q": "x"}, headers=own).status_code == 200


@pytest.mark.parametrize("address", ["/", "/search?q=x", "/nothing", "/search", "/openapi.json", "/healthz"])
def test_every_answer_carries_the_safe_headers(open_server: TestClient, address: str) -> None:
    headers = open_server.get(address).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy  # nothing from elsewhere
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


@pytest.mark.parametrize("name", ["app.js", "style.css"])
def test_scripts_and_styles_carry_what_is_not_for_pages_alone(open_server: TestClient, name: str) -> None:
    headers = open_server.get(f"/assets/{name}").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "content-security-policy" not in headers  # half of what some of these files would take


def test_browsers_keep_what_a_page_names_until_it_changes(open_server: TestClient) -> None:
    named = re.findall(r'="(assets/[^"#]+)"', open_server.get("/").text)
    (version,) = {address.split("/")[1] for address in named}
    assert len(named) > 3
    for address in named:
        kept = open_server.get(f"/{address}")
        assert "immutable" in kept.headers["cache-control"]
        for other in (address.replace(version, "0123456789ab"), address.replace(f"{version}/", "")):
            asked = open_server.get(f"/{other}")
            assert asked.content == kept.content
            assert asked.headers["cache-control"] == "no-cache"
            again = open_server.get(f"/{other}", headers={"If-None-Match": asked.headers["etag"]})
            assert again.status_code == 304
    assert open_server.get("/").headers["cache-control"] == "no-cache"


def test_the_page_about_the_api_loads_nothing_from_elsewhere(open_server: TestClient) -> None:
    for address in ("/docs", "/redoc"):
        problem(open_server.get(address), "not-found")


# ------------------------------------------------------------------ how much


def test_body_over_cap_is_refused_by_its_length_and_by_its_bytes(open_server: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    by_length = open_server.post("/search", content=b" " * 200_000, headers={"Content-Type": "application/json"})
    by_bytes = open_server.post("/search", content=chunks(), headers={"Content-Type": "application/json"})
    form = open_server.post("/search/image", files={"file": ("a", b" " * 200_000)})
    for answer in (by_length, by_bytes, form):
        assert problem(answer, "too-large")["status"] == 413
    assert by_length.headers["connection"] == "close"


def test_upload_over_its_own_cap_is_refused_inside_body_cap(open_server: TestClient) -> None:
    data = b" " * 60_000
    problem(open_server.post("/images", files={"file": ("a", data)}), "too-large")
    problem(open_server.post("/search/image", files={"file": ("a", data)}), "too-large")
    import base64

    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    problem(open_server.post("/search", json={"pictures": [{"data": uri}]}), "too-large")


def test_more_searches_than_allowed_are_turned_away(
    gallery: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings_for(gallery, tiny_model, max_searches=2)) as client:
        service = client.app.state.service
        busy, go_on = threading.Semaphore(0), threading.Event()
        snapshot = service.gallery.snapshot
        real = snapshot.search

        def slow(*args: object, **options: object) -> object:
            busy.release()
            go_on.wait(60)
            return real(*args, **options)

        monkeypatch.setattr(snapshot, "search", slow)
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.get("/search?q=x").status_code)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert busy.acquire(timeout=60)
        refused = client.get("/search?q=x")
        assert client.get("/healthz").status_code == 200  # the loop is free
        go_on.set()
        for thread in threads:
            thread.join(60)
        problem(refused, "busy")
        assert int(refused.headers["retry-after"]) > 0
        assert answers == [200, 200]
        monkeypatch.undo()
        assert client.get("/search?q=x").status_code == 200


def test_too_many_pictures_at_once_are_turned_away(gallery: Path, tiny_model: Path) -> None:
    with serving(settings_for(gallery, tiny_model, max_pictures=1)) as client:
        slots, other = client.app.state.service.sandbox._slots, "another client"
        sent = {"file": ("a.png", encoded(Image.new("RGB", (9, 9))))}
        client.portal.call(slots.acquire, other)
        problem(client.post("/search/image", files=sent), "busy")
        client.portal.call(slots.release, other)
        assert client.post("/search/image", files=sent).status_code == 200


def test_a_gallery_that_is_away_is_no_server_that_is_ready(tmp_path: Path, tiny_model: Path) -> None:
    gallery = make_gallery(tmp_path / "g", photo_album(tmp_path / "album"), tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        (tmp_path / "g").rename(tmp_path / "away")
        problem(client.get("/search?q=x"), "gallery")
        problem(client.get("/readyz"), "gallery")
        assert client.get("/healthz").status_code == 200
        (tmp_path / "away").rename(tmp_path / "g")
        assert client.get("/readyz").status_code == client.get("/search?q=x").status_code == 200


def test_an_internal_error_reveals_nothing(
    open_server: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the server")

    monkeypatch.setattr(open_server.app.state.service.gallery.snapshot, "search", broken)
    answer = open_server.get("/search?q=x", headers={"Accept-Language": "ar"})
    problem(answer, "internal")
    assert "secret" not in answer.text
    assert HEADERS.items() <= answer.headers.items()
    assert [record.exc_info for record in caplog.records if record.name == "araclip.server"]  # the log has it


def test_a_disk_that_fails_is_a_problem_that_names_no_path(
    open_server: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/home/me/secret")

    monkeypatch.setattr(open_server.app.state.service.gallery.snapshot, "search", full)
    answer = open_server.get("/search?q=x")
    problem(answer, "gallery")
    assert "/home" not in answer.text


# ------------------------------------------------------------------ languages


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("ar-EG,en;q=0.8", "ar"),
        ("en,ar", "en"),
        ("fr,ar;q=0.3", "ar"),
        ("en;q=0.2,ar;q=0.9", "ar"),
        ("de", "en"),
        ("ar;q=x", "en"),
        (",;=,", "en"),
    ],
)
def test_the_language_is_the_one_the_client_likes_better(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


@pytest.mark.parametrize(
    ("method", "address", "kind"),
    [("GET", "/nothing", "not-found"), ("PUT", "/search", "method"), ("POST", "/search", "invalid")],
)
def test_every_error_is_problem_details_in_the_clients_language(
    open_server: TestClient, method: str, address: str, kind: str
) -> None:
    answer = open_server.request(method, address, headers={"Accept-Language": "ar"})
    found = problem(answer, kind)
    assert answer.headers["content-language"] == "ar"
    assert "Accept-Language" in answer.headers["vary"]
    assert any("\u0600" < letter < "\u06ff" for letter in found["title"])


def test_nothing_that_people_search_for_is_logged_or_counted(
    open_server: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    open_server.get("/search", params={"q": "سرّي جدا"})
    open_server.get("/search", params={"q": "سرّي «جدا"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "asyncio"))]
    assert not any("سر" in line for line in ours)
    metrics = open_server.get("/metrics").text
    assert "سر" not in metrics
    assert 'route="/search"' in metrics
    assert NOWHERE not in metrics
