"""Shell completion: filter keys, models, kinds of duplicates."""

from collections.abc import Callable, Iterable

from araclip.core.installed_models import installed

FILTERS = {
    "folder=": "this folder and all below it",
    "captured=": "2023, 2023-05..2023-07, 2023..",
    "added=": "when it was indexed, like captured",
    "size=": "100kB..2MB",
    "format=": "JPEG,PNG",
    "orientation=": "landscape, portrait or square",
    "month=": "months of any year: 6,7",
    "day=": "days of any month: 17",
    "camera=": "words of its name",
    "lens=": "words of its name",
    "place=": "words of its name",
    "near=": "24.7,46.7,10km",
    "name=": "words of the file's name, or *.jpg",
    "hidden=yes": "hidden pictures",
    "kind=": "picture or video",
    "scenes=all": "every scene of a video",
    "meta.": "KEY=VALUE",
}
KINDS = {
    "exact": "the same bytes",
    "near": "scaled, recompressed, another format",
    "semantic": "another picture of the same scene",
}


def completer(words: dict[str, str]) -> Callable[[str], Iterable[tuple[str, str]]]:
    """A completion function for `words`, a mapping from word to explanation."""

    def complete(incomplete: str) -> Iterable[tuple[str, str]]:
        return [(word, about) for word, about in words.items() if word.startswith(incomplete)]

    return complete


def models_to_pull(incomplete: str) -> Iterable[str]:
    """Names of the published models in the registry; the shell itself completes the paths of folders."""
    from araclip.peers.model_registry import BY_NAME

    return sorted(name for name in BY_NAME if name.startswith(incomplete))


def models_here(incomplete: str) -> Iterable[str]:
    """Names of the bundled and pulled models; the shell itself completes the paths of others."""
    return sorted(name for name in installed() if name.startswith(incomplete))
