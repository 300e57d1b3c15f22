"""Camera, lens, place and coordinates of photographs: from EXIF, from XMP beside them; hidden pictures."""

import io
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

import pictures
from araclip import AraCLIP, Gallery, open_gallery
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.matching import distance, name_matches
from araclip.pictures import metadata
from araclip.pictures.metadata import (
    PhotoMetadata,
    camera_name,
    clean_name,
    coordinates,
    date_in_name,
    degrees,
    exif_time,
    iso_time,
)
from catalog_file import damage
from pictures import read_facts
from postgres_server import needs_server
from serving import place_of


def exif(**values: object) -> Image.Exif:
    """An EXIF block of a photograph taken at Riyadh."""
    block = Image.Exif()
    block[ExifTags.Base.Make], block[ExifTags.Base.Model] = "Canon", "Canon EOS R5\0old"
    taken = block.get_ifd(ExifTags.IFD.Exif)
    taken[ExifTags.Base.DateTimeOriginal], taken[ExifTags.Base.LensModel] = "2023:05:17 18:30:00", "RF24-105mm F4 L"
    gps = block.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "N", (24.0, 42.0, 0.0)
    gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "E", (46.0, 42.0, 36.0)
    for name, value in values.items():
        gps[ExifTags.GPS[name]] = value
    return block


RIYADH = PhotoMetadata("2023-05-17T18:30:00", "Canon EOS R5", "RF24-105mm F4 L", 24.7, 46.71)
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
  exif:GPSLatitude="25,17.25N" exif:GPSLongitude="51,31,30.0E" tiff:Make="NIKON CORPORATION" photoshop:City="الدوحة">
  <tiff:Model>NIKON D850</tiff:Model><aux:Lens>50.0 mm f/1.8</aux:Lens><photoshop:Country>قطر</photoshop:Country>
  <exif:DateTimeOriginal>2021-12-18T09:05:00+03:00</exif:DateTimeOriginal>
  <xmpMM:History><rdf:Seq><rdf:li rdf:parseType="Resource"><tiff:Model>not this</tiff:Model></rdf:li></rdf:Seq>
  </xmpMM:History>
  <dc:subject><rdf:Bag><rdf:li>سوق</rdf:li><rdf:li>market</rdf:li></rdf:Bag></dc:subject>
 </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
DOHA = PhotoMetadata("2021-12-18T09:05:00", "NIKON D850", "50.0 mm f/1.8", 25.2875, 51.525, "الدوحة, قطر")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name, colour in (("red.jpg", pictures.RED), ("green.jpg", pictures.GREEN), ("blue.jpg", pictures.BLUE)):
        pictures.solid(folder / name, colour, (40, 30))
    Image.new("RGB", (40, 30), pictures.RED).save(folder / "red.jpg", exif=exif())
    return folder


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP, root: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "g", model=model, create=True) as opened:
        opened.update([root])
        yield opened


def photo(gallery: Gallery, path: Path) -> PhotoMetadata:
    record = gallery._catalog.records_at([str(path)])[str(path)]
    return PhotoMetadata(
        record.captured_at, record.camera, record.lens, record.latitude, record.longitude, record.place
    )


# ------------------------------------------------------------------ reading


def test_camera_lens_and_place_of_photograph_are_read(tmp_path: Path) -> None:
    for suffix in ("jpg", "png", "webp"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"a.{suffix}", exif=exif())
        assert read_facts(tmp_path / f"a.{suffix}").photo == RIYADH, suffix


@pytest.mark.parametrize("blank", ["0000:00:00 00:00:00", "    :  :     :  :  ", "not set"])
def test_where_date_of_taking_is_blank_that_of_digitizing_counts(tmp_path: Path, blank: str) -> None:
    block = exif()
    taken = block.get_ifd(ExifTags.IFD.Exif)
    taken[ExifTags.Base.DateTimeOriginal], taken[ExifTags.Base.DateTimeDigitized] = blank, "2019:02:03 04:05:06"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=block)
    assert read_facts(tmp_path / "a.jpg").captured_at == "2019-02-03T04:05:06"


@pytest.mark.parametrize(
    "values",
    [
        {"GPSLatitude": (124.0, 0.0, 0.0)},
        {"GPSLatitude": (0.0, 0.0, 0.0), "GPSLongitude": (0.0, 0.0, 0.0)},
        {"GPSLatitude": (24.0,) * 5},
    ],
)
def test_malformed_coordinates_are_left_out_and_the_rest_is_read(values: dict[str, object]) -> None:
    written = io.BytesIO()
    Image.new("RGB", (40, 30)).save(written, "JPEG", exif=exif(**values))
    found = read_facts(io.BytesIO(written.getvalue()))
    assert (found.camera, found.latitude, found.longitude) == ("Canon EOS R5", None, None)


