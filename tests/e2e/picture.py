"""`python -m tests.e2e.picture > examples/demo.svg`: the README's picture, made from what `gt demo` really prints."""

from __future__ import annotations

import html
import os
import pty
import re
import subprocess
import sys

COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "36": "#76e3ea", "2": "#8b949e"}
LINE, CHAR, PAD, WIDTH = 17, 7.25, 16, 132
_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


def record(argv: list[str]) -> list[str]:
    """What a command prints to a terminal of 132 columns, with its colours."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    process = subprocess.Popen(argv, stdout=follower, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=env)
    os.close(follower)
    chunks = []
    try:
        while chunk := os.read(leader, 65536):
            chunks.append(chunk)
    except OSError:
        pass  # Linux says EIO when the last writer is gone
    finally:
        os.close(leader)
    if process.wait():
        raise SystemExit(f"{argv} failed")
    return b"".join(chunks).decode().replace("\r", "").splitlines()


def spans(line: str) -> str:
    """One line as tspans."""
    out, style = [], ""
    for number, part in enumerate(_ESCAPE.split(line)):
        if number % 2:
            style = COLOURS.get(part, "")
        elif part:
            fill = f' fill="{style}"' if style else ""
            out.append(f"<tspan{fill}>{html.escape(part)}</tspan>")
    return "".join(out)


def clip(line: str) -> str:
    """The line cut to the width, colours not counted."""
    seen, out = 0, []
    for number, part in enumerate(_ESCAPE.split(line)):
        if number % 2:
            out.append(f"\x1b[{part}m")
            continue
        room = WIDTH - seen
        out.append(part if len(part) <= room else part[: max(0, room - 1)] + "…")
        seen += len(part)
        if seen >= WIDTH:
            break
    return "".join(out)


def picture(title: str, lines: list[str]) -> str:
    """The lines as an SVG of a terminal."""
    width, height = WIDTH * CHAR + 2 * PAD, (len(lines) + 2) * LINE + 2 * PAD
    rows = "\n".join(
        f'<text x="{PAD}" y="{PAD + LINE * (n + 2)}" xml:space="preserve">{spans(clip(line))}</text>'
        for n, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}">\n<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="12" fill="#c9d1d9">\n'
        f'<text x="{PAD}" y="{PAD + 8}" fill="#8b949e">{html.escape(title)}</text>\n{rows}\n</g>\n</svg>\n'
    )


def main() -> None:
    """Run the demo and print its picture; paths of this machine and times of day are left out."""
    lines = record([sys.executable, "-m", "gastown", "demo"])
    shown = [re.sub(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)Z", r"\1", line) for line in lines]
    shown = [re.sub(r"/\S*/(gt-demo-\w+)", r"/tmp/\1", line) for line in shown]
    sys.stdout.write(picture("$ gt demo", shown))


if __name__ == "__main__":
    main()
