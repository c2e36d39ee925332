"""Counting."""


def words(text: str) -> int:
    """How many words stand in `text`."""
    return len(text.split())
