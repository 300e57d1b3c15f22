"""The command that examines an installation: doctor."""

from dataclasses import asdict

import typer

from araclip.cli.console import app, as_json_text, err, write_line
from araclip.cli.galleries import GalleryOption, JsonOption


@app.command()
def doctor(gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Print what a report of a fault needs: versions, devices, extras, models, the gallery's health, free space.

    No path, no query and no name of a picture is in it. Exit code 1 if something is broken.
    """
    from araclip.doctor import block, examine
    from araclip.gallery.locations import location_of

    findings = examine(location_of(gallery) if gallery is not None else None)
    if as_json:
        write_line(as_json_text({"findings": [asdict(finding) for finding in findings]}))
    else:
        for line in block(findings).splitlines():
            write_line(line)
    if any(finding.mark == "fault" for finding in findings):
        err.print("Lines with ! are broken; what to do stands behind the arrow.")
        raise typer.Exit(1)
