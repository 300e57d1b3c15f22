"""What differs between systems: of each part both branches, the one that this machine does not take by force."""

import ast
import ctypes
import os
import re
import signal
import socket
import struct
import sys
import types
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import araclip
from araclip import AraCLIP, Gallery
from araclip.core import atomic, files, libraries, limits, processes, system
from araclip.errors import GalleryLocked
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.ingest.scan import Walk, checked_root
from araclip.gallery.locations import gallery_of
from araclip.pictures.video.formats import can_read
from pictures import GREEN, RED, solid

SOURCE = Path(araclip.__file__).parent
ONLY_SOME_HAVE = {"fcntl", "msvcrt", "resource", "signal", "winreg", "pwd", "grp", "termios"}  # modules
ELSEWHERE = {  # what may stand outside the room, and why
    "cli/stopping.py: import signal",  # the handlers themselves; which signals there are, `core.processes` tells
    "server/run.py: import signal",
}
ASKED = {("sys", "platform"), ("os", "name"), ("platform", "system")}
TOLD = {"doctor.py: platform.system"}  # it reports the system, and does nothing by it


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Take this machine for another system: windows, darwin or linux."""

    def become(name: str) -> None:
        monkeypatch.setattr(system, "windows", lambda: name == "windows")
        monkeypatch.setattr(system, "linux", lambda: name == "linux")
        monkeypatch.setattr(system, "similar_names_are_one", lambda: name != "linux")

    return become


@pytest.fixture
def msvcrt(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int, int]]:
    """Windows' module that locks bytes, as far as it is used: the bytes that are locked."""
    held = set[tuple[int, int, int]]()

    def locking(descriptor: int, mode: int, count: int) -> None:
        about = os.fstat(descriptor)
        place = (about.st_dev, about.st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        assert count == 1
        if mode == fake.LK_UNLCK:
            held.remove(place)
        elif place in held:
            raise PermissionError(13, "Permission denied")
        else:
            held.add(place)

    fake = types.ModuleType("msvcrt")
    fake.LK_NBLCK, fake.LK_UNLCK, fake.locking = 2, 0, locking  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    return held


# ------------------------------------------------------------------ the room


def asked_of_the_system(path: Path) -> list[str]:
    """Where a module imports what only some systems have, or asks which system this is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [f"import {each.name}" for each in node.names if each.name in ONLY_SOME_HAVE]
        elif isinstance(node, ast.ImportFrom) and node.module in ONLY_SOME_HAVE:
            found.append(f"import {node.module}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in ASKED:
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr"):
            first = node.args[0]
            if isinstance(first, ast.Name) and first.id in ("os", "signal", "socket"):
                found.append(f"{node.func.id}({first.id})")
        elif isinstance(node, ast.Constant) and str(node.value).startswith(("/proc/", "/sys/")):
            found.append(str(node.value))
    return [f"{path.relative_to(SOURCE).as_posix()}: {each}" for each in found]


def test_only_the_core_asks_which_system_this_is() -> None:
    outside = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "core"]
    assert {each for path in outside for each in asked_of_the_system(path)} == ELSEWHERE | TOLD
    assert len([each for path in (SOURCE / "core").glob("*.py") for each in asked_of_the_system(path)]) > 12


# ------------------------------------------------------------------ files


def test_on_windows_a_byte_is_locked_against_a_second_writer(
    tmp_path: Path, on: Callable[[str], None], msvcrt: set[tuple[int, int, int]]
) -> None:
    on("windows")
    with atomic.single_writer(tmp_path / "lock"):
        assert [at for _, _, at in msvcrt] == [1 << 30]
        with pytest.raises(GalleryLocked, match=f"process {os.getpid()} on"), atomic.single_writer(tmp_path / "lock"):
            pass
    assert not msvcrt


def test_a_file_held_by_windows_is_replaced_once_it_is_free(
    tmp_path: Path, on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [PermissionError(13, "Access is denied")] * 3
    rename = Path.replace

    def refuse(source: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", refuse)
    on("windows")
    atomic.write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    for name, patience in (("linux", files.PATIENCE_S), ("windows", 0.0)):
        refusals[:] = [PermissionError(13, "Access is denied")]
        monkeypatch.setattr(files, "PATIENCE_S", patience)
        on(name)
        with pytest.raises(PermissionError):
            atomic.write_text(tmp_path / "file", "newer")
        assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_folders_are_flushed_except_on_windows(
    tmp_path: Path, on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    for name, times in (("windows", 0), ("linux", 1)):
        on(name)
        files.flush_folder(tmp_path)
        assert len(flushed) == times


def test_bytes_are_flushed_with_fsync_without_fdatasync(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.delattr(os, "fdatasync", raising=False)  # as on macOS and Windows
    files.flush_content(3)
    assert flushed == [3]


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("C:\\Users\\سارة\\1.jpg", None),
        ("C:\\" + "د" * 300, "\\\\?\\C:\\" + "د" * 300),
        ("C:/a/../" + "d" * 300, "\\\\?\\C:\\" + "d" * 300),  # nothing resolves .. and / in such a path
        ("\\\\server\\share\\" + "d" * 300, "\\\\?\\UNC\\server\\share\\" + "d" * 300),
        ("\\\\?\\C:\\" + "d" * 300, None),
        ("d" * 300, None),  # below the working folder
    ],
)
def test_a_path_above_260_letters_has_the_long_prefix(on: Callable[[str], None], path: str, opened: str | None) -> None:
    on("windows")
    assert files.openable(path) == (opened or path)
    on("darwin")
    assert files.openable(path) == path


def test_walk_gives_paths_without_prefix_they_were_opened_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "صور"
    solid(folder / "كلب" / "1.png")
    (tmp_path / "long").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.setattr("araclip.gallery.ingest.scan.openable", lambda path: path.replace("صور", "long/صور", 1))
    assert [file.path for file in Walk().pictures(folder)] == [str(folder / "كلب" / "1.png")]


DECOMPOSED, COMPOSED = (unicodedata.normalize(form, "أحمد والقطة") for form in ("NFD", "NFC"))


@pytest.mark.parametrize(
    ("name", "stored", "typed"),
    [
        ("darwin", DECOMPOSED, COMPOSED),
        ("linux", DECOMPOSED, COMPOSED),  # a disk that comes from a Mac
        ("linux", COMPOSED, DECOMPOSED),
        ("darwin", "Photos", "photos"),
        ("windows", "Photos", "PHOTOS"),
    ],
)
def test_a_folder_has_one_path_however_its_name_is_typed(
    tmp_path: Path, on: Callable[[str], None], name: str, stored: str, typed: str
) -> None:
    on(name)
    solid(tmp_path / stored / "1.png")
    named = tmp_path / typed
    assert files.as_stored(named) == tmp_path / stored
    assert checked_root(named) == tmp_path / stored
    assert gallery_of(named) == gallery_of(tmp_path / stored)
    ends = Filters(folder=named).condition().file_values
    assert ends == Filters(folder=tmp_path / stored).condition().file_values


def test_a_picture_is_named_however_its_name_is_typed(tmp_path: Path, tiny_model: Path) -> None:
    solid(tmp_path / "p" / DECOMPOSED / f"{DECOMPOSED}.png")
    typed = tmp_path / "p" / COMPOSED / f"{COMPOSED}.png"
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as gallery:
        gallery.update([tmp_path / "p"])
        assert gallery.similar(typed) == []
        assert gallery.hide([typed]) == gallery.hide([typed.parent], hidden=False) == 1
        assert gallery.remove([typed]) == 1


def test_what_lies_below_folder_is_found_by_separator_of_system(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trip\\1.png", "trip\\2.png", "trip 2.png", "trip0.png"):  # paths as Windows has them
        solid(tmp_path / "p" / name, RED if "1" in name else GREEN)
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as gallery:
        gallery.update([tmp_path / "p"])
        monkeypatch.setattr(os, "sep", "\\")
        assert gallery.remove([tmp_path / "p" / "trip"]) == 2


def test_names_that_differ_only_so_are_two_on_some_disks(tmp_path: Path, on: Callable[[str], None]) -> None:
    both = [tmp_path / DECOMPOSED, tmp_path / COMPOSED]
    for folder in both:
        folder.mkdir()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this disk does not tell them apart")
    for name in ("linux", "darwin"):
        on(name)
        assert [files.as_stored(folder) for folder in both] == both
    on("linux")
    gone = tmp_path / "Photos" / "2024"
    assert files.as_stored(gone) == gone


# ------------------------------------------------------------------ processes


class Kernel32:
    """Windows' library as far as jobs use it: which processes are in a job, and the limits it was given."""

    def __init__(self, *, refuses: str = "") -> None:
        self.inside: list[tuple[object, object]] = []
        self.set: list[dict[str, object]] = []
        self.refuses = refuses
        self.CreateJobObjectW = self._call("CreateJobObjectW", lambda security, name: 77)
        self.GetCurrentProcess = self._call("GetCurrentProcess", lambda: -1)
        self.AssignProcessToJobObject = self._call(
            "AssignProcessToJobObject", lambda job, process: self.inside.append((job, process)) or 1
        )
        self.SetInformationJobObject = self._call("SetInformationJobObject", self._limit)

    def _call(self, name: str, does: Callable[..., int]) -> Callable[..., int]:
        def call(*given: object) -> int:
            return 0 if name == self.refuses else does(*given)

        return call

    def _limit(self, job: object, kind: int, place: object, size: ctypes.c_uint32) -> int:
        assert (job, kind, size.value) == (77, 9, 144)  # the size on 64 bits, by <winnt.h>
        data = ctypes.string_at(place, 144)  # type: ignore[arg-type]
        time, flags, processes = *struct.unpack_from("<q8xI", data), struct.unpack_from("<I", data, 40)[0]
        self.set.append(
            {"flags": flags, "s": time / 1e7, "processes": processes, "memory": struct.unpack_from("<Q", data, 112)[0]}
        )
        return 1


@pytest.fixture
def kernel32(on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel32]:
    on("windows")
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it fails, as on Windows
    monkeypatch.setattr(limits, "lower_priority", lambda niceness: None)
    library = Kernel32()
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: library, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    monkeypatch.setattr(ctypes, "WinError", lambda code: PermissionError(13, "Access is denied"), raising=False)
    limits.own_job.cache_clear()
    yield library
    limits.own_job.cache_clear()


def test_on_windows_a_job_limits_memory_processes_and_time(kernel32: Kernel32) -> None:
    limits.restrict(300_000_000)
    assert kernel32.inside == [(77, -1)]
    assert kernel32.set[-1] == {"flags": 0x400 | 0x100 | 0x8, "s": 0, "processes": 1, "memory": 300_000_000}
    used = os.times().user
    limits.allow_processor(2.5)
    limits.allow_processor(4)
    assert [round(each["s"] - used) for each in kernel32.set[1:]] == [2, 4]  # type: ignore[operator]
    assert all(each["flags"] == 0x400 | 0x100 | 0x8 | 0x2 and each["processes"] == 1 for each in kernel32.set[1:])
    limits.set_limits({"RLIMIT_DATA": 5_000_000, "RLIMIT_CPU": 9, "RLIMIT_AS": 1})
    assert (kernel32.set[-1]["memory"], round(kernel32.set[-1]["s"] - used)) == (5_000_000, 9)  # type: ignore[operator]
    assert len(kernel32.inside) == 1  # one job, whose limits change


def test_on_windows_what_needs_limits_fails_without_a_job(kernel32: Kernel32) -> None:
    for call in ("CreateJobObjectW", "AssignProcessToJobObject", "SetInformationJobObject"):
        limits.own_job.cache_clear()
        kernel32.refuses = call
        with pytest.raises(PermissionError):
            limits.restrict(300_000_000)
        limits.set_limits({"RLIMIT_DATA": 1})  # as good as the system can
    assert kernel32.set == []


def test_on_windows_another_program_ends_with_its_job(
    kernel32: Kernel32, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = [sys.executable, "-S", "-c", "import sys; print(sys.stdin.read()[::-1]); sys.exit(3)"]
    command = limits.with_memory_limit(program, 2_000)
    assert command[:4] == [sys.executable, "-P", "-m", "araclip.core.limits"]
    (tmp_path / "in").write_text("abc")
    with (tmp_path / "in").open() as given, (tmp_path / "out").open("w") as printed:
        for name, stream in (("argv", command[3:]), ("stdin", given), ("stdout", printed)):
            monkeypatch.setattr(sys, name, stream)
        assert limits.main() == 3
        monkeypatch.setattr(sys, "argv", ["limits", "2000", str(tmp_path / "gone.exe")])
        assert limits.main() == 127  # as a shell says that a program is not there
    assert (tmp_path / "out").read_text() == "cba\n"
    assert kernel32.set[0] == {"flags": 0x400 | 0x2000 | 0x100, "s": 0, "processes": 0, "memory": 2_048_000}


def test_on_windows_videos_are_not_read(on: Callable[[str], None]) -> None:
    on("windows")
    can_read.cache_clear()
    try:
        assert not can_read()
    finally:
        can_read.cache_clear()


def test_a_limit_that_the_system_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("resource")
    kept: list[tuple[str, tuple[int, int]]] = []
    fake.RLIMIT_CPU, fake.setrlimit = "cpu", lambda which, ends: kept.append((which, ends))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "resource", fake)
    limits.set_limits({"RLIMIT_DATA": 5, "RLIMIT_CPU": 7})  # macOS has no RLIMIT_DATA that works
    assert kept == [("cpu", (7, 7))]


def test_a_process_works_where_system_calls_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.delattr(os, "nice", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processes, "CGROUP", Path("/nowhere"))
    monkeypatch.setattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 16384, raising=False)
    monkeypatch.setattr(psutil.Process, "nice", lambda self, value=None: asked.append(value))
    processes.lower_priority(10)
    assert asked == [16384]
    assert processes.usable_cores() == os.cpu_count()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 16),
        ({"cpu.max": "6400000 100000\n"}, 16),
        ({"cpu.max": "nonsense"}, 16),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ({}, 16),
    ],
)
def test_a_containers_quota_bounds_the_usable_cores(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(processes, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert processes.usable_cores() == cores


def test_how_a_process_ended_is_a_signal_or_a_number() -> None:
    assert processes.status_name(-signal.SIGTERM) == "SIGTERM"
    assert processes.status_name(3221225477) == "3221225477"  # Windows: access violation


def test_signals_that_stop_command_are_those_that_system_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "HANGUP", None)
    monkeypatch.setattr(processes, "BREAK", 21)
    assert processes.stop_signals() == (signal.SIGINT, signal.SIGTERM, 21)


# ------------------------------------------------------------------ what the system offers


def test_free_memory_is_that_of_machine_or_of_smaller_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "_CGROUP", tmp_path)
    monkeypatch.setattr(system, "_GROUP_OF_PROCESS", tmp_path / "cgroup")
    assert 10_000_000 < system.free_memory() < 1 << 45  # no such file: macOS, Windows
    for name, text in {
        "cgroup": "0::/\n",
        "memory.max": "300000000",
        "memory.current": "250000000",
        "memory.stat": "inactive_file 50000000",
    }.items():
        (tmp_path / name).write_text(text)
    assert system.free_memory() == 100_000_000
    (tmp_path / "memory.max").write_text("max")
    assert system.free_memory() > 100_000_000


