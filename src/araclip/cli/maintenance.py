"""The commands that maintain a gallery, from stats to export, and doctor, which examines an installation."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from araclip.cli.console import app, err, out, print_json, progress, say, stoppable, write_line
from araclip.cli.options import (
    KINDS,
    GalleryOption,
    JsonOption,
    ModelOption,
    complete_hidden_picture,
    existing_gallery,
    make_completer,
    open_chosen_gallery,
)
from araclip.core.display import counted, shown
from araclip.errors import InputError


@app.command()
def stats(gallery: GalleryOption = None, as_json: JsonOption = False, model: ModelOption = None) -> None:
    """Show statistics of a gallery: pictures, sizes, formats, dates, model."""
    with open_chosen_gallery(gallery, model, encodes=False) as found:
        numbers = found.stats()
    if as_json:
        print_json(asdict(numbers))
        return
    measured = "not measured yet" if numbers.recall is None else f"{numbers.recall:.3f} at 10, of the index"
    table = Table(show_header=False, title=escape(shown(numbers.folder)), title_justify="left")
    rows = {
        "model": f"{numbers.model}, {numbers.width} wide",
        "pictures": f"{numbers.pictures:,} in {counted(numbers.files, 'file')}, {numbers.stored:,} of them stored here",
        "bytes": f"{numbers.file_bytes:,} of pictures, {numbers.catalogue_bytes:,} of catalogue",
        "formats": ", ".join(f"{kind} {count:,}" for kind, count in numbers.formats.items()) or "–",
        "captured": " – ".join(numbers.captured_at or ()) or "–",
        "added": " – ".join(numbers.added or ()) or "–",
        "recall": measured if numbers.pictures else "–",
    }
    for name, text in rows.items():
        table.add_row(name, escape(shown(text)))
    out.print(table)


@app.command()
def verify(
    gallery: GalleryOption = None,
    contents: Annotated[bool, typer.Option("--contents", help="Read every file and compare its hash too.")] = False,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """Check a gallery and its files. Changes nothing; exit code 1 if there is a fault."""
    with open_chosen_gallery(gallery, model, checked=False, encodes=False) as found, progress("Verifying") as show:
        faults, total = found.verify(contents=contents, progress=show), len(found)
    if as_json:
        print_json({"pictures": total, "faults": [asdict(fault) for fault in faults]})
    else:
        for fault in faults:
            out.print(shown(str(fault)), soft_wrap=True, markup=False)
        out.print(f"{counted(total, 'picture')}, {counted(len(faults), 'fault')}")
    if faults:
        raise typer.Exit(1)


@app.command()
def repair(gallery: GalleryOption = None, as_json: JsonOption = False, model: ModelOption = None) -> None:
    """Fix the repairable faults of `araclip verify`; recover the readable rows of a damaged catalogue."""
    from araclip.gallery.open import repair_gallery

    location = existing_gallery(gallery)
    with stoppable("Run `araclip repair` again to resume."), progress("Encoding again") as show:
        actions = repair_gallery(location, model=model, progress=show)
    if as_json:
        print_json({"actions": actions})
        return
    for action in actions:
        out.print(shown(action), soft_wrap=True, markup=False)
    out.print("Repaired. Run `araclip index` on your folders to index what was lost." if actions else "Nothing to do.")


@app.command()
def duplicates(
    gallery: GalleryOption = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="exact, near (scaled, recompressed) or semantic (same scene); repeatable. By default exact and near.",
            autocompletion=make_completer(KINDS),
        ),
    ] = None,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """List groups of duplicate pictures. Nothing is deleted.

    The largest picture of each group comes first.
    """
    with open_chosen_gallery(gallery, model, encodes=False) as found:
        groups = found.duplicates(kinds or ("exact", "near"))
    spare = {kind: sum(group.spare_bytes for group in groups if group.kind == kind) for kind in ("exact", "near")}
    if as_json:
        totals = {f"{kind}_bytes": total for kind, total in spare.items()}
        print_json({"groups": [asdict(group) for group in groups], **totals})
        return
    for group in groups:
        what = "could be freed" if group.kind == "exact" else "in the smaller pictures"
        out.print(f"{group.kind}, {counted(group.spare_bytes, 'byte')} {what}", style="bold")
        for path in group.paths:
            remark = " (not compared: a file is away or cannot be read)" if path in group.uncompared else ""
            out.print(f"  {shown(path)}{remark}", soft_wrap=True, markup=False)
    total = f"{counted(len(groups), 'group')}, {counted(spare['exact'], 'byte')} of exact copies could be freed"
    near = f"; near copies, to be looked at first, take {counted(spare['near'], 'byte')}" if spare["near"] else ""
    out.print(total + near, soft_wrap=True)


@app.command()
def remove(
    paths: Annotated[list[str], typer.Argument(help="Pictures, folders, or picture:… of hits.")],
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """Remove pictures, or all pictures below a folder, from the gallery. Files stay on the disk."""
    with (
        stoppable("All paths are removed, or none; run the same command again to check."),
        open_chosen_gallery(gallery, model, encodes=False) as found,
    ):
        count = found.remove(paths)
    if as_json:
        print_json({"forgotten": count})
        return
    out.print(f"{counted(count, 'path')} removed. `araclip index` on their folder indexes them again.")


@app.command()
def hide(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures, folders, or picture:… of hits.", autocompletion=complete_hidden_picture),
    ] = None,
    gallery: GalleryOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Show hidden pictures again.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Print the paths of all hidden pictures, one a line.")] = False,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """Leave pictures, or all pictures below a folder, out of results and of the page. Files stay as they are.

    They stay indexed: --undo shows them again, and `araclip search --where hidden=yes` searches them.
    """
    if bool(paths) == listed or (listed and undo):
        raise InputError("name pictures or folders to hide, with --undo to show again, or --list alone.")
    with open_chosen_gallery(gallery, model, encodes=False) as found:
        if listed:
            hidden = found.hidden()
        else:
            changed = found.hide(paths or (), hidden=not undo)
    if as_json:
        print_json({"hidden": hidden} if listed else {"changed": changed})
    elif listed:
        for path in hidden:
            write_line(path)
    else:
        done = "shown again" if undo else "hidden"
        out.print(f"{counted(changed, 'picture')} {done}." if changed else f"Nothing changes: already {done}.")


@app.command()
def compact(gallery: GalleryOption = None, as_json: JsonOption = False, model: ModelOption = None) -> None:
    """Free the disk space of removed pictures."""
    with (
        stoppable("Nothing is lost; run the same command again."),
        open_chosen_gallery(gallery, model, encodes=False) as found,
    ):
        saved = found.compact()
    if as_json:
        print_json({"bytes": max(saved, 0)})
        return
    out.print(f"{max(saved, 0):,} bytes freed")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where to write; a new folder, or an earlier backup.")],
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a gallery, also while programs write it. The whole copy is checked.

    A folder is written over only if it holds an earlier backup of this gallery. `araclip restore` brings a backup back.
    """
    from araclip.gallery.open import backup_gallery

    with stoppable("An earlier backup is unchanged; run the same command again."):
        count = backup_gallery(existing_gallery(gallery), folder)
    if as_json:
        print_json({"folder": str(folder), "pictures": count})
        return
    say(f"{counted(count, 'picture')} copied to {folder}")


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="A folder that `araclip backup` has written.")],
    gallery: GalleryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a gallery is replaced.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a backup at the place of a gallery, and say what it replaces. The gallery there is kept beside it.

    The backup itself stays as it is.
    """
    from araclip.gallery.maintenance.backup import describe_replaced
    from araclip.gallery.open import restore_gallery

    target = existing_gallery(gallery)
    replaced = describe_replaced(backup, target) if isinstance(target, Path) else None
    if replaced is not None:
        say(f"{target} holds {replaced}.")
        try:
            agreed = yes or typer.confirm("Replace it with the backup? It is kept beside it.", err=True)
        except typer.Abort:  # Ctrl-C, or the input has ended
            agreed = False
        if not agreed:
            say("Nothing was changed.")
            raise typer.Exit(1)
    with stoppable("Nothing is replaced yet; run the same command again."):
        aside = restore_gallery(backup, target)
    if as_json:
        print_json({"gallery": str(target), "kept": None if aside is None else str(aside)})
        return
    say(f"{target} is as it was when it was backed up.")
    if aside is not None:
        say(f"The gallery that was there is kept at {aside}")


@app.command()
def export_gallery(
    folder: Annotated[Path, typer.Argument(help="Where to write; a new folder, or an earlier export.")],
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
    model: ModelOption = None,
) -> None:
    """Export a gallery for other programs: vectors.npy, pictures.jsonl, about.json."""
    with (
        stoppable("An earlier export is unchanged; run the same command again."),
        open_chosen_gallery(gallery, model, encodes=False) as found,
    ):
        count = found.export(folder)
    if as_json:
        print_json({"folder": str(folder), "pictures": count})
        return
    say(f"{counted(count, 'picture')} written to {folder}")


@app.command()
def doctor(gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Print the facts that a bug report needs: versions, devices, extras, models, the gallery's health, free space.

    No path, query or name of a picture is printed. Exit code 1 if something is broken.
    """
    from araclip.doctor import block, examine

    findings = examine(existing_gallery(gallery) if gallery is not None else None)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for line in block(findings).splitlines():
            write_line(line)
    if any(finding.mark == "fault" for finding in findings):
        err.print("Lines with ! are broken; what to do stands behind the arrow.")
        raise typer.Exit(1)
