"""Check the packages as they would be released: what `make release-check` runs.

    python tests/release/check.py [--out dist] [--tests core | all | FILE …] [--workers 2]

1. Wheel and sdist are built twice, and are the same bytes; their contents and descriptions pass check-wheel-contents
   and twine; a release tag (GITHUB_REF_NAME, as v1.2.3) is the version.
2. The wheel is installed into an empty environment in a folder with spaces and Arabic letters; there pictures are
   indexed and searched with the hub switched off; uninstalling leaves nothing.
3. The core's tests pass from the unpacked sdist, with the versions of constraints.txt; with `--tests all` the whole
   suite, with the extras that `make test` installs; with names of files only those, for a look on a busy machine.
4. The licences of all that was installed are ones that fit; they are written to `licences.md`, an SBOM to `sbom.json`.
   So are those of what each of the extras would install, in `licences-extras.md`; exceptions have their reasons.

Tools: the extra `release`. Needs the package index. Exit code 1 and the reason where something is not so.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from licences import EXCEPTIONS, packages, strange, table, wanted

PROJECT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "httpx", "httpx2", "onnx", "watchfiles")
TEST_EXTRAS = "demo,dev,train,mini,peers"  # of `make test`


def main() -> int:
    """Run all checks; 1 and a message where one fails."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=PROJECT / "dist", help="where the packages are written (dist)")
    options.add_argument("--tests", nargs="+", default=["core"], help="of the sdist: core (default), all, or files")
    options.add_argument("--workers", type=int, default=2, help="processes that run the tests (2)")
    given = options.parse_args()
    out = given.out.resolve()
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # tests run programs as another user, who has to read what is installed there
        built = built_twice(out, Path(place))
        home = Path(place) / "مجلد فيه مسافات"
        python = environment(home)
        installed(python, built["whl"])
        licences(python, built["whl"], out)
        searched(python, home)
        uninstalled(python)
        tested(python, built["gz"], home, given.tests, given.workers)
    print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


def run(*command: str | Path, cwd: Path = PROJECT, shown: bool = False, **changes: str) -> str:
    """The output of a command, "" if it was `shown` as it came; SystemExit with all that it said where it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **changes}
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=not shown, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout or ''}\n{done.stderr or ''}")
    return done.stdout or ""


def must(condition: bool, otherwise: str) -> None:
    """End with a message unless something holds."""
    if not condition:
        raise SystemExit(otherwise)


def built_twice(out: Path, place: Path) -> dict[str, Path]:
    """The packages in `out`, by their last suffix, after both builds gave the same bytes."""
    when = run("git", "log", "-1", "--format=%ct").strip()
    shutil.rmtree(out, ignore_errors=True)
    hashes = []
    for target in (place / "again", out):
        run(sys.executable, "-m", "build", "--outdir", target, SOURCE_DATE_EPOCH=when)
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()})
    must(hashes[0] == hashes[1], f"two builds differ: {hashes}")
    built = {path.suffix[1:]: path for path in out.iterdir()}
    run(TOOLS / "check-wheel-contents", built["whl"])
    run(TOOLS / "twine", "check", "--strict", *built.values())
    version, tag = built["whl"].name.split("-")[1], os.environ.get("GITHUB_REF_NAME", "")
    must(not tag.startswith("v") or tag == f"v{version}", f"the tag is {tag}, the version {version}")
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in built.values())
    with zipfile.ZipFile(built["whl"]) as wheel:
        weights = sum(each.compress_size for each in wheel.infolist() if "/models/araclip-mini/" in each.filename)
    code = built["whl"].stat().st_size - weights
    print(f"built twice, equal: {sizes}; of the wheel {weights / 1e6:.1f} MB are weights, {code / 1e6:.1f} MB the rest")
    return built


def environment(home: Path) -> Path:
    """The Python of a new environment in `home`."""
    run(sys.executable, "-m", "venv", home / "بيئة")
    return home / "بيئة" / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip(python: Path, *arguments: str | Path) -> str:
    """The output of a pip command in an environment."""
    return run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def installed(python: Path, package: Path) -> None:
    """Install a package with all that it requires."""
    pip(python, "install", package)
    said = run(python, "-m", "pip", "check", "--disable-pip-version-check").strip()
    print(f"installed: {len(list(site_packages(python).glob('*.dist-info')))} packages; {said}")


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    return Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def searched(python: Path, home: Path) -> None:
    """Index and search in an empty folder, with an empty home, without the hub."""
    pictures = home / "صور"
    pictures.mkdir()
    paint = "import sys; from PIL import Image; Image.new('RGB', (64, 64), sys.argv[1]).save(sys.argv[2])"
    for name, colour in (("أحمر", "red"), ("أخضر", "green"), ("أزرق", "blue")):
        run(python, "-c", paint, colour, pictures / f"{name} 1.png")
    araclip, own = (
        python.with_name("araclip"),
        {"HOME": str(home), "ARACLIP_DATA": str(home / "بيانات"), "PYTHONUTF8": "1"},
    )
    run(araclip, "index", pictures, cwd=home, **own)
    found = json.loads(run(araclip, "search", "لون أحمر", "--json", cwd=home, **own))
    first = Path(found["results"][0]["path"]).name
    must(first == "أحمر 1.png", f"«لون أحمر» finds {first} first")
    print("indexed and searched in an empty home: right")


def uninstalled(python: Path) -> None:
    """Uninstall; nothing of the package may be left."""
    pip(python, "uninstall", "--yes", "araclip")
    left = [path.name for path in site_packages(python).glob("araclip*")] + [*map(str, python.parent.glob("araclip*"))]
    must(not left, f"left after uninstalling: {left}")
    print("uninstalled: nothing left")


def tested(python: Path, sdist: Path, home: Path, tests: list[str], workers: int) -> None:
    """Tests from the unpacked sdist, which is installed by its own build: `core`, `all`, or some files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(home, filter="data")
    source = home / sdist.name.removesuffix(".tar.gz")
    whole = tests == ["all"]
    needed = [f"{source}[{TEST_EXTRAS}]"] if whole else [source, *TEST_TOOLS]
    pip(python, "install", "--no-compile", "-c", source / "constraints.txt", *needed)
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    ways = {"core": ["tests/core_tests.py", *spread], "all": ["-m", "pytest", *spread]}
    command = ways.get(tests[0], ["-m", "pytest", *tests])
    print(f"tests of the sdist ({' '.join(tests)}):")
    run(python, *command, "-p", "no:cacheprovider", cwd=source, shown=True)


def licences(python: Path, wheel: Path, out: Path) -> None:
    """Write the licences and the SBOM of what is installed, and the licences of what the extras would install."""
    found = packages(python)
    wrong = strange(found, {})
    must(not wrong, f"licences to be looked at: {wrong}")
    (out / "licences.md").write_text(table(found), "utf-8")
    run(TOOLS / "cyclonedx-py", "environment", python, "--output-file", out / "sbom.json", "--output-reproducible")
    extras, failed = wanted(wheel)
    (out / "licences-extras.md").write_text(table(extras), "utf-8")
    wrong = [*failed, *strange(extras, EXCEPTIONS)]
    must(not wrong, f"extras to be looked at: {wrong}")
    print(f"licences of {len(found)} packages fit, with all extras of {len(extras)}; SBOM written")


if __name__ == "__main__":
    sys.exit(main())
