"""The command line when it is stopped, when a program reads it, and when Tab is pressed."""

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash.story import pictures_bytes

import pictures
from araclip import AraCLIP, Gallery, cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT, runs bash")
PATIENCE = 60

# A real process whose encoder is slow enough to be stopped in the middle; everything else is as it is.
# A shell's background job ignores Ctrl-C, and what `nohup` starts ignores SIGHUP.
HEEDS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)"
)
SLOW = f"""
{HEEDS}
import sys, time
from araclip import cli
from araclip.models.encoder import AraCLIP
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest import intake, reembed
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


def stopped(*arguments: str, at: int = 4, by: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Run a command and press Ctrl-C, or send another signal, when it has begun to encode for the `at`-th time."""
    child = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stderr is not None
    said = b""
    while said.count(b"encoding") < at:
        more = os.read(child.stderr.fileno(), 4096)
        assert more, said.decode()
        said += more
    child.send_signal(by)
    said += child.communicate(timeout=PATIENCE)[1]
    return child.returncode, said.decode()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_index_that_is_stopped_says_how_to_resume_and_resumes(
    by: signal.Signals, root: Path, tmp_path: Path, tiny_model: Path
) -> None:
    options = (str(root), "-g", str(tmp_path / "g"), "--model", str(tiny_model))
    code, said = stopped("index", *options, by=by)
    assert code == 128 + by
    assert "pictures are indexed; run the same command again to resume." in said
    model = AraCLIP.load(tiny_model, threads=1)
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        assert 0 < len(gallery) < 60
        assert gallery.verify() == []
        assert gallery.update([root]).pictures == 60


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_a_finished_command_ends_well_though_a_signal_comes(by: signal.Signals, tmp_path: Path) -> None:
    """Libraries take a third of a second to be unloaded; the process died of the signal, without a word."""
    slow = (
        f"{HEEDS}; import atexit, os, sys; from araclip import cli; sys.argv = ['araclip', 'stats', '-g', 'nowhere']\n"
    )
    slow += f"atexit.register(lambda: os.kill(os.getpid(), {int(by)}))\n"  # registered first, so it runs after ours
    done = subprocess.run(
        [sys.executable, "-c", slow + "cli.main()"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "araclip index" in done.stderr


def test_reembed_stopped_with_ctrl_c_keeps_old_model_and_resumes(root: Path, tmp_path: Path, tiny_model: Path) -> None:
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
def test_maintenance_stopped_by_ctrl_c_leaves_a_sound_gallery(
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


IN_AN_IMPORT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
chosen = sys.argv[1]
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == chosen:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
from araclip.cli import main
sys.argv[1:] = ["search", "x", "-g", "nowhere"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "numpy"])
def test_ctrl_c_while_libraries_are_imported_is_one_line(module: str) -> None:
    said = subprocess.run([sys.executable, "-c", IN_AN_IMPORT, module], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (130, "", "Stopped.\n")


@pytest.mark.parametrize(("key", "code", "last"), [(b"\x03", 130, "Stopped."), (b"\x04", 1, "Aborted.")])
def test_ctrl_c_at_a_question_ends_as_anywhere(tmp_path: Path, key: bytes, code: int, last: str) -> None:
    at_keyboard, terminal = os.openpty()
    begin = f"{HEEDS}; import os, sys; os.login_tty({terminal}); os.execv(sys.argv[1], sys.argv[1:])"
    araclip = [sys.executable, "-m", "araclip"]
    asking = subprocess.Popen([sys.executable, "-c", begin, *araclip], cwd=tmp_path, pass_fds=[terminal])
    os.close(terminal)
    said, until = b"", time.monotonic() + PATIENCE
    while last.encode() not in said and time.monotonic() < until:
        if select.select([at_keyboard], [], [], 0.2)[0]:
            said += os.read(at_keyboard, 65536)
        elif "1–4".encode() in said:  # once more, since Ctrl-C is lost right before a process begins to read
            os.write(at_keyboard, key)
    if last.encode() not in said:
        asking.kill()
    assert asking.wait(PATIENCE) == code, said
    os.close(at_keyboard)


# ------------------------------------------------------------------ two at once

BLOCKED = f"""
{HEEDS}
import sys
from araclip import cli
from araclip.models.encoder import AraCLIP
from araclip.gallery.gallery import Gallery
from araclip.gallery.ingest import intake, reembed
intake.COMMIT_EVERY = 4
encode = AraCLIP.encode_pixels
def told(self, pixels, **options):
    sys.stderr.write("encoding\\n"); sys.stderr.flush()
    sys.stdin.readline()
    return encode(self, pixels, **options)
AraCLIP.encode_pixels = told
sys.argv = ["araclip", *sys.argv[1:]]
cli.main()
"""


def test_a_second_index_ends_while_a_first_one_is_at_work(root: Path, tmp_path: Path, tiny_model: Path) -> None:
    for i in range(100, 106):
        pictures.written(tmp_path / "more" / f"{i}.png", pictures_bytes(i))
    options = ["-g", str(tmp_path / "g"), "--model", str(tiny_model)]
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED, "index", str(root), *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    ) as first:  # fmt: skip
        assert first.stdin is not None
        assert first.stderr is not None
        first.stdin.write(b"\n" * 3)
        seen = b""
        while seen.count(b"encoding") < 4:  # three groups are committed, and the fourth waits for us
            seen += (more := first.stderr.read(4096)) or b""
            assert more, seen
        command = [sys.executable, "-m", "araclip.cli", "index", str(tmp_path / "more"), *options, "--json"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert second.returncode == 0, second.stderr
        assert json.loads(second.stdout)["added"] == 6
        assert first.poll() is None
        said, _ = first.communicate(b"\n" * 100, timeout=PATIENCE)
        assert first.returncode == 0
    assert b"66 pictures indexed: 60 new or changed" in said


# ------------------------------------------------------------------ for programs


def test_every_command_on_galleries_answers_in_json(
    root: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "g"

    def answer(*arguments: str) -> dict[str, object]:
        options = ["-g", str(place), "--model", str(tiny_model), "--json"]
        monkeypatch.setattr(sys, "argv", ["araclip", *arguments, *options])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        said = capfd.readouterr().out
        assert said.count("\n") == 1
        found: dict[str, object] = json.loads(said)
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
answered() {
  COMP_WORDS=(araclip "$@")
  COMP_CWORD=$#
  _araclip_completion araclip
  printf '%s ' "${COMPREPLY[@]}"
  echo
}
"""
COMPLETED = {
    ("sea",): {"search"},
    ("search", "قطة", "--thr"): {"--threshold"},
    ("search", "قطة", "--where", "ca"): {"camera=", "captured="},
    ("search", "قطة", "-w", "o"): {"orientation="},
    ("search", "قطة", "-w", "ne"): {"near="},
    ("duplicates", "--kind", ""): {"exact", "near", "semantic"},
    ("index", ".", "--model", "arac"): {"araclip-mini"},
}


@pytest.mark.skipif(not shutil.which("bash") or not ARACLIP.is_file(), reason="needs bash and an installed araclip")
def test_bash_completes_commands_options_and_values() -> None:
    environment = {**os.environ, "PATH": f"{ARACLIP.parent}{os.pathsep}{os.environ['PATH']}"}
    script = TAB + "".join(f"answered {shlex.join(typed)}\n" for typed in COMPLETED)
    said = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    offered = [set(line.split()) for line in said.stdout.splitlines()]
    assert dict(zip(COMPLETED, offered, strict=True)) == COMPLETED
