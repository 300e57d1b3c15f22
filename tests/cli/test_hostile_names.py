"""Every command on a gallery whose file names, captions and labels are written to deceive a terminal."""

import io
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

import pictures
from araclip import cli
from araclip.gallery import watch
from tiny import write_tiny_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")

ATTACKS = {
    "colour": "\x1b[31m\x1b[2J",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8K\x07",
    "title": "\x9d0;owned\x9c\x9b31m",
    "reversed": "a\u202egpj.exe\u2066",
    "lines": "x\r\nINJECTED\u2028INJECTED\x0bINJECTED\x85INJECTED",
    "bytes": os.fsdecode(b"\xff\xfe\xe9"),
    "tags": "\U000e0041\x7f\x08[bold]x",
}
HOSTILE = "".join(ATTACKS.values())
# What may be on a terminal besides letters: the colours, cursor, progress bars and links to
# files (printable ASCII) of our own.
LINKS = re.compile(r"\x1b\]8;(id=\d+)?;(file:///[!-~]*)?\x1b\\")
COLOURS = re.compile(r"\x1b\[[\d;]*m")
CURSOR = re.compile(r"\x1b\[\?25[lh]|\r?\x1b\[\d*[AK]|\r\n")
CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


class Terminal:
    """A pseudo-terminal that the commands of this process print to; `text` is all that reached it."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.stream = io.TextIOWrapper(os.fdopen(slave, "wb", buffering=0), "utf-8", write_through=True)
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._seen += os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return

    def close(self) -> str:
        """All that was printed."""
        self.stream.close()
        self._reader.join()
        os.close(self._master)
        return self._seen.decode("utf-8")


Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shown]:
    """Run a command on a terminal; what it prints must be free of control characters."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.setenv("TERM", "xterm-256color")

    def call(*arguments: object, code: int = 0) -> str:
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["araclip", *map(str, arguments)])
            patch.setattr(sys, "stdout", terminal.stream)
            patch.setattr(sys, "stderr", terminal.stream)
            ended = 0
            try:
                cli.main()
            except SystemExit as stop:
                ended = stop.code if isinstance(stop.code, int) else 1
            finally:
                said = terminal.close()
        assert ended == code, said
        rest = CURSOR.sub("\n", COLOURS.sub("", LINKS.sub("", said)))
        assert not CONTROLS.search(rest), (arguments, CONTROLS.search(rest), rest)
        return rest

    yield call


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A picture, and a copy of it, under each of the names, and one that is damaged."""
    folder = tmp_path / f"صور {HOSTILE}"
    for number, (name, text) in enumerate(ATTACKS.items()):
        first = pictures.solid(folder / f"{name} {text}.png", (255, 10 * number, 0))
        shutil.copy(first, folder / f"copy of {name} {text}.png")
    pictures.text_as_picture(folder / f"damaged {HOSTILE}.png")
    return folder


def test_no_command_prints_control_characters_of_names(
    shown: Shown, album: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / f"gallery {HOSTILE}"
    options = ("-g", place, "--model", tiny_model)
    once = iter([watch.Due()])
    monkeypatch.setattr(watch, "changes", lambda roots, **_: once)

    assert "14 new or changed" in shown("index", album, *options)
    assert json.loads(shown("index", album, *options, "--json").splitlines()[-1])["unchanged"] == 14
    shown("watch", album, *options)
    found = shown("search", "أحمر", *options)
    assert "\\u001b]52;c;" in found and "\\u000aINJECTED" in found
    answer = json.loads(shown("search", "أحمر", *options, "--json"))
    paths = {path for result in answer["results"] for path in (result["path"], *result["copies"])}
    assert {str(path) for path in album.glob("*.png")} - paths == {str(album / f"damaged {HOSTILE}.png")}
    assert shown("search", "أحمر", *options, "--paths").count("\n") == 7
    picture = album / f"colour {ATTACKS['colour']}.png"
    for form in ((), ("--json",), ("--paths",)):
        shown("similar", picture, *options, *form)
    shown("search", f"{picture} + أحمر", *options)
    for form in ((), ("--json",)):
        shown("explain", "أحمر", picture, *options, *form)
    for form in ((), ("--json",)):
        shown("stats", *options, *form)
        shown("duplicates", *options, *form)
        shown("repair", *options, *form)
        shown("doctor", *form)
    (album / f"title {ATTACKS['title']}.png").unlink()
    for form in ((), ("--json",)):
        shown("verify", *options, *form, code=1)
        shown("backup", tmp_path / f"backup {HOSTILE}", *options[:2], *form)
        shown("export-gallery", tmp_path / f"export {HOSTILE}", *options, *form)
        shown("compact", *options, *form)
        shown("restore", tmp_path / f"backup {HOSTILE}", "-g", tmp_path / f"restored {HOSTILE}", "--yes", *form)
    shown("hide", picture, *options)
    shown("hide", "--list", *options)
    shown("hide", picture, *options, "--undo", "--json")
    shown("remove", picture, *options)
    shown("remove", album / f"bytes {ATTACKS['bytes']}.png", *options, "--json")
    for form in ((), ("--json",)):
        shown("classify", album / f"lines {ATTACKS['lines']}.png", "--labels", f"{HOSTILE},قطة", *form, *options[2:])
    labels = tmp_path / f"labels {ATTACKS['colour']}.txt"
    labels.write_text(f"قطة{ATTACKS['reversed']}; a cat{ATTACKS['colour']}\nكلب; a dog\n", encoding="utf-8")
    for form in ((), ("--json",)):
        shown("tag", album, "--labels", labels, "--at", "0.01", *form, *options[2:])
    shown("tag", album, "--labels", tmp_path / HOSTILE, *options[2:], code=2)


@pytest.mark.filterwarnings("default")  # Ray's own
def test_embedding_in_bulk_prints_no_control_character(
    shown: Shown, album: Path, tmp_path: Path, tiny_model: Path
) -> None:
    ray = pytest.importorskip("ray")
    for form in ((), ("--json",)):
        place = tmp_path / f"shards {len(form)}"
        said = shown("embed", album, place, "--model", tiny_model, *form)
        assert '"refused": 1' in said or "1 refused" in said
        shown("index", "--from", place, "-g", tmp_path / f"gallery {HOSTILE}", "--model", tiny_model, *form)
    shown("embed", tmp_path / f"none {HOSTILE}", place, code=2)
    shown("embed", album, tmp_path / HOSTILE, code=2)
    ray.shutdown()


def test_models_of_strangers_print_no_control_character(shown: Shown, tmp_path: Path, tiny_model: Path) -> None:
    theirs = shutil.copytree(tiny_model, tmp_path / f"theirs {HOSTILE}")
    config = json.loads((theirs / "config.json").read_text(encoding="utf-8"))
    (theirs / "config.json").write_text(
        json.dumps({**config, "license": HOSTILE.encode("utf-8", "ignore").decode()}), encoding="utf-8"
    )
    for form in ((), ("--json",)):
        shown("pull", theirs, "--name", f"mine{len(form)}", *form)
        shown("models", *form)
    for refused in (
        ("pull", HOSTILE),
        ("pull", f"hf:{HOSTILE}"),
        ("push", theirs, HOSTILE),
        ("models", "--remove", HOSTILE),
    ):
        shown(*refused, code=2)
    shown("models", "--remove", "mine0", "--yes")


def test_no_command_on_galleries_is_forgotten_here() -> None:
    own = Path(__file__).read_text(encoding="utf-8")
    others = {
        "demo",
        "mteb",
        "export",
        "unpack",
        "train",
    }  # own pictures, a package's names, our errors only
    commands = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    assert {name for name in commands - others if f'"{name}"' not in own} == set()


def test_errors_that_quote_a_hostile_name_are_one_line(
    shown: Shown, album: Path, tmp_path: Path, tiny_model: Path
) -> None:
    place = tmp_path / "g"
    options = ("-g", place, "--model", tiny_model)
    shown("index", album, *options)
    refused = (
        ("index", tmp_path / HOSTILE, *options),
        ("index", album, "-g", place, "--model", HOSTILE),
        ("search", HOSTILE, *options),
        ("search", "قطة", *options, "--where", HOSTILE),
        ("search", "قطة", *options, "--where", f"size={HOSTILE}"),
        ("search", "قطة", "-g", f"postgresql://{HOSTILE}/x"),
        ("search", "قطة", *options, "-k", HOSTILE),
        ("similar", HOSTILE, *options),
        ("remove", HOSTILE, *options),
        ("duplicates", *options, "--kind", HOSTILE),
        ("export-gallery", album, *options),
        ("evaluate", "--dataset", HOSTILE, "--model", tiny_model),
        ("classify", tmp_path / HOSTILE, "--labels", "قطة,كلب", "--model", tiny_model),
        ("serve", "--gallery", HOSTILE),
        (HOSTILE,),
        (f"--{HOSTILE}",),
        ("search", f"--{HOSTILE}"),
    )
    for arguments in refused:
        said = shown(*arguments, code=2).rstrip("\n")
        assert said.startswith("araclip: ") is ("\n" not in said) is ("Usage: " not in said)


def test_captions_and_names_of_a_model_are_shown_escaped(shown: Shown, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / f"model {HOSTILE.replace(ATTACKS['bytes'], '')}")
    named = write_tiny_model(tmp_path / "named", name=f"m{ATTACKS['colour']}{ATTACKS['reversed']}")
    assert "expected a text" in shown("search", "قطة", "-g", tmp_path / "g", "--model", named, code=2)
    sets = tmp_path / f"set {HOSTILE}"
    lines = []
    for number in range(4):
        name = pictures.solid(sets / f"{number} {ATTACKS['clipboard']}.png", (60 * number, 0, 0)).name
        about = {"image": name, "split": ("dev", "train")[number % 2], "caption_ar": f"أحمر {HOSTILE} {number}"}
        lines.append(json.dumps(about))
    (sets / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for form in ((), ("--json",)):
        models = ("--model", model, "--model", model)
        shown("evaluate", "--dataset", sets, *models, "--split", "dev", "--train-data", sets, *form)


def test_paths_for_a_program_are_the_exact_bytes(
    album: Path,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    options = ["-g", str(tmp_path / "g"), "--model", str(tiny_model)]
    for arguments in (["index", str(album)], ["search", "أحمر", "--paths"]):
        capsysbinary.readouterr()
        monkeypatch.setattr(sys, "argv", ["araclip", *arguments, *options])
        with pytest.raises(SystemExit):
            cli.main()
    printed = capsysbinary.readouterr().out
    for name, text in ATTACKS.items():
        assert any(os.fsencode(album / f"{copy}{name} {text}.png\n") in printed for copy in ("", "copy of "))
