"""Mutation testing with Cosmic Ray: which changes of the metrics and of the gallery's store does no test notice?

    make mutation                 # 100 changes of each part, drawn by a seed; SAMPLE=1000 for a night

Works on a copy of the last commit in build/mutation. Prints the share of changes that a test noticed, and each change
that none noticed. docs/testing.md has the figures.
"""

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = {
    "metrics": (("evaluation/scores.py",), ("evaluation/test_metrics.py",)),
    "store": (
        ("gallery/catalog/catalog.py", "gallery/catalog/store.py", "gallery/catalog/connection.py"),
        (  # those that notice most come first
            "gallery/test_gallery.py",
            "gallery/test_gallery_incremental.py",
            "gallery/test_gallery_upkeep.py",
            "gallery/test_gallery_contract.py",
            "gallery/test_gallery_pictures.py",
            "gallery/test_gallery_filters.py",
            "gallery/test_gallery_schema.py",
            "pictures/test_photo_metadata.py",
            "gallery/test_videos.py",
            "gallery/test_reembed.py",
            "gallery/test_gallery_checksums.py",
            "gallery/test_gallery_repair.py",
            "gallery/test_gallery_damage.py",
        ),
    ),
}
TIMEOUT = 400.0  # seconds of the tests, after which a change counts as noticed


def pytest(tests: tuple[str, ...]) -> list[str]:
    """The command that runs a part's tests."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        f"--basetemp={Path(tempfile.gettempdir()) / 'araclip-mutation'}",  # other runs change the usual folder
        *(f"tests/{test}" for test in tests),
    ]


def configuration(modules: tuple[str, ...], tests: tuple[str, ...]) -> str:
    """Cosmic Ray's file for one part."""
    sources = ", ".join(f'"src/araclip/{module}"' for module in modules)
    command = " ".join(pytest(tests))
    ours = f"module-path = [{sources}]\ntimeout = {TIMEOUT}\nexcluded-modules = []"
    return f'[cosmic-ray]\n{ours}\ntest-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'


def sample(session: Path, size: int, seed: int) -> tuple[int, int]:
    """Keep `size` of a session's changes, drawn by the seed; how many are kept, and how many there were."""
    with sqlite3.connect(session) as database:
        order = "module_path, operator_name, operator_args, occurrence"
        jobs = [row[0] for row in database.execute(f"SELECT job_id FROM mutation_specs ORDER BY {order}")]
        kept = set(random.Random(seed).sample(jobs, min(size, len(jobs))))
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job,) for job in jobs if job not in kept])
    return len(kept), len(jobs)


def main() -> None:
    """Copy the last commit, change it, test it, and print what no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[*PARTS], help=", ".join(PARTS))
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    copy = ROOT / "build" / "mutation"
    subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
    if copy.exists():
        shutil.rmtree(copy)
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(copy), "HEAD"], cwd=ROOT, check=True)
    path = os.pathsep.join([str(copy / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def ray(*arguments: str) -> None:
        command = [sys.executable, "-c", "from cosmic_ray.cli import main; main()", *arguments]
        subprocess.run(command, cwd=copy, env=environment, check=True)

    for part in args.parts:
        config, session = copy / f"{part}.toml", copy / f"{part}.sqlite"
        config.write_text(configuration(*PARTS[part]), encoding="utf-8")
        ray("init", config.name, session.name)
        kept, of = sample(session, args.sample, args.seed)
        subprocess.run(pytest(PARTS[part][1]), cwd=copy, env=environment, check=True, timeout=TIMEOUT)  # unchanged
        ray("exec", config.name, session.name)
        with sqlite3.connect(session) as database:
            outcomes = "SELECT test_outcome, diff FROM work_results WHERE worker_outcome = 'NORMAL'"
            results = database.execute(outcomes).fetchall()
        survived = [diff for outcome, diff in results if outcome == "SURVIVED"]
        print("\n".join(survived))
        print(
            f"{part}: {len(results) - len(survived)} of {len(results)} changes noticed ({kept} drawn of {of})",
            flush=True,
        )
    subprocess.run(["git", "worktree", "remove", "--force", str(copy)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
