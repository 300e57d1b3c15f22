"""Search over HTTP: by text, by pictures of the gallery, by pictures that are sent, in pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

import pictures
from postgres_server import needs_server
from serving import data_uri, encoded, make_gallery, photo_album, place_of, problem, serving, settings_for


@pytest.fixture(scope="module", params=["folder", pytest.param("postgres", marks=needs_server)])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Iterator[TestClient]:
    """One gallery in a folder, one in PostgreSQL: whoever asks the server cannot tell which."""
    folder = tmp_path_factory.mktemp("search")
    with place_of(request.param, folder) as place:
        make_gallery(place, photo_album(folder / "album"), tiny_model)
        with serving(settings_for(place, tiny_model)) as client:
            yield client


def names(client: TestClient, **asked: object) -> list[str]:
    answer = client.get("/search", params={"k": 4, **asked})
    assert answer.status_code == 200, answer.text
    return [result["name"] for result in answer.json()["results"]]


def id_of(client: TestClient, name: str) -> str:
    found = client.get("/search", params={"q": "صورة", "k": 50}).json()["results"]
    return next(result["id"] for result in found if result["name"] == name)


def test_an_arabic_word_finds_the_pictures_that_show_it(client: TestClient) -> None:
    assert set(names(client, q="أحمر")) == {"copy of red.png", "أحمر 1.png", "أحمر 2.png", "أحمر 3.png"}
    assert all(name.startswith("blue") for name in names(client, q="أزرق"))


def test_a_result_says_nothing_of_where_the_file_lies(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "أحمر", "k": 4}).json()
    result = next(found for found in answer["results"] if found["copies"])
    assert set(result) == {
        "id", "score", "relevance", "weak", "name", "folder", "width", "height", "placeholder", "copies",
        "matched", "near", "time",
    }  # fmt: skip
    assert len(result["id"]) == 32
    assert (result["width"], result["height"]) == (64, 48)
    assert (result["name"], result["folder"]) == ("copy of red.png", "بيت")
    assert result["copies"] == 1  # the same bytes lie in the other folder
    assert result["time"] is None  # it is no scene of a video
    assert answer["more"] is True
    assert "/" not in result["name"]


def test_pages_fit_together_and_the_last_one_says_that_it_is(client: TestClient) -> None:
    whole = names(client, q="أخضر", k=50)
    assert len(whole) == 13
    paged = [name for offset in range(0, 13, 5) for name in names(client, q="أخضر", k=5, offset=offset)]
    assert paged == whole
    assert client.get("/search", params={"q": "أخضر", "k": 5, "offset": 10}).json()["more"] is False


def test_signs_and_weights_of_the_query_language_count(client: TestClient) -> None:
    assert names(client, q="أحمر + 3:أزرق", k=1)[0].startswith("blue")
    assert not any(name.startswith("أحمر") for name in names(client, q="أخضر - أحمر"))


def test_an_exclusion_alone_is_not_answered_by_nothing_found(client: TestClient) -> None:
    for query in ("بدون أحمر", "- أحمر"):
        answer = client.get("/search", params={"q": query, "k": 50}).json()
        shown = [result["name"] for result in answer["results"]]
        assert 0 < len(shown) < 13
        assert not any(name.startswith("أحمر") for name in shown)
        assert not answer["nothing_found"]


def test_a_picture_of_the_gallery_finds_what_looks_like_it(client: TestClient) -> None:
    green = id_of(client, "green0.png")
    answer = client.post("/search", json={"like": [{"id": green}], "k": 3}).json()
    assert {result["name"] for result in answer["results"]} == {"green1.png", "green2.png", "green3.png"}  # not itself
    assert answer["results"][0]["relevance"] is None  # what likeness is worth was not measured
    assert names(client, q=f"picture:{green} + 0.01:أخضر", k=1) == ["green0.png"]


def test_picture_and_text_count_together_and_minus_takes_away(client: TestClient) -> None:
    green = id_of(client, "green0.png")
    mixed = client.post("/search", json={"like": [{"id": green, "weight": 0.1}], "q": "أزرق", "k": 1}).json()
    assert mixed["results"][0]["name"].startswith("blue")
    less = client.post("/search", json={"like": [{"id": green}], "q": "- أخضر", "k": 50}).json()
    assert less["query"] == "- أخضر"
    without = client.post("/search", json={"q": "أحمر", "like": [{"id": green, "weight": -1}], "k": 4}).json()
    assert not any(result["name"].startswith("green") for result in without["results"])


def test_a_picture_that_is_sent_finds_what_looks_like_it(client: TestClient) -> None:
    blue = encoded(Image.new("RGB", (300, 200), pictures.BLUE), "JPEG")
    by_json = client.post("/search", json={"pictures": [{"data": data_uri(blue)}], "k": 4})
    by_form = client.post("/search/image", files={"file": ("أزرق.jpg", blue)}, data={"k": "4"})
    for answer in (by_json, by_form):
        assert answer.status_code == 200, answer.text
        assert all(result["name"].startswith("blue") for result in answer.json()["results"])


def test_a_picture_that_is_sent_with_words_is_searched_with_them(client: TestClient) -> None:
    red = encoded(Image.new("RGB", (60, 60), pictures.RED))
    answer = client.post("/search/image", files={"file": ("x", red)}, data={"k": "1", "q": "+ 9:أخضر"})
    assert answer.json()["results"][0]["name"].startswith("green")


def test_filters_choose_by_format_and_by_a_folders_own_name(client: TestClient) -> None:
    assert names(client, q="أحمر", where="format=JPEG", k=50) == ["turned.jpg"]
    trip = names(client, q="أحمر", where=["folder=رحلة", "format=PNG"], k=50)
    assert len(trip) == 8
    unknown = client.get("/search", params={"q": "أحمر", "where": "folder=/etc"}, headers={"Accept-Language": "ar"})
    assert "الموجود: album" in problem(unknown, "bad-query")["detail"]
    problem(client.get("/search", params={"q": "x", "where": "nonsense=1"}), "bad-query")


def test_an_answer_counts_the_pictures_that_pass_its_filters(client: TestClient) -> None:
    def passing(**asked: object) -> int:
        return int(client.get("/search", params={"k": 2, **asked}).json()["passing"])

    everything = client.get("/stats").json()["pictures"]
    assert passing(q="أحمر") == passing(q="أحمر", collapse="near") == everything
    assert passing(q="أحمر", where="format=JPEG") == 1
    assert passing(q="أحمر في مجلد رحلة", where="format=PNG") == 8


def test_the_description_has_the_limits_of_the_settings(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    models, paths = schema["components"]["schemas"], schema["paths"]
    parameters = {each["name"]: each["schema"] for each in paths["/search"]["get"]["parameters"]}
    q, k = parameters["q"], parameters["k"]
    assert (q["minLength"], q["maxLength"], k["minimum"], k["maximum"]) == (1, 1000, 1, 200)
    for name in ("SearchRequest", "PictureSearch"):
        assert models[name]["properties"]["k"]["maximum"] == 200
        assert "minLength" not in models[name]["properties"]["q"]
    for path in ("/pictures", "/folders", "/suggestions", "/images/{identity}/near"):  # what is said is what is taken
        for about in (each["schema"] for each in paths[path]["get"]["parameters"] if each["name"] == "k"):
            values = {"q": "x"} if path == "/suggestions" else {}
            address = path.format(identity=client.get("/pictures?k=1").json()["results"][0]["id"])
            assert client.get(address, params={**values, "k": about["maximum"]}).status_code == 200, path
            assert client.get(address, params={**values, "k": about["maximum"] + 1}).status_code == 422, path
    width = client.get("/stats").json()["width"]
    assert models["EmbeddingsRequest"]["properties"]["dimensions"]["anyOf"][0]["enum"] == [width]
    assert {"400", "408", "413", "415"} <= paths["/session"]["post"]["responses"].keys()
    assert {"421", "431", "500"} <= paths["/healthz"]["get"]["responses"].keys()


def test_nothing_found_is_said_when_all_results_are_left_out(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "أحمر", "where": "captured=1999"}).json()
    assert (answer["results"], answer["nothing_found"], answer["more"]) == ([], True, False)


def test_the_generation_of_an_answer_is_that_of_the_gallery(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "أحمر"}).json()
    assert answer["generation"] == client.get("/stats").json()["generation"]


def test_stats_tell_what_the_page_needs(client: TestClient) -> None:
    stats = client.get("/stats").json()
    assert (stats["pictures"], stats["files"], stats["width"]) == (13, 14, 8)
    assert stats["formats"] == {"PNG": 12, "JPEG": 1}
    assert set(stats["folders"]) == {"رحلة", "بيت", "album"}
    assert (stats["uploads"], stats["writable"]) == (False, False)
    assert 0 < len(stats["examples"]) <= 8
    for example in stats["examples"]:  # what the page offers is also suggested while it is typed
        typed = client.get("/suggestions", params={"q": example[:-1], "k": 20}).json()["suggestions"]
        assert example in [each["text"] for each in typed]


@pytest.mark.parametrize("where", ["size=99999999999999999999", "size=..1e300", "folder=~nobody"])
def test_a_filter_beyond_any_number_is_no_error_of_the_server(client: TestClient, where: str) -> None:
    assert client.get("/search", params={"q": "قطة", "where": where}).status_code in (200, 400)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"q": ""}, "bad-query"),
        ({"q": "- 0.5:كلب"}, "bad-query"),
        ({"q": "«قطة"}, "bad-query"),
        ({"q": "/etc/passwd"}, "bad-query"),  # a term never names a path
        ({"q": "./secret.jpg + قطة"}, "bad-query"),
        ({"q": "C:\\secret.jpg"}, "bad-query"),
        ({"q": "ق" * 1001}, "bad-query"),
        ({"q": "قطة", "k": 201}, "bad-query"),
        ({"q": "قطة", "k": 0}, "invalid"),
        ({"q": "قطة", "k": "many"}, "invalid"),
        ({"q": "قطة", "offset": 10_001}, "invalid"),
        ({"q": "قطة", "threshold": "nan"}, "invalid"),
        ({"q": "قطة", "collapse": "far"}, "invalid"),
        ({"k": 3}, "invalid"),
        ({"q": "picture:" + "0" * 32}, "no-picture"),
        ({"q": "picture:sent-0"}, "no-picture"),
        ({"q": "picture:../../etc/passwd"}, "no-picture"),
    ],
)
def test_what_cannot_be_searched_is_a_problem_in_two_languages(
    client: TestClient, asked: dict[str, object], kind: str
) -> None:
    english = problem(client.get("/search", params=asked), kind)
    arabic = problem(client.get("/search", params=asked, headers={"Accept-Language": "ar-EG,en;q=0.5"}), kind)
    assert english["title"].isascii()
    assert any("\u0600" < letter < "\u06ff" for letter in arabic["title"])
    assert any("\u0600" < letter < "\u06ff" for letter in arabic["detail"])


def test_an_empty_gallery_is_served_too(tmp_path: Path, tiny_model: Path) -> None:
    from araclip.gallery.gallery import Gallery
    from araclip.models.encoder import AraCLIP

    Gallery.open(tmp_path / "g", model=AraCLIP(tiny_model), create=True).close()
    with serving(settings_for(tmp_path / "g", tiny_model)) as client:
        answer = client.get("/search", params={"q": "أحمر"}).json()
        assert (answer["results"], answer["nothing_found"]) == ([], True)
        assert client.get("/stats").json()["examples"] == []


def test_a_hit_is_explained_word_by_word(client: TestClient) -> None:
    hit = client.get("/search", params={"q": "شيء أحمر", "k": 1, "text_weight": 0}).json()["results"][0]
    words = client.get(f"/images/{hit['id']}/explain", params={"q": "شيء أحمر"}).json()["words"]
    assert [each["word"] for each in words] == ["شيء", "أحمر"]
    assert words[1]["share"] > words[0]["share"]
    problem(client.get(f"/images/{'0' * 32}/explain", params={"q": "أحمر"}), "no-picture")
    problem(client.get(f"/images/{hit['id']}/explain", params={"q": "- 0.5:أحمر"}), "bad-query")
    problem(client.get(f"/images/{hit['id']}/explain", params={"q": "a" * 3000}), "bad-query")


def test_a_date_without_pictures_is_explained_as_a_word(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "أحمر 1999", "k": 1}).json()
    assert [each["applied"] for each in answer["interpretation"]["filters"]] == [False]
    identity = answer["results"][0]["id"]
    words = client.get(f"/images/{identity}/explain", params={"q": "أحمر 1999"}).json()["words"]
    assert [each["word"] for each in words] == ["أحمر", "1999"]


@pytest.mark.parametrize("sign", ["\u2212", "\u2013", "\u200f-", " -"])
def test_words_beside_a_picture_may_begin_with_any_sign(client: TestClient, sign: str) -> None:
    like = [{"id": id_of(client, "أحمر 1.png")}]

    def found(q: str) -> list[str]:
        answer = client.post("/search", json={"q": q, "like": like, "k": 50})
        assert answer.status_code == 200, answer.text
        return [result["name"] for result in answer.json()["results"]]

    assert found(f"{sign} أزرق") == found("- أزرق")
    assert found("\u200f") == found("")  # nothing but a mark of direction
