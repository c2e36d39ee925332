from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gastown.model.errors import GtError, InvalidFile, NotFound, RaceLost
from gastown.runtime import processes, runner, sessions, starting, tmux
from gastown.runtime.processes import Proc
from gastown.runtime.sessions import SessionRecord, SessionSpec

from .conftest import until

NOW = 1795426200.0
RUNTIMES = [
    "process",
    pytest.param("tmux", marks=pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")),
]


class Town:
    """A `.gt/run` with odd characters in its path, a tmux socket of its own, and ends for all it starts."""

    def __init__(self, home: Path) -> None:
        self.home = home / "it's a \"tówn\" #1 %d;"
        self.run = self.home / ".gt" / "run"
        self.cwd = self.home / "work tree"
        self.cwd.mkdir(parents=True)
        self.socket = f"gt-test-{os.getpid()}-{random.randrange(1 << 30)}"
        self.started: list[SessionRecord] = []

    def spec(self, *argv: str, **values: object) -> SessionSpec:
        values.setdefault("env", {"PATH": os.environ["PATH"], "GT_BEAD": "gp-x7k2m", "API_TOKEN": "secret-token"})
        sid = sessions.new_id(NOW, random.SystemRandom().randrange)
        return SessionSpec(id=sid, address="rig/toast", argv=argv, cwd=str(self.cwd), **values)  # type: ignore[arg-type]

    def start(self, runtime: str, *argv: str, timeout: float = 20, **values: object) -> SessionRecord:
        spec = self.spec(*argv, **values)
        record = starting.start(
            spec, runtime, run=str(self.run), socket=self.socket, now=time.time(), timeout=timeout  # type: ignore[arg-type]
        )
        self.started.append(record)
        return record

    def ended(self, record: SessionRecord) -> SessionRecord:
        until(lambda: sessions.liveness(record) == "exited")
        return sessions.reload(record)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    one = Town(tmp_path)
    yield one
    for record in one.started:
        sessions.stop(record, 0.1)
        if parent := sessions.reload(record).runner:
            processes.terminate(parent, 1)
    if tmux.available():
        tmux.Server(one.socket).kill_server()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_argv_folder_and_environment_arrive_as_they_are(town: Town, runtime: str) -> None:
    code = "import json,os,sys; json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], open('out','w'))"
    odd = ["", "two words", "it's", '"q"', "$HOME `x` \\", "ü\n#{x} %s;", ";", "-"]
    record = town.ended(town.start(runtime, *python(code), *odd))
    argv, cwd, env = json.loads((town.cwd / "out").read_text())
    assert (argv, cwd) == (odd, str(town.cwd))
    assert env["GT_BEAD"] == "gp-x7k2m"
    assert env["API_TOKEN"] == "secret-token"
    assert "PYTHONPATH" not in env
    assert (record.exit_code, record.exit_signal) == (0, None)
    assert not [p for p in Path(record.folder).rglob("*") if p.is_file() and b"secret-token" in p.read_bytes()]
    assert record.env == {"GT_BEAD": "gp-x7k2m"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_exit_code_is_recorded_and_on_exit_runs(town: Town, runtime: str) -> None:
    mark = town.home / "on exit"
    after = [*python("import os,sys; print('bye'); open(sys.argv[1],'w').write(os.environ['GT_WHY'])"), str(mark)]
    record = town.start(runtime, "sh", "-c", "echo hello; exit 7", on_exit=after, on_exit_env={"GT_WHY": "ended"})
    assert town.ended(record).exit_code == 7
    until(lambda: mark.exists() and mark.read_text() == "ended")
    until(lambda: not processes.alive(record.runner))  # type: ignore[arg-type]
    log = Path(record.log).read_text()
    assert "hello" in log
    assert "bye" in log
    assert sessions.liveness(record) == "exited"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_killed_agent_is_known_at_once_with_its_signal(town: Town, runtime: str) -> None:
    record = town.start(runtime, "sleep", "60")
    assert sessions.liveness(record) == "running"
    began = time.monotonic()
    os.kill(record.agent_pid, signal.SIGKILL)  # type: ignore[arg-type]
    done = town.ended(record)
    assert time.monotonic() - began < 1
    assert (done.exit_code, done.exit_signal) == (None, signal.SIGKILL)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_killed_runner_is_dead_and_its_agent_an_orphan(town: Town, runtime: str) -> None:
    code = "import signal,time; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    record = town.start(runtime, *python(code))
    until(lambda: "up" in sessions.peek(record, 5))
    assert sessions.orphan(record) is None
    os.kill(record.runner_pid, signal.SIGKILL)  # type: ignore[arg-type]
    until(lambda: sessions.liveness(record) == "dead")
    agent = sessions.orphan(record)
    assert agent == record.agent_proc
    assert sessions.stop(record, 1)
    assert agent is not None
    assert not processes.alive(agent)
    assert sessions.liveness(record) == "dead"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_stop_ends_the_agent_and_all_below_it(town: Town, runtime: str) -> None:
    code = (
        "import subprocess,sys,time\n"
        "kids=[subprocess.Popen(['sleep','60'],start_new_session=s) for s in (False,True)]\n"
        "print(*[k.pid for k in kids],flush=True)\n"
        "time.sleep(60)"
    )
    record = town.start(runtime, *python(code))
    until(lambda: len(sessions.peek(record, 5).split()) == 2)
    kids = [processes.proc(int(pid)) for pid in sessions.peek(record, 5).split()]
    assert sessions.stop(record, 2)
    assert [processes.alive(kid) for kid in kids] == [False, False]
    assert sessions.reload(record).exit_signal == signal.SIGTERM
    until(lambda: not processes.alive(record.runner))  # type: ignore[arg-type]
    if runtime == "tmux":
        until(lambda: tmux.Server(town.socket).list_sessions() == [])
    assert sessions.stop(record, 1)


STUBBORN = "trap '' TERM; while true; do sleep 0.2; done"


@pytest.mark.parametrize(
    ("runtime", "program"),
    [("process", "exec sleep 600"), pytest.param("tmux", "exec sleep 600", marks=RUNTIMES[1].marks),  # type: ignore[union-attr]
     ("process", STUBBORN)],
)  # fmt: skip
def test_an_agent_ends_with_its_town(town: Town, runtime: str, program: str) -> None:
    """Deleted under it, there is nobody left whom its work could reach."""
    record = town.start(runtime, "sh", "-c", program)
    town.started.remove(record)
    agent, parent = record.agent_proc, record.runner
    assert agent is not None
    assert parent is not None
    shutil.rmtree(town.home)
    until(lambda: not processes.alive(agent), 20)
    until(lambda: not processes.alive(parent), 20)
    assert not town.home.exists()


def test_an_agent_goes_on_when_its_town_is_moved(town: Town) -> None:
    record = town.start("process", "sleep", "600")
    moved = town.home.with_name("moved")
    os.rename(town.home, moved)
    time.sleep(2.5 * runner._LOOK)  # looks that must not end it: there is no event to wait for
    assert record.agent_proc is not None
    assert processes.alive(record.agent_proc)
    os.rename(moved, town.home)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_the_agent_leaves_in_its_group_is_ended(town: Town, runtime: str) -> None:
    record = town.start(runtime, "sh", "-c", "sleep 60 & echo $! > kid; sleep 0.05; exit 0")
    assert town.ended(record).exit_code == 0
    until(lambda: processes.start_time(int((town.cwd / "kid").read_text())) is None)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_signal_to_the_runner_reaches_the_agent(town: Town, runtime: str) -> None:
    record = town.start(runtime, "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done")
    until(lambda: "ready" in sessions.peek(record, 5))
    os.kill(record.runner_pid, signal.SIGTERM)  # type: ignore[arg-type]
    assert town.ended(record).exit_code == 9


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_prompt_file_becomes_stdin(town: Town, runtime: str) -> None:
    prompt = town.home / "prompt.md"
    prompt.write_text("do it, \"now\"\n")
    record = town.start(runtime, "sh", "-c", "cat > got", prompt_mode="stdin", prompt_file=str(prompt))
    assert town.ended(record).exit_code == 0
    assert (town.cwd / "got").read_text() == prompt.read_text()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda town: {"argv": ["no-such-agent", "x"]}, "command not found: no-such-agent"),
        (lambda town: {"argv": ["./gone"]}, "command not found"),
        (lambda town: town.cwd.rmdir() or {"argv": ["true"]}, "no folder"),
        (lambda town: {"argv": [str(_script(town, "#!/no/such/interpreter\n"))]}, "could not start"),
        (lambda town: {"argv": ["cat"], "prompt_mode": "stdin", "prompt_file": "/none"}, "prompt /none is missing"),
    ],
    ids=["command", "path", "folder", "interpreter", "prompt"],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(
    town: Town, runtime: str, spoil: Callable[[Town], dict[str, object]], why: str
) -> None:
    values = spoil(town)
    with pytest.raises(GtError, match=why):
        town.start(runtime, *values.pop("argv"), **values)  # type: ignore[misc]
    records, problems = sessions.all_sessions(str(town.run))
    assert not problems
    assert all(record.outcome == "start_failed" for record in records)
    assert all(sessions.liveness(record) in ("exited", "dead") for record in records)
    assert all(not os.path.exists(os.path.join(record.folder, "environ.json")) for record in records)
    if runtime == "tmux":
        until(lambda: tmux.Server(town.socket).list_sessions() == [])


