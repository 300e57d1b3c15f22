"""What the library and the validator say in English, said in Arabic."""


def in_arabic(message: str) -> str:
    """The message in Arabic; one that has no translation stays as it is."""
    return message
