"""A Python that has gt loaded and forks for each run, so that a kill at every step costs no start of Python each.

What runs is a process of its own, with its own environment, folder and output, and is killed as any other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = "import sys\nfrom gastown.cli.main import main\nsys.exit(main(sys.argv[1:]))"
_SERVER = """
import importlib, json, os, signal, sys, traceback
from gastown.cli.tree import COMMANDS
from gastown.store import census, commit, flock, index, lock, roundtrip, schema
import dulwich.object_store
for module in sorted({entry[0] for entry in COMMANDS.values()}):
    importlib.import_module(f"gastown.cli.{module}")
from gastown.store import files

def child(order):
    signal.alarm(order["seconds"])
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    importlib.reload(files)  # it reads GT_FAULT when it is loaded
    sys.argv = ["-c", *order["args"]]
    code = 0
    try:
        exec(compile(order["script"], "<run>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        child(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Forking:
    """Runs scripts, or gt itself, in forks of one warm Python. Use it as a context."""

    def __init__(self) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("GT_")}
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env | {"PYTHONPATH": str(CHECKOUT)},
            text=True,
        )
        assert self._read() == "ready"

    def __enter__(self) -> Forking:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def _read(self) -> str:
        assert self._server.stdout
        line = self._server.stdout.readline()
        assert line, f"the forking Python ended with {self._server.wait()}"
        return line.strip()

    def run(
        self, script: str, *args: str, cwd: Path | str, env: Mapping[str, str], seconds: int = 120
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run of `python -c script args`; negative codes are signals. SIGALRM after `seconds`."""
        with tempfile.TemporaryDirectory(prefix="gt-fork-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order: dict[str, Any] = {"script": script, "args": args, "cwd": str(cwd), "env": dict(env)}
            order |= {"out": str(out), "err": str(err), "seconds": seconds}
            assert self._server.stdin
            self._server.stdin.write(json.dumps(order) + "\n")
            self._server.stdin.flush()
            code = int(self._read())
            return subprocess.CompletedProcess(args, code, out.read_text(), err.read_text())

    def gt(
        self, args: Sequence[str], *, cwd: Path | str, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """`gt args`."""
        return self.run(COMMAND, *args, cwd=cwd, env=env)
