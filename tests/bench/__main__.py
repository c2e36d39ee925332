"""`python -m tests.bench [--check] [--large] [NAME…]`: the rows of the project's speed targets that exist.

Prints `name: value (target …)`; with --check exits 1 where a target is missed. --large adds 100,000 beads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import rows
from tests.bench.measure import Row


def main() -> int:
    """Run the groups asked for (all by default)."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *rows.GROUPS], help="which groups of rows (default: all)")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--large", action="store_true", help="also measure 100,000 beads")
    args = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory(prefix="gt-bench-") as folder:
        for row in measured(args.groups or list(rows.GROUPS), Path(folder), args.large):
            print(row, flush=True)
            missed += not row.met
    if missed:
        print(f"{missed} missed", file=sys.stderr)
    return 1 if missed and args.check else 0


def measured(groups: list[str], folder: Path, large: bool) -> Iterator[Row]:
    """The rows of some groups, as they are measured."""
    for name in groups:
        yield from rows.GROUPS[name](folder, large)


if __name__ == "__main__":
    sys.exit(main())