def _script(town: Town, text: str) -> Path:
    path = town.cwd / "script"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_runner_that_comes_too_late_starts_nothing(town: Town) -> None:
    import subprocess

    spec = town.spec("touch", "ran")
    record = starting._prepare(spec, "process", str(town.run), town.socket, NOW)
    assert sessions.abandon(record)
    done = subprocess.run([sys.executable, "-m", "gastown.runtime.runner", record.folder], check=False)
    assert done.returncode == 3
    assert not (town.cwd / "ran").exists()
    assert sessions.liveness(record) == "dead"


def test_a_start_whose_starter_died_is_settled_late_and_for_good(town: Town) -> None:
    record = starting._prepare(town.spec("true"), "process", str(town.run), town.socket, NOW)
    own = {**sessions.own_part(record), "starter_start": "gone"}
    sessions.write(record.folder, own)
    assert sessions.liveness(record, now=NOW + 5) == "starting"
    assert sessions.liveness(record, now=NOW + 60) == "dead"
    assert sessions.reload(record).abandoned


def test_a_record_with_a_reused_pid_signals_nobody(town: Town) -> None:
    import subprocess

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        record = starting._prepare(town.spec("true"), "process", str(town.run), town.socket, NOW)
        for name in ("runner.json", "agent.json"):
            Path(record.folder, name).write_text(json.dumps({"pid": stranger.pid, "start": "another boot:1"}))
        assert sessions.liveness(record) == "dead"
        assert sessions.orphan(record) is None
        assert sessions.stop(record, 0.1)
        assert stranger.poll() is None
        stranger.kill()