def test_xmp_in_a_picture_completes_its_exif(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", xmp=PACKET.encode())
    assert read_facts(tmp_path / "a.jpg").photo == DOHA
    Image.new("RGB", (40, 30)).save(tmp_path / "b.jpg", exif=exif(), xmp=PACKET.encode())
    assert read_facts(tmp_path / "b.jpg").photo == RIYADH.fill_unknown_from(DOHA)
    assert read_facts(tmp_path / "b.jpg").place == "الدوحة, قطر"
    assert read_facts(tmp_path / "b.jpg").caption == "سوق\nmarket"
    title = f"<dc:title><rdf:Alt><rdf:li>{'ص' * 3000}</rdf:li></rdf:Alt></dc:title>"
    longer = PACKET.replace("<dc:subject>", f"<!-- <dc:title>draft</dc:title> -->{title}<dc:subject>")
    Image.new("RGB", (40, 30)).save(tmp_path / "c.jpg", xmp=longer.encode())
    assert read_facts(tmp_path / "c.jpg").caption == f"{'ص' * 3000}\nسوق\nmarket"


@pytest.mark.parametrize(
    ("date", "read"),
    [("1954", "1954-01-01T00:00:00"), ("1954-06", "1954-06-01T00:00:00"), ("about 1954", "2021-12-18T09:05:00")],
)
def test_a_year_alone_is_the_date_of_a_scan_before_scanning(tmp_path: Path, date: str, read: str) -> None:
    packet = PACKET.replace("exif:DateTimeOriginal", "xmp:CreateDate").replace(
        "xmlns:exif=", f'photoshop:DateCreated="{date}" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif='
    )
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", xmp=packet.encode())
    assert read_facts(tmp_path / "a.jpg").captured_at == read


@pytest.mark.parametrize(
    ("fields", "date"),
    [
        ({55: "20210203", 60: "040506+0300"}, "2021-02-03T04:05:06"),
        ({55: "20210203"}, "2021-02-03T00:00:00"),
        ({55: "00000000", 60: "040506"}, None),
        ({60: "040506"}, None),
    ],
)
def test_iptc_tells_date_and_place_where_nothing_else_does(
    tmp_path: Path, fields: dict[int, str], date: str | None
) -> None:
    records = b"".join(
        bytes([0x1C, 2, field]) + len(text.encode()).to_bytes(2, "big") + text.encode()
        for field, text in {**fields, 90: "القاهرة"}.items()
    )
    Image.new("RGB", (40, 30)).save(tmp_path / "a.tif", tiffinfo={33723: records})
    found = read_facts(tmp_path / "a.tif")
    assert (found.captured_at, found.place) == (date, "القاهرة")


def test_xmp_is_bounded_and_its_entities_are_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + PACKET.partition("?>")[2]
    for text, words in (
        (bomb, "document type"),
        ("<a>" * 100, "too deep"),
        ("<r>" + "<a/>" * 200_000 + "</r>", "too many"),
        (PACKET + " " * 3_000_000 + "<!-- -->", "more than 2 MB"),
        ("no xml", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            metadata.xmp_properties(text.encode(), "a.xmp")
    assert metadata.embedded_properties({"xmp": bomb}) == {}


def test_a_long_namespace_is_not_kept_once_for_each_name() -> None:
    attributes = " ".join(f'p:a{number}=""' for number in range(10_000))
    bomb = PACKET.replace("<xmpMM:History>", f'<p:x xmlns:p="{"u" * 40_000}" {attributes}/><xmpMM:History>').encode()
    tracemalloc.start()
    found = metadata.xmp_metadata(metadata.xmp_properties(bomb, "a.xmp"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == DOHA and peak < 20_000_000


def test_a_prefix_without_a_namespace_is_damage() -> None:
    with pytest.raises(InputError, match="unbound prefix"):
        metadata.xmp_properties(PACKET.replace("xmlns:aux=", "xmlns:other=").encode(), "a.xmp")


@pytest.mark.parametrize(
    "encoding", ["utf-7", "big5", "gb18030", "hex", "zlib", "idna", "punycode", "undefined", "no-such"]
)
def test_xmp_in_an_unreadable_encoding_is_an_error_of_ours(encoding: str) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>' + PACKET.partition("?>")[2]
    with pytest.raises(InputError, match="cannot be read"):
        metadata.xmp_properties(declared.encode(), "a.xmp")
    assert metadata.embedded_properties({"xmp": declared}) == {}


@given(st.binary(max_size=200), st.integers(0, 3000), st.integers(0, 3000))
def test_damaged_xmp_never_raises_anything_but_our_error(noise: bytes, start: int, stop: int) -> None:
    raw = PACKET.encode()
    try:
        found = metadata.xmp_metadata(metadata.xmp_properties(raw[:start] + noise + raw[stop:], "a.xmp"))
    except InputError:
        return
    assert PhotoMetadata.from_json(found.to_json()) == found


@given(st.text(), st.text())
def test_names_are_one_short_line(make: str, model: str) -> None:
    camera = camera_name(make, model)
    assert camera is None or (camera == clean_name(camera) and 0 < len(camera) <= 200)
    assert camera is None or not any(letter in camera for letter in "\0\r\n\t")


@given(st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.floats()))
def test_coordinates_are_on_earth_or_unknown(latitude: float | None, longitude: float | None) -> None:
    here = coordinates(latitude, longitude)
    assert here is None or (-90 <= here[0] <= 90 and -180 <= here[1] <= 180)


def test_degrees_minutes_and_seconds_are_added_with_a_sign() -> None:
    assert degrees((24, 42, 36), "N") == pytest.approx(24.71)
    assert degrees((24.71,), b"S\0") == pytest.approx(-24.71)
    assert degrees((24, "x"), "N") is None
    assert iso_time("2021-12-18T09:05:00.25+03:00") == "2021-12-18T09:05:00"
    assert iso_time("yesterday") is None


# ------------------------------------------------------------------ the catalogue


def test_an_earlier_gallery_gains_camera_and_place(
    gallery: Gallery, root: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gallery._catalog.writing():
        gallery._catalog.change("DELETE FROM photos")
    assert photo(gallery, root / "red.jpg").camera is None

    def no_encoding(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(model, "encode_pixels", no_encoding)
    gallery.update([root])
    assert photo(gallery, root / "red.jpg") == RIYADH.add_place_names()
    assert gallery.update([root]).unchanged == 3
    assert gallery.verify() == []


def test_a_damaged_row_is_found_forgotten_and_read_again(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    gallery.hide([root / "red.jpg"])
    damage(tmp_path / "g", "UPDATE photos SET camera = 'Leica' WHERE camera IS NOT NULL")
    assert "its camera, lens and place is damaged" in {fault.what for fault in gallery.verify()}
    assert gallery.repair()
    gallery.update([root])
    assert photo(gallery, root / "red.jpg") == RIYADH.add_place_names()
    assert [Path(hit.path).name for hit in gallery.search("أحمر", where="hidden=yes")] == ["red.jpg"]


def test_backup_and_export_hold_camera_place_and_hidden_pictures(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    gallery.hide([root / "red.jpg"])
    gallery.backup(tmp_path / "backup")
    with closing(Catalog.open(tmp_path / "backup", None)) as copy:
        assert copy.rows(copy.hidden)
    gallery.export(tmp_path / "export")
    lines = [json.loads(line) for line in (tmp_path / "export" / "pictures.jsonl").read_text("utf-8").splitlines()]
    (red,) = [line for line in lines if line["files"][0]["path"].endswith("red.jpg")]
    place = RIYADH.add_place_names().place
    assert (red["camera"], red["latitude"], red["place"], red["hidden"]) == ("Canon EOS R5", 24.7, place, True)


def test_a_hidden_picture_leaves_results_until_it_is_shown_again(gallery: Gallery, root: Path) -> None:
    def found(where: str | None = None) -> list[str]:
        return sorted(Path(hit.path).name for hit in gallery.search("أحمر", 10, where=where))

    assert gallery.hide([root / "red.jpg", root / "blue.jpg"]) == 2
    assert gallery.hide([root / "red.jpg"]) == 0
    assert found() == ["green.jpg"]
    assert found("hidden=yes") == ["blue.jpg", "red.jpg"]
    assert found("hidden=any") == ["blue.jpg", "green.jpg", "red.jpg"]
    assert [Path(hit.path).name for hit in gallery.similar(root / "red.jpg")] == ["green.jpg"]
    assert gallery.hide([root], hidden=False) == 2
    assert found() == ["blue.jpg", "green.jpg", "red.jpg"]
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.hide([root / "none.jpg"])
    with pytest.raises(InputError, match="write yes"):
        found("hidden=perhaps")


def test_hidden_stays_hidden_when_its_file_is_edited_or_moved(gallery: Gallery, root: Path) -> None:
    gallery.hide([root / "red.jpg"])
    Image.new("RGB", (50, 30), pictures.RED).save(root / "red.jpg")
    gallery.update([root])
    assert len(gallery.search("أحمر", 10)) == 2
    (root / "red.jpg").rename(root / "moved.jpg")
    gallery.update([root])
    assert len(gallery.search("أحمر", 10)) == 2
    assert [Path(hit.path).name for hit in gallery.search("أحمر", where="hidden=yes")] == ["moved.jpg"]


# ------------------------------------------------------------------ dates in names


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("IMG_20240131_175959.jpg", "2024-01-31T17:59:59"),
        ("PXL_20240131_175959123.MP.jpg", "2024-01-31T17:59:59"),
        ("Screenshot_20260110-123456_WhatsApp.png", "2026-01-10T12:34:56"),
        ("Screen Shot 2024-01-10 at 1.02.03\u202fPM.png", "2024-01-10T13:02:03"),
        ("Screenshot 2024-01-10 at 12.02.03 AM.png", "2024-01-10T00:02:03"),
        ("WhatsApp Image 2024-01-10 at 12.34.56.jpeg", "2024-01-10T12:34:56"),
        ("IMG-20240110-WA0007.jpg", "2024-01-10T00:00:00"),
        ("photo_2024-01-10_12-34-56 (2).jpg", "2024-01-10T12:34:56"),
        ("صورة ٢٠٢٤.05.06 2024.05.06.png", "2024-05-06T00:00:00"),
        ("IMG20240131175959.jpg", "2024-01-31T17:59:59"),
        ("DJI_20240131175959_0001_D.JPG", "2024-01-31T17:59:59"),
        ("20240131175959123.jpg", "2024-01-31T17:59:59"),
        ("20240131176059.jpg", None),
        ("2024013112345.jpg", None),
        ("20240231_101010.jpg", None),
        ("IMG_20241301_101010.jpg", None),
        ("DSC01234.jpg", None),
        ("12024013112345.jpg", None),
        ("2024-01-31/b.jpg", None),
    ],
)
def test_a_date_in_the_name_of_a_file_is_read(name: str, date: str | None) -> None:
    assert date_in_name(f"/2020-01-01/{name}") == date


def test_copy_loses_date_of_name_that_another_picture_takes(gallery: Gallery, root: Path) -> None:
    dated = pictures.solid(root / "2015-03-04.png", pictures.GREEN, (50, 40))
    shutil.copy(dated, root / "copy.png")
    gallery.update([root])
    assert gallery.details(root / "copy.png")["captured_at"] == "2015-03-04T00:00:00"
    pictures.solid(dated, pictures.BLUE, (50, 40))
    gallery.update([root])
    assert gallery.details(root / "copy.png")["captured_at"] is None
    assert gallery.details(dated)["captured_at"] == "2015-03-04T00:00:00"


@given(st.text(max_size=60))
def test_any_name_gives_a_date_or_none(name: str) -> None:
    found = date_in_name(name)
    assert found is None or exif_time(found.replace("-", ":").replace("T", " ")) == found


# ------------------------------------------------------------------ beside a picture


@pytest.mark.parametrize("name", ["green.jpg.xmp", "green.xmp"])
def test_xmp_beside_a_picture_tells_date_camera_and_place(gallery: Gallery, root: Path, name: str) -> None:
    (root / name).write_text(PACKET, encoding="utf-8")
    gallery.update([root])
    assert photo(gallery, root / "green.jpg") == DOHA.add_place_names()
    assert [Path(hit.path).name for hit in gallery.search("أحمر", where=["captured=2021", "place=الدوحه"])] == [
        "green.jpg"
    ]
    assert gallery.search("market", 1)[0].matched[0].field == "caption"
    assert gallery.update([root]).added == 0
    (root / name).unlink()
    gallery.update([root])
    assert photo(gallery, root / "green.jpg") == PhotoMetadata()
    assert gallery.verify() == []


def test_what_a_file_says_itself_counts_before_its_side_car(gallery: Gallery, root: Path) -> None:
    (root / "red.xmp").write_text(PACKET, encoding="utf-8")
    gallery.update([root])
    assert photo(gallery, root / "red.jpg") == RIYADH.fill_unknown_from(DOHA).add_place_names()


def test_side_car_that_cannot_be_read_is_named_and_picture_stays(gallery: Gallery, root: Path) -> None:
    (root / "red.xmp").write_text("<!DOCTYPE x><x/>")
    lines: list[str] = []
    gallery.update([root], skip=lines.append)
    assert len(lines) == 1
    assert "red.xmp: no metadata was read" in lines[0]
    assert lines[0].count("red.xmp") == 1
    assert len(gallery) == 3


# ------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("camera=canon", ["red.jpg"]),
        ("camera=r5 CANON", ["red.jpg"]),
        ("lens=24-105mm", ["red.jpg"]),
        ("near=24.7,46.7,2km", ["red.jpg"]),
        ("near=٢٤٫٧،٤٦٫٧،٢كم", ["red.jpg"]),
        ("near=24.7,46.7,900 m", []),
        ("near=25.3,51.5,10km", ["green.jpg"]),
        ("place=قطر", ["green.jpg"]),
        ("name=RED", ["red.jpg"]),
        ("name=*e*.jpg", ["blue.jpg", "green.jpg", "red.jpg"]),
        ("name=?e?", ["red.jpg"]),
        ("name=jpg green", ["green.jpg"]),
    ],
)
def test_pictures_are_filtered_by_camera_place_and_distance(
    gallery: Gallery, root: Path, where: str, names: list[str]
) -> None:
    (root / "green.xmp").write_text(PACKET, encoding="utf-8")
    gallery.update([root])
    assert sorted(Path(hit.path).name for hit in gallery.search("أحمر", where=where)) == names


def test_a_name_is_found_in_any_unicode_form_and_spelling() -> None:
    assert name_matches("cafe\u0301 القاهرة٢٠٢٣.JPG", "CAFÉ القاهره 2023")
    assert name_matches("أحمد.png", "احمد")
    assert name_matches("cafe\u0301-1.jpg", "café-?")
    assert not name_matches("cafe\u0301-12.jpg", "café-?")
    assert name_matches("MyHoliday.jpg", "holiday") and name_matches("MyHoliday.jpg", "myholiday")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("near=24.7,46.7", "write latitude, longitude, distance"),
        ("near=46.7,124.7,1km", None),
        ("near=124.7,46.7,1km", "latitudes go from -90 to 90"),
        ("near=1,2,0m", "from 1 cm"),
        ("near=1,2,99999km", "20040 km"),
        ("near=here", "write latitude"),
        ("camera=!!", "without a word"),
        ("name=" + "a" * 300, "the most is 200"),
    ],
)
def test_a_filter_that_makes_no_sense_says_what_is_wrong(where: str, words: str | None) -> None:
    if words is None:
        Filters.read([where])
        return
    with pytest.raises(InputError, match=words):
        Filters.read([where])


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))
def test_a_distance_is_symmetric_and_at_most_half_the_earth(a: float, b: float, c: float, d: float) -> None:
    there = distance(a, b, c, d)
    assert there == pytest.approx(distance(c, d, a, b), abs=1e-3)
    assert 0 <= there <= 20_015_200
    assert distance(a, b, a, b) == 0


