"""Which system this is. Functions, not constants: tests replace them, and type checkers read `sys.platform` only."""

import sys


def windows() -> bool:
    """Whether this is Windows."""
    return sys.platform == "win32"


def linux() -> bool:
    """Whether this is Linux."""
    return sys.platform.startswith("linux")


def folds_names() -> bool:
    """Whether «A» and «a», or both spellings of «أ» (U+0623; U+0627 U+0654), are usually one file name here."""
    return sys.platform in ("darwin", "win32")