def test_unreadable_sessions_are_reported_never_dropped(town: Town) -> None:
    good = starting._prepare(town.spec("true"), "process", str(town.run), town.socket, NOW)
    bad = starting._prepare(town.spec("true"), "process", str(town.run), town.socket, NOW)
    Path(bad.folder, "session.json").write_text("{torn")
    (town.run / "sessions" / "s-20261123-zzzz").mkdir()
    records, problems = sessions.all_sessions(str(town.run))
    assert [record.id for record in records] == [good.id]
    assert len(problems) == 1
    assert isinstance(problems[0], InvalidFile)
    assert bad.id in str(problems[0])
    with pytest.raises(NotFound):
        sessions.load(str(town.run), "../../etc")


def test_ids_are_unique_folders_and_updates_keep_the_rest(town: Town) -> None:
    spec = town.spec("true", bead="gp-x7k2m", attempt=2)
    assert spec.id.startswith("s-20261123-")
    record = starting._prepare(spec, "process", str(town.run), town.socket, NOW)
    with pytest.raises(RaceLost):
        starting._prepare(spec, "process", str(town.run), town.socket, NOW)
    sessions.update(record, resume="uuid-1")
    now = sessions.update(record, outcome="handoff")
    assert (now.outcome, now.resume, now.bead, now.attempt) == ("handoff", "uuid-1", "gp-x7k2m", 2)
    with pytest.raises(ValueError, match="only"):
        sessions.update(record, cwd="/")