def test_riyadh_and_doha_are_about_490_kilometres_apart() -> None:
    assert distance(24.7136, 46.6753, 25.2854, 51.5310) == pytest.approx(492_500, rel=0.01)


@needs_server
def test_a_gallery_on_a_server_knows_and_filters_the_same(tmp_path: Path, model: AraCLIP, root: Path) -> None:
    (root / "green.xmp").write_text(PACKET, encoding="utf-8")
    with place_of("postgres", tmp_path) as place, open_gallery(place, model=model, create=True) as gallery:
        gallery.update([root])

        def found(where: str | None) -> list[str]:
            return sorted(Path(hit.path).name for hit in gallery.search("أحمر", where=where))

        for where, names in (
            ("camera=r5 CANON", ["red.jpg"]), ("near=24.7,46.7,2km", ["red.jpg"]),
            ("near=24.7,46.7,900m", []), ("place=الدوحه", ["green.jpg"]), ("name=?e?", ["red.jpg"]),
            ("name=green jpg", ["green.jpg"]), ("captured=2021", ["green.jpg"]),
        ):  # fmt: skip
            assert found(where) == names, where
        with pytest.raises(InputError, match="no picture has the camera 'r50'"):
            found("camera=r50")
        assert gallery.hide([root / "red.jpg"]) == 1
        assert found(None) == ["blue.jpg", "green.jpg"]
        assert found("hidden=yes") == ["red.jpg"]
        details = gallery.details(root / "green.jpg")
        assert {name: details[name] for name in vars(DOHA)} == vars(DOHA.add_place_names())
        (root / "green.xmp").unlink()
        gallery.update([root])
        assert found("place=الدوحه") == []
