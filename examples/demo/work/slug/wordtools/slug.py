"""Slugs."""

import re


def slugify(text: str) -> str:
    """`text` in lower case, its words joined by dashes."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))
