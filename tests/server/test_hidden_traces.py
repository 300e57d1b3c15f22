"""No answer of any route or command tells anything that only hidden pictures have.

Routes come from the OpenAPI document and commands from the command table, so what is added later is tried as well.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import ExifTags, Image
from starlette.testclient import TestClient

import pictures
from araclip import AraCLIP, Gallery
from araclip.cli import app
from araclip.server.indexing.supervisor import Indexing
from command_line import Run, caller
from serving import encoded, serving, settings_for

# What only the hidden pictures have: in a name, folder, caption, metadata, camera, lens, place, date. Their format is
# looked for in statistics alone, because lists of all formats name it.
SECRET = (
    "qarnabit", "qamarzad", "قطيفة", "زنجبيل", "sirrimeta", "Kamirasirr", "Adasasirr", "Reykjav", "ريكيافيك",
    "1987-03", "1987:03", "Iceland",
)  # fmt: skip
# What may lead there: the beginning of such a word, the word with a mistake, a filter that almost fits.
PROBES = (
    "qarn", "qarnabti", "qama", "قطيف", "القطيقة", "زنجب", "زنجبيييل", "sirri", "sirrimeat", "بحر", "رحلة", "Reyk",
    "ريكيا", "صور 1986", "أحدث الصور", "", "camera=Kamira", "lens=Adasa", "place=Reyk", "folder=qamarza",
    "format=WEB", "captured=1986..1988", "name=qarn", "hidden=no",
)  # fmt: skip
# Not asked: they run until they are stopped, or are about other things than a gallery.
NO_GALLERY = {"serve", "watch", "demo", "restore"}


def hidden_picture(path: Path, colour: tuple[int, int, int]) -> Path:
    exif, gps = Image.Exif(), ExifTags.GPS
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Kamirasirr", "Kamirasirr 9"
    about = exif.get_ifd(ExifTags.IFD.Exif)
    about[ExifTags.Base.DateTimeOriginal], about[ExifTags.Base.LensModel] = "1987:03:04 05:06:07", "Adasasirr 50mm"
    block = exif.get_ifd(ExifTags.IFD.GPSInfo)
    block[gps.GPSLatitudeRef], block[gps.GPSLatitude] = "N", (64.0, 8.0, 0.0)
    block[gps.GPSLongitudeRef], block[gps.GPSLongitude] = "W", (21.0, 56.0, 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), colour).save(path, "webp", exif=exif)
    path.with_suffix(".txt").write_text("قطيفة زنجبيل", "utf-8")
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    root = tmp_path / "صور"
    pictures.trips(root)
    pictures.solid(root / "رحلة" / "red.png").with_suffix(".txt").write_text("بحر ورمل", "utf-8")
    shutil.copy(root / "رحلة" / "red.png", root / "copy.png")
    for number in range(3):
        hidden_picture(root / "qamarzad" / f"qarnabit {number}.webp", (9, 200, 40 * number))
    shutil.copy(root / "qamarzad" / "qarnabit 0.webp", root / "qamarzad" / "qarnabit again.webp")
    return root


@pytest.fixture
def place(album: Path, tmp_path: Path, model: AraCLIP) -> Path:
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        gallery.update([album])
        gallery.add([album / "qamarzad" / "qarnabit 1.webp"], metadata={"about": "sirrimeta"})
        gallery.hide([album / "qamarzad"])
        assert len(gallery.hidden()) == 4
    return tmp_path / "gallery"


def secrets_in(text: str, ids: set[str]) -> list[str]:
    return [word for word in (*SECRET, *ids) if word.casefold() in text.casefold()]


# ------------------------------------------------------------------ routes


def values_for(name: str, schema: dict[str, Any], about: dict[str, Any], shown: str) -> list[Any]:
    """Values to try for a parameter: for texts all probes, for what names a picture a shown one."""
    if "$ref" in schema:
        schema = about["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    options = [each for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if each.get("type") != "null"]
    if options:
        return values_for(name, options[0], about, shown)
    if "enum" in schema:
        return list(schema["enum"])
    match schema.get("type"):
        case "array":
            return [[value] for value in values_for(name, schema["items"], about, shown)]
        case "integer" | "number":
            return [max(schema.get("minimum", 0), min(schema.get("maximum", 10), 10))]
        case "boolean":
            return [True]
        case "object":
            return [one_object(schema, about, shown)]
        case _:
            return [shown] if name in ("identity", "id", "ids") else list(PROBES)


def one_object(schema: dict[str, Any], about: dict[str, Any], shown: str) -> dict[str, Any]:
    return {
        name: values_for(name, part, about, shown)[0]
        for name, part in schema.get("properties", {}).items()
        if name in schema.get("required", ())
    }


def requests_of(path: str, operation: dict[str, Any], about: dict[str, Any], shown: str) -> Iterator[dict[str, Any]]:
    """Requests of one route: its required parameters, and each parameter with each of its values in turn."""
    parameters = operation.get("parameters", [])
    tried = {each["name"]: values_for(each["name"], each["schema"], about, shown) for each in parameters}
    needed = {each["name"] for each in parameters if each.get("required")}
    body = operation.get("requestBody", {}).get("content", {})
    bodies: list[dict[str, Any]] = [{}]
    if "application/json" in body:
        schema = body["application/json"]["schema"]
        schema = about["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        least = one_object(schema, about, shown)
        bodies = [
            {"json": least | {name: value}}
            for name, part in schema["properties"].items()
            for value in values_for(name, part, about, shown)
        ]
    elif body:
        picture = ("a.png", encoded(Image.new("RGB", (40, 40), (250, 1, 1))), "image/png")
        bodies = [{"files": [(name, picture)]} for name in ("file", "files", "image", "picture")]
    for name, value in [(name, value) for name, values in tried.items() for value in values] or [("", "")]:
        given = {each: tried[each][0] for each in needed} | ({name: value} if name else {})
        at = {each["name"] for each in parameters if each["in"] == "path"}
        url = path
        for each in at:
            url = url.replace("{" + each + "}", str(given[each]))
        for sent in bodies:
            yield {"url": url, "params": {key: value for key, value in given.items() if key not in at}, **sent}


def test_no_route_tells_of_hidden_pictures(
    place: Path, album: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Indexing, "running", True)  # while folders are indexed, the newest pictures are named
    settings = settings_for(place, tiny_model, uploads=True, index=[album], events_seconds=0.05)
    with serving(settings) as client:
        stats = client.get("/stats").json()
        asked, answered = ask_everything(client)
    assert {"GET /search", "GET /suggestions", "GET /index", "GET /stats", "GET /places", "GET /folders"} <= answered
    assert asked >= 30
    assert stats["pictures"] == 8 and "WEBP" not in stats["formats"]


def ask_everything(client: TestClient) -> tuple[int, set[str]]:
    """Send every request of every route; return the number of routes, and those that answered well."""
    about = client.get("/openapi.json").json()
    shown = client.get("/search", params={"q": "أحمر", "k": 1}).json()["results"][0]["id"]
    found = client.get("/search", params={"q": "أحمر", "k": 50, "where": "hidden=yes"}).json()["results"]
    ids = {each["id"] for each in found}
    assert len(ids) == 3
    order = ("get", "post", "put", "patch", "delete")  # what changes the gallery comes last
    routes = [(method, path) for method in order for path, each in about["paths"].items() if method in each]
    answered = set()
    for method, path in routes:
        for sent in requests_of(path, about["paths"][path][method], about, shown):
            answer = client.request(method, **sent)
            if answer.status_code < 300:
                answered.add(f"{method.upper()} {path}")
            told = answer.text + json.dumps(dict(answer.headers))
            said = json.dumps(sent, default=str, ensure_ascii=False)
            assert [word for word in secrets_in(told, ids) if word not in said] == [], f"{method} {said}: {told[:2000]}"
    return len(routes), answered


# ------------------------------------------------------------------ commands


def calls_of(name: str, command: Any, place: Path, album: Path, out: Path) -> Iterator[list[str]]:
    """Calls of one command: its arguments with each probe, or with what its kind of argument asks for."""
    options = [flag for each in command.params for flag in each.opts]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    values: dict[str, list[str]] = {
        "folder": [str(out if name in ("backup", "export-gallery") else album)], "query": list(filter(None, PROBES)),
        "picture": [str(album / "copy.png")], "paths": [str(album / "رحلة")], "pictures": [str(album / "copy.png")],
    }  # fmt: skip
    given = [values.get(each.name, [str(album / "copy.png")]) for each in arguments]
    for variant in range(max(map(len, given), default=1)):
        words = [each[variant % len(each)] for each in given]
        always = ["--gallery", str(place), *(["--labels", "everyday"] if name == "tag" else [])]
        yield [name, *words, *always]
        if "--json" in options:
            yield [name, *words, *always, "--json"]


def test_no_command_tells_of_hidden_pictures(
    place: Path, album: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    run: Run = caller(monkeypatch, capsys)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    answered = set()
    for name, command in commands.items():
        if name in NO_GALLERY or not any("--gallery" in each.opts for each in command.params):
            continue
        for words in calls_of(name, command, place, album, tmp_path / name):
            if name == "tag":
                words += ["--model", str(tiny_model)]
            ran = run(*words)
            if ran.code == 0:
                answered.add(name)
            said = " ".join(words)
            told = [word for word in secrets_in(ran.out + ran.err, set()) if word not in said]
            assert told == [], f"{said}: {ran.out} {ran.err}"
    assert {"search", "similar", "stats", "verify", "duplicates", "index", "explain"} <= answered
    shown = json.loads(run("stats", "--gallery", place, "--json").out)
    assert shown["captured_at"][0].startswith("2020") and "WEBP" not in shown["formats"]
