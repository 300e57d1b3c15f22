"""Errors, formats and old names: each has its paragraph, and the paragraph is true of the code."""

import json
import re
import warnings
from pathlib import Path

import pytest
from release.licences import fits, strange

import araclip
from araclip import errors
from araclip.core.installed_models import bundled
from araclip.errors import AraCLIPError
from araclip.gallery.catalog.schema import SCHEMA
from araclip.models.folder import FORMAT as MODEL_FORMAT

GENERAL = {
    "Arabic",
    "English",
    "Emoji",
    "For",
    "Of",
    "Without",
    "Starting",
    "The",
    "Parallel",
    "Four",
    "CC-BY-4",
    "CC-BY-SA-4",
}  # no names
DOCS = Path(__file__).parents[2] / "docs"


def classes(root: type[AraCLIPError] = AraCLIPError) -> dict[str, type[AraCLIPError]]:
    """Every error class of ours by its name."""
    found = {root.__name__: root}
    for below in root.__subclasses__():
        found |= classes(below)
    return {name: kind for name, kind in found.items() if kind.__module__ == errors.__name__}


def section(page: str, title: str) -> str:
    """The text of a page below a heading, up to the next one as high."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.split(r"\n## ", text.split(f"\n## {title}\n")[1])[0]


def formats(title: str) -> list[int]:
    """The numbers in the table of a section of the page about upgrades."""
    return [int(number) for number in re.findall(r"^\| (\d+) \| \S", section("upgrading.md", title), re.MULTILINE)]


def test_each_error_class_has_a_paragraph_and_a_place() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\w+)\n\n\S", text, re.MULTILINE)
    assert sorted(headings) == sorted(classes())
    for name, kind in classes().items():
        assert kind.page == f"docs/errors.md#{name.lower()}"
        assert re.search(rf"\b{name} ", errors.__doc__ or "") or kind is AraCLIPError, name


def test_notes_on_upgrades_have_every_format_that_code_has() -> None:
    assert formats("Galleries") == [SCHEMA]
    assert formats("Model folders") == [MODEL_FORMAT]


def test_the_notes_on_upgrades_have_the_format_of_shards() -> None:
    pytest.importorskip("pyarrow")
    from araclip.bulk.shard_file import FORMAT

    assert formats("Shards") == [int(FORMAT)]


def test_the_notes_on_upgrades_have_the_formats_of_training() -> None:
    pytest.importorskip("torch")
    from araclip.training.loop import checkpoint
    from araclip.training.teachers import teacher

    assert formats("Checkpoints") == list(range(1, checkpoint.FORMAT + 1))
    assert formats("Teacher caches") == list(range(1, teacher.FORMAT + 1))


def test_the_changelog_keeps_its_form() -> None:
    text = (DOCS.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "Unreleased"
    assert all(re.match(r"\d+\.\d+\.\d+ – ", each) for each in releases[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Upgrading"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert "https://keepachangelog.com" in text.partition("## Unreleased")[0]


def test_the_citation_names_this_version() -> None:
    citation = (DOCS.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {araclip.__version__}\n" in citation


@pytest.mark.parametrize(
    ("licence", "fitting"),
    [
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("MIT AND (MPL-2.0 OR LGPL-3.0)", True),
        ("BSD License; GNU General Public License (GPL)", False),
        ("CC-BY-SA-4.0", False),
        ("UNKNOWN", False),
        ("MIT License\n\nCopyright (c) 2022, … whole text", True),
    ],
)
def test_a_licence_fits_when_each_of_its_parts_does(licence: str, fitting: bool) -> None:
    assert fits(licence) is fitting


def test_exceptions_of_licences_are_for_packages_or_families() -> None:
    found = [{"Name": name, "Version": "1", "License": "GPL"} for name in ("Pi_Heif", "nvidia-nccl-cu13", "other")]
    assert strange(found, {"pi-heif": "replaceable", "nvidia-*": "of PyTorch"}) == ["other 1: GPL"]


def test_the_notice_names_every_source_of_the_bundled_weights() -> None:
    notice = (DOCS.parent / "NOTICE").read_text(encoding="utf-8")
    for folder in bundled().values():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for line in config["training_data"]:
            names = set(re.findall(r"[A-Z][\w&-]+(?: \d+\.\d)?", re.sub(r"[A-Z]\w+ (split|English|Arabic)", "", line)))
            missing = {name for name in names - GENERAL if name not in notice}
            assert not missing, f"{folder.name}: {missing}"


def test_an_old_name_works_and_warns_whoever_uses_it() -> None:
    with pytest.warns(DeprecationWarning, match=r"AraclipError is now araclip\.AraCLIPError; AraCLIP 0\.3 ") as seen:
        assert araclip.AraclipError is AraCLIPError  # type: ignore[attr-defined,unused-ignore]
    assert seen[0].filename == __file__
    assert "AraclipError" not in dir(araclip)


def test_no_old_name_outlives_the_release_that_drops_it() -> None:
    now = tuple(map(int, araclip.__version__.split(".")[:2]))
    for old, (_, until) in araclip._RENAMED.items():
        assert now < tuple(map(int, until.split("."))), f"{old} was to go with {until}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert araclip.AraCLIPError is AraCLIPError