def test_elsewhere_than_on_glibc_its_allocator_is_left_alone(on: Callable[[str], None]) -> None:
    on("darwin")
    libraries.keep_freed_memory.cache_clear()
    libraries._malloc_trim.cache_clear()
    try:
        assert not libraries.use_one_malloc_arena()
        assert not libraries.keep_freed_memory()
        libraries.trim_heap()
    finally:
        libraries.keep_freed_memory.cache_clear()
        libraries._malloc_trim.cache_clear()


def test_nvidias_driver_is_looked_for_by_its_name(on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(libraries.ctypes, "CDLL", asked.append)
    for name in ("windows", "linux"):
        on(name)
        libraries.nvidia_driver()
    assert asked == ["nvcuda.dll", "libcuda.so.1"]


def test_a_socket_without_the_setting_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
        monkeypatch.delattr(socket, option, raising=False)
    with socket.socket() as line:
        system.drop_unresponsive(line, 5)
        system.notice_end(line, idle=30, between=10, times=3)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# ------------------------------------------------------------------ the commands


@pytest.mark.parametrize("page", ["README.md", "README.ar.md"])
def test_both_commands_for_windows_have_makes_extras(page: str) -> None:
    root = Path(__file__).parents[2]
    text, make = (root / page).read_text(encoding="utf-8"), (root / "Makefile").read_text(encoding="utf-8")
    assert "py -m venv .venv" in text
    for target, command in (("$(VENV)/.demo", "araclip demo"), ("$(VENV)/.test", "python -m pytest")):
        extras = re.search(rf"^{re.escape(target)}:.*?EDITABLE.*?-e '(\.\[[^']+)'", make, re.DOTALL | re.MULTILINE)
        assert extras
        pip = f".venv\\Scripts\\pip install -c constraints.txt -e {extras[1]}"
        assert f"{pip} && .venv\\Scripts\\{command}" in text
