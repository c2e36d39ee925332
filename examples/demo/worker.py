"""A small program in place of a coding agent: does one task of the demo in the worktree it stands in.

    python3 worker.py TASK

It writes the code of the task and switches its tests on. Told by a note on its bead that the gate was red,
it does what an agent would: thinks again.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


def was_sent_back() -> bool:
    """True if the refinery left a failure on the bead we work on."""
    done = subprocess.run(["gt", "show", os.environ["GT_BEAD"], "--json"], capture_output=True, text=True, check=True)
    notes = json.loads(done.stdout).get("notes", [])
    return any("refinery" in note["by"] for note in notes)


def main(task: str) -> None:
    work = Path(__file__).parent / "work"
    at_first = work / f"{task}-at-first"
    source = at_first if at_first.exists() and not was_sent_back() else work / task
    shutil.copytree(source, ".", dirs_exist_ok=True)
    todo = Path("tests", f"todo_{task}.py")
    if todo.exists():
        todo.rename(Path("tests", f"test_{task}.py"))
    print(f"wrote {task} from {source.name}")


if __name__ == "__main__":
    main(sys.argv[1])
