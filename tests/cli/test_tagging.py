"""`araclip tag` as its users meet it: side-cars shown, written, kept, undone, and refused; what other programs read."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import InputError
from araclip.evaluation.tagging import tag
from araclip.gallery.locations import gallery_of
from araclip.models.encoder_base import Vectors
from araclip.pictures.keywords import HIERARCHY, SUBJECT, keywords_of, with_keywords, without_keywords
from araclip.text.labels import parse_labels, read_labels
from command_line import caller
from tiny import ARABIC, COLOURS, write_tiny_model

Run = Callable[..., tuple[int, str, str]]
ADDED = {SUBJECT: ["قطة", "cat & mouse"], HIERARCHY: ["حيوانات|قطة"]}
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DIGIKAM = """\ufeff<?xml version="1.0" encoding="UTF-8"?>
<!-- by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about=""
    xmlns:d="http://purl.org/dc/elements/1.1/" xmlns:digiKam="http://www.digikam.org/ns/1.0/"
   d:format="a > b">
   <d:subject>
    <r:Bag>
     <r:li>شجرة &amp; بحر</r:li>
    </r:Bag>
   </d:subject>
   <digiKam:PickLabel>3</digiKam:PickLabel>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
""".encode()
ONE_LINE = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
</rdf:Description><rdf:Description rdf:about="" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"><lr:hierarchicalSubject>
<rdf:Bag><rdf:li>a|b</rdf:li></rdf:Bag></lr:hierarchicalSubject></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()
BARE = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/>
</rdf:RDF></x:xmpmeta>""".encode()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path) -> Run:
    """Tags the folder `pictures`, with a list of the colours in a group."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "home"))
    call = caller(monkeypatch, capsys, "tag")
    lines = ["[ألوان; colours]", *(f"{ARABIC[name]}; {name}" for name in COLOURS)]
    (tmp_path / "labels.txt").write_text("\ufeff" + "\n".join(lines), "utf-8")

    def parts(*arguments: object) -> tuple[int, str, str]:
        given = () if "--undo" in arguments else ("--labels", tmp_path / "labels.txt", "--model", tiny_model)
        ran = call(tmp_path / "pictures", *given, *arguments)
        return ran.code, ran.out, ran.err

    return parts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        pictures.solid(tmp_path / "pictures" / f"{name}.png", colour)
    return tmp_path / "pictures"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_least_probability_of_zero_chooses_every_label(folder: Path, tiny_model: Path) -> None:
    labels = parse_labels("أحمر; red\nأخضر; green", "labels")
    found = list(tag(AraCLIP.load(tiny_model), [folder / "red.png"], labels, least=0.0, language="ar"))
    assert [len(each.labels) for each in found] == [2]


# ------------------------------------------------------------------ the command


def test_it_shows_writes_and_takes_back_keywords(run: Run, folder: Path) -> None:
    before = contents(folder)
    code, out, err = run()
    assert "label prompts" in err  # their encoding takes longest where pictures are few
    assert code == 0 and "add --write" in out and f"red.png: {ARABIC['red']}، red → red.png.xmp" in out
    assert contents(folder) == before
    assert run("--write")[0] == 0
    held = keywords_of((folder / "red.png.xmp").read_bytes(), "red")
    assert (held[SUBJECT], held[HIERARCHY]) == ([ARABIC["red"], "red"], [f"ألوان|{ARABIC['red']}", "colours|red"])
    assert {name: data for name, data in contents(folder).items() if name in before} == before
    assert "keywords of 0 pictures" in run("--write")[1]  # all is there
    assert f"{len(before)} of them as a whole" in run("--undo")[1]
    assert contents(folder) == before


def test_json_names_side_cars_keywords_and_probabilities(run: Run, folder: Path) -> None:
    made = json.loads(run("--json", "--language", "ar")[1])
    red = next(one for one in made["results"] if one["path"].endswith("red.png"))
    assert (red["sidecar"], red["new"], red["keywords"]) == (str(folder / "red.png.xmp"), True, [ARABIC["red"]])
    assert red["labels"][ARABIC["red"]] > 0.5 and made["written"] is False


@pytest.mark.parametrize("named", [True, False])
def test_indexed_pictures_are_not_encoded_again(
    run: Run, folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    model = AraCLIP.load(tiny_model)
    with Gallery.open(tmp_path / "gallery" if named else gallery_of(folder), model=model, create=True) as gallery:
        gallery.update([folder])
    os.utime(folder / "red.png", (1, 1))
    pictures.solid(folder / "new.png", COLOURS["green"])
    (folder / "damaged.png").write_bytes(b"no picture")
    missing = run("--json", "--gallery", tmp_path / "none")
    assert missing[0] == 2 and "none" in missing[2]  # a gallery that was named must be there
    encoded: list[str] = []

    def encode(model: AraCLIP, given: Sequence[Path]) -> Vectors:
        encoded.extend(path.name for path in given)
        return encode_image(model, given)

    encode_image = AraCLIP.encode_image
    monkeypatch.setattr(AraCLIP, "encode_image", encode)
    _, out, err = run("--json", *(["--gallery", tmp_path / "gallery"] if named else []))
    found = json.loads(out)["results"]
    assert {*encoded} == {"red.png", "new.png", "damaged.png"} and "damaged.png" in err
    assert [Path(each["path"]).name for each in found] == sorted([*(f"{name}.png" for name in COLOURS), "new.png"])
    assert all(ARABIC[name] in str(found) for name in COLOURS)


def test_a_folders_gallery_of_another_model_is_not_used(run: Run, folder: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", width=12, name="other")
    with Gallery.open(gallery_of(folder), model=other, create=True) as gallery:
        gallery.update([folder])
    assert "red.png.xmp" in run()[1]
    code, _, err = run("--gallery", gallery_of(folder))
    assert code == 2 and "holds" in err


def test_the_side_car_of_another_picture_is_left_alone(run: Run, folder: Path) -> None:
    for name, of in (("red", None), ("green", "CR2"), ("blue", "PNG")):
        text = BARE.decode().replace(
            'xmp:Rating="3"', f'xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:SidecarForExtension="{of}"'
        )
        (folder / f"{name}.xmp").write_bytes(text.encode() if of else BARE)
    (folder / "red.cr2").write_bytes(b"raw")
    before = contents(folder)
    run("--write", "--short-names")
    after = contents(folder)
    assert {name for name in after if name.endswith(".xmp")} >= {"red.png.xmp", "green.png.xmp", "blue.xmp"}
    assert after["red.xmp"] == before["red.xmp"] and after["green.xmp"] == before["green.xmp"]
    assert "blue.png.xmp" not in after and b"SidecarForExtension" in after["blue.xmp"]
    assert "yellow.xmp" in after or len(COLOURS) == 3


@pytest.mark.parametrize("name", ["red.png.XMP", "red.Xmp"])
def test_keywords_go_into_a_side_car_with_capital_letters(run: Run, folder: Path, name: str) -> None:
    (folder / name).write_bytes(DIGIKAM)
    assert f"red.png: {ARABIC['red']}، red → {name}" in run("--write")[1]
    assert [each for each in contents(folder) if each.startswith("red.") and each != "red.png"] == [name]
    assert "red" in keywords_of((folder / name).read_bytes(), name)[SUBJECT]
    run("--undo")
    assert (folder / name).read_bytes() == DIGIKAM


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89PNG no XML", "XMP that cannot be read"),
        (b"<x>" + b" " * 10_000_000 + b"</x>", "more than 2 MB"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>', "document type"),
        (b"<x/>", "without a description"),
        (BARE.decode().encode("utf-16"), "XMP "),
        (BARE.replace(b'xmp:Rating="3"', b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:subject="a"'), "no list"),
        (b"", "XMP that cannot be read"),
    ],
)  # fmt: skip
def test_a_side_car_that_cannot_be_kept_is_named_and_left(run: Run, folder: Path, data: bytes, said: str) -> None:
    (folder / "red.png.xmp").write_bytes(data)
    code, out, err = run("--write")
    assert code == 0 and "green.png.xmp" in out
    assert "red.png.xmp" in err and said in " ".join(err.split())
    assert (folder / "red.png.xmp").read_bytes() == data
    assert run("--undo")[0] == 0
    assert (folder / "red.png.xmp").read_bytes() == data


def test_links_and_read_only_side_cars_are_left(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.xmp").write_bytes(BARE)
    (folder / "red.png.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    (folder / "green.png.xmp").write_bytes(BARE)
    (folder / "green.png.xmp").chmod(0o444)
    _, _, err = run("--write")
    assert "red.png.xmp: a link" in err and "green.png.xmp: read-only" in err
    assert (tmp_path / "elsewhere.xmp").read_bytes() == (folder / "green.png.xmp").read_bytes() == BARE


def test_a_side_car_keeps_its_permissions(run: Run, folder: Path) -> None:
    (folder / "red.png.xmp").write_bytes(DIGIKAM)
    (folder / "red.png.xmp").chmod(0o640)
    run("--write")
    assert (folder / "red.png.xmp").stat().st_mode & 0o777 == 0o640
    run("--undo")
    assert (folder / "red.png.xmp").read_bytes() == DIGIKAM


def test_a_linked_folder_is_tagged_and_undone_too(run: Run, folder: Path, tmp_path: Path) -> None:
    pictures.solid(tmp_path / "elsewhere" / "red.png", COLOURS["red"])
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "round").symlink_to(folder, target_is_directory=True)
    run("--write")
    assert (tmp_path / "elsewhere" / "red.png.xmp").exists()
    run("--undo")
    assert not list(tmp_path.rglob("*.xmp"))


@pytest.mark.parametrize("at", ["open", "fill", "fsync", "rename", "fsync folder"])
def test_a_crash_leaves_each_side_car_whole_and_the_run_goes_on(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    for name in COLOURS:
        (folder / f"{name}.png.xmp").write_bytes(DIGIKAM)
    seen: list[str] = []

    def crash(name: str) -> None:
        seen.append(name)
        if seen.count(at) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "step", crash)
    run("--write")
    monkeypatch.undo()
    whole = [
        with_keywords(
            DIGIKAM, {SUBJECT: [ARABIC[name], name], HIERARCHY: [f"ألوان|{ARABIC[name]}", f"colours|{name}"]}, name
        )
        for name in COLOURS
    ]
    found = [(folder / f"{name}.png.xmp").read_bytes() for name in COLOURS]
    assert all(each in (DIGIKAM, new) for each, new in zip(found, whole, strict=True)) and DIGIKAM in found


def test_a_full_disk_is_said_and_the_others_go_on(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, fill: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as `write` raises it, without a name

    monkeypatch.setattr(atomic, "write", full)
    code, out, err = run("--write")
    assert code == 0 and err.count("No space left") == len(COLOURS) and "keywords of 0 pictures" in out
    assert all(f"{name}.png.xmp: No space left" in "".join(err.split("\n")) for name in COLOURS)


def test_a_link_that_leads_nowhere_is_named(run: Run, folder: Path) -> None:
    (folder / "away.png").symlink_to(folder / "unplugged" / "x.png")
    assert json.loads(run("--json")[1])["skipped"] == [
        f"{folder / 'away.png'}: cannot be read (the link leads nowhere; is a drive unplugged?)."
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--undo", "--write"), "--write has no effect with --undo"),
        (("--at", "2"), "--at is 2.0"),
        (("--language", "fr"), "no language 'fr'"),
    ],
)
def test_options_that_cannot_be_are_refused(run: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2 and said in " ".join(err.split())


# ------------------------------------------------------------------ side-cars


@pytest.mark.parametrize("data", [DIGIKAM, ONE_LINE, DIGIKAM.replace(b"\n", b"\r\n")])
def test_what_is_added_can_be_removed_to_the_last_byte(data: bytes) -> None:
    before = keywords_of(data, "a")
    new = with_keywords(data, ADDED, "a")
    assert keywords_of(new, "a")[SUBJECT] == [*before[SUBJECT], *ADDED[SUBJECT]]
    assert keywords_of(new, "a")[HIERARCHY] == [*before[HIERARCHY], *ADDED[HIERARCHY]]
    assert with_keywords(new, ADDED, "a") == new
    assert without_keywords(new, "a") == data


def test_what_others_wrote_before_and_later_stays() -> None:
    theirs = DIGIKAM.replace("شجرة &amp; بحر".encode(), "بحر".encode())
    new = with_keywords(theirs, {SUBJECT: ["بحر", "قطة"]}, "a")
    later = new.replace("<r:li>قطة</r:li>".encode(), "<r:li>قطة</r:li><r:li>زورق</r:li>".encode(), 1)
    left = without_keywords(later, "a")
    assert left is not None and keywords_of(left, "a")[SUBJECT] == ["بحر", "زورق"]
    assert b"urn:araclip" not in left and b"PickLabel>3<" in left


@pytest.mark.parametrize(
    ("at", "inside", "times"),
    [
        ("<r:li>", "\n", 1_000_000), ("<r:li>", "&amp;", 200_000), ("<d:subject>", "\n", 1_000_000),
        ("<r:Bag>", "<r:li>a</r:li>", 60_000), ('xml:lang="', "\n", 1_000_000),
    ],
)  # fmt: skip
def test_a_side_car_full_of_one_thing_is_kept(at: str, inside: str, times: int) -> None:
    text = DIGIKAM.decode().replace("</r:Description>", '<d:title xml:lang=""/></r:Description>')
    full = text.replace(at, at + inside * times, 1).encode()
    new = with_keywords(full, ADDED, "a")
    assert keywords_of(new, "a")[HIERARCHY] == ADDED[HIERARCHY]
    assert without_keywords(new, "a") == full


def test_keyword_of_ours_that_stands_there_many_times_is_removed() -> None:
    new = with_keywords(DIGIKAM, {SUBJECT: ["a"]}, "a")
    assert without_keywords(new.replace(b"<r:li>a</r:li>", b"<r:li>a</r:li>" * 60_000, 1), "a") == DIGIKAM


EMPTY_LISTS = ["<r:Bag />", "<r:Bag/>", "<r:Bag></r:Bag>", "<r:Bag>\n  <!-- none -->\n  </r:Bag>", "<r:Seq\n/>"]


@pytest.mark.parametrize("empty", EMPTY_LISTS)
def test_an_empty_list_is_filled_and_is_empty_again(run: Run, folder: Path, empty: str) -> None:
    data = DIGIKAM.replace("<r:Bag>\n     <r:li>شجرة &amp; بحر</r:li>\n    </r:Bag>".encode(), empty.encode())
    assert empty.encode() in data
    (folder / "red.png.xmp").write_bytes(data)
    (folder / "green.png.xmp").write_bytes(BARE)
    run("--write", "--language", "ar")
    run("--write", "--language", "en")
    written = (folder / "red.png.xmp").read_bytes()
    assert keywords_of(written, "red")[SUBJECT] == [ARABIC["red"], "red"]
    run("--undo")
    assert ((folder / "red.png.xmp").read_bytes(), (folder / "green.png.xmp").read_bytes()) == (data, BARE)


def test_an_empty_list_that_others_filled_meanwhile_keeps_theirs() -> None:
    new = with_keywords(ONE_LINE.replace(b"<rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag>", b"<rdf:Bag/>"), ADDED, "a")
    left = without_keywords(
        new.replace(b"</rdf:Bag></dc:subject>", b"<rdf:li>sea</rdf:li></rdf:Bag></dc:subject>"), "a"
    )
    assert left == ONE_LINE
    assert without_keywords(with_keywords(None, ADDED, "a"), "a") is None


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("data", [None, DIGIKAM, ONE_LINE, BARE])
def test_exiftool_reads_and_keeps_them(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "a.jpg.xmp"
    path.write_bytes(with_keywords(data, ADDED, "a"))
    asked = ["exiftool", "-j", "-a", "-Subject", "-HierarchicalSubject", "-Warning", "-validate", str(path)]
    (read,) = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    assert read["Subject"][-2:] == ADDED[SUBJECT] and "Warning" not in read
    paths = read["HierarchicalSubject"]
    assert (paths if isinstance(paths, str) else paths[-1]) == ADDED[HIERARCHY][0]
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-Rating=4", str(path)], check=True)
    left = without_keywords(path.read_bytes(), "a")  # the record of what was added has survived another program
    assert left is not None and ADDED[SUBJECT][0] not in keywords_of(left, "a")[SUBJECT]


# ------------------------------------------------------------------ lists


def test_the_bundled_list_has_groups_and_competing_names() -> None:
    labels = read_labels("everyday")
    written = [label for label in labels if not label.competes_only]
    assert len(written) > 100 and len(labels) > 400
    assert all(label.english and label.group and label.group_english and label.least for label in written)


def test_labels_that_everyday_scenes_refute_are_not_written() -> None:
    labels = {label.english or label.arabic: label for label in read_labels("everyday")}
    assert labels["نهر جليدي"].competes_only and labels["رسم كرتوني"].competes_only  # skiers, empty pools
    assert (labels["kangaroo"].least or 0) >= 0.9  # dogs


def test_the_bundled_lists_remarks_are_good_precisions() -> None:
    from importlib.resources import files

    lines = files("araclip.text").joinpath("data", "labels.txt").read_text("utf-8").splitlines()
    measured = [line.partition("#")[2].split() for line in lines if ";" in line and line[0] not in "#["]
    assert measured and all(float(precision) >= 0.8 and int(hits) >= 5 for precision, _, hits in measured)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("قطة", "1 labels"),
        ("قطة; cat; 2\nكلب", "no probability"),
        ("قطة; cat; x\nكلب", "no probability"),
        ("قطة|كلب\nكلب", "line 1"),
        ("[]; a; b; c\nكلب", "line 1"),
        ("; cat\nكلب", "line 1"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_labels(text, "mine")


def test_a_list_may_have_names_alone() -> None:
    assert [label.arabic for label in parse_labels("قطة\n# remark\n\nكلب؛ dog # another\nقطة; cat", "mine")] == [
        "قطة",
        "كلب",
    ]


def test_a_list_of_labels_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_text("قطة; cat\n" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="more than 1,000,000"):
        read_labels(tmp_path / "large.txt")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("odd.txt", "none.txt"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as UTF-8 text"):
            read_labels(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="not a regular file"):
            read_labels(tmp_path / "pipe")
