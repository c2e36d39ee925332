"""Initials."""


def initials(name: str) -> str:
    """The first letter of every word, in upper case."""
    return "".join(word[0].upper() for word in name.split())
