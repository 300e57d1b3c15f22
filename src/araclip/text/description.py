"""Whether a text is a description, and not a name or a number. Pure."""

from araclip.text.script import is_arabic

DESCRIPTION = 3  # words of one script make a description


def describes(texts: str, *, in_arabic: bool) -> bool:
    """Whether captions and metadata of a picture describe it, in Arabic letters or in others."""
    return sum(is_arabic(word) == in_arabic and word[0].isalpha() for word in texts.split()) >= DESCRIPTION