def test_peek_shows_plain_text(town: Town) -> None:
    noisy = "\\033[31mred\\033[0m \\033]0;title\\007end\\n10%%\\r100%%\\n\\a"
    record = town.ended(town.start("process", "sh", "-c", f"printf '{noisy}'"))
    assert sessions.peek(record, 5) == "red end\n100%"
    assert sessions.attach_argv(record)[0] == "tail"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_agent_owns_its_terminal_and_gets_pasted_text(town: Town) -> None:
    code = (
        "import os,sys\n"
        "print('own', os.tcgetpgrp(0) == os.getpgrp(), os.environ['TERM'], flush=True)\n"
        "for line in sys.stdin: print('got', repr(line), flush=True)"
    )
    record = town.start("tmux", *python(code))
    server = tmux.Server(town.socket)
    until(lambda: "own True screen" in sessions.peek(record, 10))
    server.send_text(record.id, "it's $HOME; \"x\"\nsecond", pause=0.05)
    until(lambda: "got 'second\\n'" in sessions.peek(record, 20))
    assert "$HOME" in sessions.peek(record, 20)
    assert sessions.attach_argv(record)[-2:] == ["-t", f"={record.id}"]
    server.send_key(record.id, "C-z")
    server.send_key(record.id, "C-c")
    assert town.ended(record).exit_code in (None, 1, 130)
    until(lambda: "own True" in Path(record.log).read_text())


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_persons_tmux_is_not_touched(town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    (Path(os.environ["HOME"]) / ".tmux.conf").write_text("set -g history-limit 7\n")
    record = town.start("tmux", "sleep", "60")
    server = tmux.Server(town.socket)
    assert server.list_sessions() == [record.id]
    assert server._do("show-options", "-gv", "history-limit").strip() == b"20000"
    with pytest.raises(GtError):
        server.new_session(record.id, cwd="/", argv=["sleep", "1"], env={})
    server.kill_session(record.id)
    until(lambda: sessions.liveness(record) == "exited")
    assert sessions.reload(record).exit_signal == signal.SIGHUP
    server.kill_session(record.id)
    server.kill_server()
    assert not server.running()
    assert server.list_sessions() == []


def test_a_log_that_grows_without_end_keeps_its_end(town: Town, tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        f"for _ in range({(runner.LOG_MOST >> 20) + 2}): os.write(1, (b'x' * 127 + b'\\n') * 8192)\n"
        "print('the last of it', flush=True)\n"
        f"while not os.path.exists({str(tmp_path / 'cut')!r}): time.sleep(0.02)\n"
        "print('and more', flush=True)\n"
    )
    record = town.start("process", sys.executable, "-c", code)
    until(lambda: 0 < os.path.getsize(record.log) < runner.LOG_MOST // 2 and "the last" in sessions.peek(record, 3))
    (tmp_path / "cut").touch()
    town.ended(record)
    assert sessions.peek(record, 2).splitlines() == ["the last of it", "and more"]
    assert Path(record.log).read_text().startswith("gt: what stood before this was removed")


def test_the_runner_stays_light() -> None:
    import subprocess

    code = "import sys; import gastown.runtime.runner; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"typing", "subprocess", "dataclasses", "typer", "dulwich", "pathlib", "threading"}


def test_proc_values_compare() -> None:
    assert Proc(1, "a") == Proc(1, "a") != Proc(1, "b")
