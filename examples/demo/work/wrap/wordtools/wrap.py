"""Wrapping."""


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` characters; a longer word stands alone."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return lines + ([line] if line else [])
