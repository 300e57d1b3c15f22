"""The command that serves a gallery over HTTP."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from araclip.cli.console import ShownFormatter, app, err, out, say
from araclip.cli.options import GalleryOption, ModelOption
from araclip.core.display import shown
from araclip.core.processes import one_blas_thread


@app.command()
def serve(
    gallery: GalleryOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 8000 by default, 0: any.")] = None,
    index: Annotated[
        list[Path] | None, typer.Option("--index", help="Index this folder while serving; repeatable.")
    ] = None,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch", help="Follow changes in indexed folders; the default with the extra `watch`."
        ),
    ] = None,
    ocr: Annotated[
        bool | None,
        typer.Option("--ocr", help="In the background, read the text in pictures that seem to contain text."),
    ] = None,
    uploads: Annotated[
        bool | None, typer.Option("--uploads", help="Allow adding and removing pictures over HTTP.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A further host name of the server. Repeatable.")
    ] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="Trust the X-Forwarded headers of a proxy on this machine.")
    ] = None,
    open_predict: Annotated[
        bool | None, typer.Option("--open-predict", help="Answer Immich's POST /predict without a token.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for thumbnails; by default the gallery, if it is a folder.")
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option("--lexicon", help="Words of your own for queries, one a line, such as «سيارة; car; eg: عربية»."),
    ] = None,
    model: ModelOption = None,
) -> None:
    """Serve the page and the HTTP API of a gallery, on this machine only unless there are tokens.

    Tokens and limits come from the environment (ARACLIP_TOKEN_READ, …): docs/server.md.
    """
    one_blas_thread()
    from araclip.gallery.locations import location_of
    from araclip.server.run import serve as run
    from araclip.server.settings import Settings

    location = None if gallery is None else location_of(gallery)
    named = location or index or any(os.environ.get(f"ARACLIP_{name}") for name in ("GALLERY", "INDEX", "OFFER"))
    index, offer = (index, None) if named else _choose_folders(Path.cwd(), watch=watch)
    settings = Settings.read(
        gallery=location, host=host, port=port, index=index and tuple(index), offer=offer, watch=watch, ocr=ocr,
        uploads=uploads, allowed_hosts=allow_host and tuple(allow_host), behind_proxy=behind_proxy,
        open_predict=open_predict, cache=cache, model=model, lexicon=lexicon,
    )  # fmt: skip
    handler = logging.StreamHandler()
    handler.setFormatter(ShownFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("araclip").handlers.clear()  # one log only: remove the handler of `console.print_warnings`
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # INFO for araclip alone, because other libraries would log every request
    logging.getLogger("araclip").setLevel(logging.INFO)

    def ready(address: str) -> None:
        served = ", ".join(map(str, settings.folders)) or str(settings.gallery)
        out.print(f"Serving {escape(shown(served))} at [bold]{address}[/]", soft_wrap=True)
        if settings.follows and settings.index:
            err.print("New pictures in it appear by themselves; --no-watch turns that off.")
        err.print("Stop with Ctrl-C.")

    run(settings, ready=ready)


def _choose_folders(folder: Path, *, watch: bool | None) -> tuple[list[Path] | None, Path | None]:
    """Choose what to index if no gallery is named; return (folders to index now, folder that the web page offers).

    None stands for no folders to index now, and for no folder to offer.

    If the working folder is already indexed, it is updated and watched, unless `watch` is False, watchfiles is missing
    or this user may not write the gallery. If the working folder is not indexed but may have pictures, a user on a
    terminal is asked whether to index it. Without a terminal, nothing is indexed, as services expect: the gallery
    indexed last is served or, if there is none, the web page offers the working folder.

    Raises:
        GalleryNotFound: on a terminal, if there are neither pictures nor a gallery indexed last.
    """
    from importlib.util import find_spec

    from araclip.errors import GalleryNotFound
    from araclip.gallery.catalog.connection import may_write
    from araclip.gallery.catalog.schema import FILE_NAME
    from araclip.gallery.locations import gallery_of, indexed_above, is_unindexed, latest_gallery, may_have_pictures

    if not is_unindexed(folder):
        can_watch = watch if watch is not None else find_spec("watchfiles") is not None
        above = indexed_above(folder) if can_watch else None
        return [above] if above and may_write(gallery_of(above) / FILE_NAME) else None, None
    latest = latest_gallery()
    if not (sys.stdin.isatty() and err.is_terminal):
        return None, None if latest else folder
    if may_have_pictures(folder):
        say(f"The pictures in {folder} were never indexed.")
        if typer.confirm("Index them now? The page shows them as they come.", default=True, err=True):
            return [folder], None
    elif not latest:
        raise GalleryNotFound(
            f"there are no pictures in {folder}, and no other folder is indexed yet. Go to a folder with pictures, or "
            "name one: `araclip serve --index FOLDER`."
        )
    return None, None
