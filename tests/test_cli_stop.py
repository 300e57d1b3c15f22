"""The command line when it is stopped, when a program reads it, and when Tab is pressed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pictures
from araclip import AraCLIP, Gallery
from crash.story import pictures_bytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT, runs bash")
PATIENCE = 60

# A real process whose encoder is slow enough to be stopped in the middle; everything else is as it is.
HEEDS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background job ignores it
SLOW = f"""
{HEEDS}
import sys, time
from araclip import cli
from araclip.encoder import AraCLIP
from araclip.gallery.ingest import intake, reembed; from araclip.gallery.gallery import Gallery
intake.COMMIT_EVERY = reembed.COMMIT_EVERY = 4
encode = AraCLIP.encode_pixels
def slow(self, pixels, **options):
    sys.stderr.write("encoding\\n"); sys.stderr.flush()
    time.sleep(0.05)
    return encode(self, pixels, **options)
AraCLIP.encode_pixels = slow
def waiting(*_, **__):
    sys.stderr.write("encoding\\n" * 9); sys.stderr.flush()
    time.sleep(30)
Gallery.compact = Gallery.export = waiting
sys.argv = ["araclip", *sys.argv[1:]]
cli.main()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i in range(60):
        pictures.written(tmp_path / "صور" / f"{i}.png", pictures_bytes(i))
    return tmp_path / "صور"


def stopped(*arguments: str, at: int = 4) -> tuple[int, str]:
    """Run a command and press Ctrl-C when it has begun to encode for the `at`-th time."""
    child = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stderr is not None
    said = b""
    while said.count(b"encoding") < at:
        more = os.read(child.stderr.fileno(), 4096)
        assert more, said.decode()
        said += more
    child.send_signal(signal.SIGINT)
    said += child.communicate(timeout=PATIENCE)[1]
    return child.returncode, said.decode()


def test_index_stopped_with_ctrl_c_says_how_to_resume_and_resumes(root: Path, tmp_path: Path, tiny_model: Path) -> None:
    options = (str(root), "-g", str(tmp_path / "g"), "--model", str(tiny_model))
    code, said = stopped("index", *options)
    assert code == 130
    assert "pictures are indexed; run the same command again to resume." in said
    model = AraCLIP.load(tiny_model, threads=1)
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        assert 0 < len(gallery) < 60
        assert gallery.verify() == []
        assert gallery.update([root]).pictures == 60


def test_reembed_stopped_with_ctrl_c_keeps_the_old_model_and_resumes(
    root: Path, tmp_path: Path, tiny_model: Path
) -> None:
    from tiny import write_tiny_model

    old, new = AraCLIP.load(tiny_model, threads=1), write_tiny_model(tmp_path / "new", width=12, seed=1, name="new")
    with Gallery.open(tmp_path / "g", model=old, create=True) as gallery:
        gallery.update([root])
        wanted = gallery.search("أحمر", 100)
    code, said = stopped("index", str(root), "-g", str(tmp_path / "g"), "--model", str(new), "--reembed")
    assert code == 130
    assert "60 pictures are indexed; run the same command again to resume." in said
    with Gallery.open(tmp_path / "g", model=old) as gallery:
        assert gallery.verify() == []
        assert gallery.search("أحمر", 100) == wanted


@pytest.mark.parametrize("command", ["repair", "compact", "export-gallery"])
def test_maintenance_stopped_with_ctrl_c_leaves_a_sound_gallery_and_says_what_to_do(
    command: str, root: Path, tmp_path: Path, tiny_model: Path
) -> None:
    model = AraCLIP.load(tiny_model, threads=1)
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        wanted = gallery.search("أحمر", 100)
        if command == "repair":
            with gallery._catalog.writing():
                gallery._catalog.change("UPDATE contents SET vector = zeroblob(16)")
    place = [str(tmp_path / "out")] if command == "export-gallery" else []
    code, said = stopped(command, *place, "-g", str(tmp_path / "g"), "--model", str(tiny_model))
    assert code == 130
    assert "Stopped. " in said
    assert "again" in said
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        gallery.repair()
        assert gallery.verify() == []
        assert {(hit.path, hit.score) for hit in gallery.search("أحمر", 100)} == {
            (hit.path, hit.score) for hit in wanted
        }


# ------------------------------------------------------------------ for programs


def test_every_command_on_galleries_answers_in_json(root: Path, tmp_path: Path, tiny_model: Path) -> None:
    place = tmp_path / "g"

    def answer(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-m", "araclip.cli", *arguments, "-g", str(place), "--model", str(tiny_model)]
        said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        assert said.stdout.count("\n") == 1
        found: dict[str, object] = json.loads(said.stdout)
        return found

    pictures.text_as_picture(root / "x.png")
    report = answer("index", str(root))
    assert (report["added"], report["pictures"], report["gallery"]) == (60, 60, str(place))
    assert "x.png" in str(report["skipped"])
    assert answer("repair") == {"actions": []}
    assert answer("remove", str(root / "1.png")) == {"forgotten": 1}
    assert answer("compact").keys() == {"bytes"}
    assert answer("export-gallery", str(tmp_path / "out"))["pictures"] == 59


def test_watch_answers_a_line_of_json_for_each_update(root: Path, tmp_path: Path, tiny_model: Path) -> None:
    watch = f"{HEEDS}; from araclip import cli; cli.main()"
    command = [sys.executable, "-c", watch, "watch", str(root), "-g", str(tmp_path / "g"), "--json"]
    child = subprocess.Popen([*command, "--model", str(tiny_model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["pictures"] == 60
    pictures.written(root / "new.png", pictures_bytes(1234))
    update = json.loads(child.stdout.readline())
    assert (update["added"], update["pictures"]) == (1, 61)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 130


# ------------------------------------------------------------------ Tab

ARACLIP = Path(sys.executable).parent / "araclip"
TAB = """
eval "$(araclip --show-completion)" || exit 1
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_araclip_completion araclip
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash") or not ARACLIP.is_file(), reason="needs bash and an installed araclip")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("sea",), {"search"}),
        (("search", "قطة", "--thr"), {"--threshold"}),
        (("search", "قطة", "--where", "ca"), {"captured="}),
        (("search", "قطة", "-w", ""), {"folder=", "captured=", "added=", "size=", "format=", "orientation=", "meta."}),
        (("duplicates", "--kind", ""), {"exact", "near", "semantic"}),
        (("index", ".", "--model", "arac"), {"araclip-mini"}),
    ],
)
def test_bash_completes_commands_options_and_values(typed: tuple[str, ...], offered: set[str]) -> None:
    environment = {**os.environ, "PATH": f"{ARACLIP.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", TAB, "bash", "araclip", *typed]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert set(said.stdout.split()) == offered
