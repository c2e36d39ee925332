from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gastown.model.errors import GtError, NotFound, RaceLost, Refused
from gastown.runtime import clones, git, remotes, worktrees
from gastown.runtime.remotes import PushRejected, RemoteUnreachable
from gastown.store import flock

from .conftest import commit, sh, until

WHO = git.author_env("rig/toast", "toast@rig.town.gt")


def tree_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_clone_keeps_the_remotes_branches_apart_from_ours(repo: Path, remote: Path) -> None:
    assert sh(repo, "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/main",
    ]
    assert clones.default_branch(repo) == "main"
    assert sh(repo, "config", "remote.origin.fetch") == "+refs/heads/*:refs/remotes/origin/*"
    assert sorted(p.name for p in repo.parent.iterdir()) == [".repo.git"]


def test_clone_of_a_dirty_checkout_leaves_it_byte_for_byte(tmp_path: Path, project: Path) -> None:
    (project / "a.txt").write_text("changed\n")
    (project / "b.txt").write_text("staged\n")
    sh(project, "add", "b.txt")
    (project / "c.txt").write_text("untracked\n")
    before = tree_bytes(project)
    assert clones.clone("project", tmp_path / "r.git", base=tmp_path) == "main"
    assert tree_bytes(project) == before
    assert sh(tmp_path / "r.git", "config", "remote.origin.url") == str(project)


def test_clone_finds_the_default_branch_whatever_it_is_called(tmp_path: Path, project: Path) -> None:
    sh(project, "branch", "-m", "main", "stable/next")
    assert clones.clone(str(project), tmp_path / "r.git") == "stable/next"


def test_clone_of_a_detached_head_takes_the_branch_it_stands_on(tmp_path: Path, project: Path) -> None:
    sh(project, "branch", "other")
    commit(project, "b.txt", "two\n")
    sh(project, "switch", "-q", "--detach")
    assert clones.clone(str(project), tmp_path / "r.git") == "main"


def test_clone_of_a_detached_head_between_strange_branches_asks(tmp_path: Path, project: Path) -> None:
    sh(project, "branch", "-m", "one")
    sh(project, "branch", "two")
    sh(project, "switch", "-q", "--detach")
    with pytest.raises(GtError, match="detached HEAD") as caught:
        clones.clone(str(project), tmp_path / "deep" / "r.git")
    assert "--branch" in caught.value.hint
    assert not (tmp_path / "deep").exists()


def test_clone_of_a_shallow_source_works(tmp_path: Path, project: Path) -> None:
    commit(project, "b.txt", "two\n")
    sh(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", "shallow")
    assert clones.clone(str(tmp_path / "shallow"), tmp_path / "r.git") == "main"
    worktrees.add(tmp_path / "r.git", tmp_path / "wt", "polecat/a/b", "refs/remotes/origin/main")
    assert (tmp_path / "wt" / "b.txt").read_text() == "two\n"


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda path: None, "cannot read"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: sh(path.parent, "init", "-q", str(path)), "no commits"),
    ],
    ids=["missing", "no repository", "empty repository"],
)
def test_clone_that_cannot_be_leaves_nothing_behind(tmp_path: Path, make, wanted: str) -> None:
    make(tmp_path / "source")
    with pytest.raises(GtError, match=wanted):
        clones.clone(str(tmp_path / "source"), tmp_path / "rig" / "r.git")
    assert not (tmp_path / "rig").exists()


def test_clone_suggests_branches_and_refuses_an_existing_place(tmp_path: Path, project: Path) -> None:
    with pytest.raises(NotFound, match="no branch 'mian'") as caught:
        clones.clone(str(project), tmp_path / "r.git", branch="mian")
    assert caught.value.near == ("main",)
    (tmp_path / "r.git").mkdir()
    with pytest.raises(Refused):
        clones.clone(str(project), tmp_path / "r.git")


def test_clone_clears_what_a_killed_one_left(tmp_path: Path, project: Path) -> None:
    (tmp_path / "r.git.cloning").mkdir()
    (tmp_path / "r.git.cloning" / "half").write_text("")
    clones.clone(str(project), tmp_path / "r.git")
    assert not list(tmp_path.glob("*cloning*"))


def test_of_many_that_make_one_clone_at_once_one_does_and_the_others_find_it(tmp_path: Path, project: Path) -> None:
    start = threading.Barrier(6)

    def make(_: int) -> str:
        start.wait()
        try:
            return clones.clone(str(project), tmp_path / "rig" / "r.git")
        except Refused as error:
            return error.message

    with ThreadPoolExecutor(6) as pool:
        said = sorted(pool.map(make, range(6)))
    assert said == sorted(["main", *[f"{tmp_path / 'rig' / 'r.git'} exists already"] * 5])
    assert sh(tmp_path / "rig" / "r.git", "fsck") == ""
    assert [one.name for one in (tmp_path / "rig").iterdir()] == ["r.git"]


def test_of_many_that_fail_to_make_one_clone_each_says_why(tmp_path: Path) -> None:
    start = threading.Barrier(6)

    def make(_: int) -> str:
        start.wait()
        with pytest.raises(GtError) as caught:
            clones.clone(str(tmp_path / "nothing"), tmp_path / "rig" / "r.git")
        return caught.value.message

    with ThreadPoolExecutor(6) as pool:
        assert all("cannot read" in one for one in pool.map(make, range(6)))
    assert not (tmp_path / "rig").exists()


def test_who_waits_long_for_anothers_clone_says_so(tmp_path: Path, project: Path, monkeypatch) -> None:
    monkeypatch.setattr(clones, "WORD_AFTER", 0.01)
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with flock.hold(tmp_path / "r.git.cloning.lock", timeout=1):
            made = pool.submit(clones.clone, str(project), tmp_path / "r.git", say=said.append)
            until(lambda: bool(said))
            assert not made.done()
        assert made.result() == "main"
    assert said == [f"waiting for another clone to {tmp_path / 'r.git'}, which is at work"]


def test_clone_tells_its_progress(tmp_path: Path, project: Path) -> None:
    said: list[str] = []
    clones.clone(f"file://{project}", tmp_path / "r.git", progress=said.append)
    assert any("objects" in line for line in said)


def test_submodules_and_missing_lfs_leave_a_clean_worktree(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh(tmp_path, "clone", "-q", "--bare", str(project), "sub.git")
    sh(project, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "sub.git"), "lib")
    (project / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    commit(project, "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "sub and lfs")
    config = tmp_path / "gitconfig"
    config.write_text(
        '[filter "lfs"]\n clean = git-lfs clean -- %f\n smudge = git-lfs smudge -- %f\n'
        " process = git-lfs filter-process\n required = true\n[submodule]\n recurse = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    # A PATH with git and without git-lfs.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh"):
        found = next(p for d in os.environ["PATH"].split(":") if (p := Path(d, name)).exists())
        (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    clones.clone(str(project), tmp_path / "r.git")
    worktrees.add(tmp_path / "r.git", tmp_path / "wt", "polecat/a/b", "origin/main")
    assert worktrees.is_clean(tmp_path / "wt")
    assert (tmp_path / "wt" / "big.bin").read_text().startswith("version https://git-lfs")
    worktrees.remove(tmp_path / "r.git", tmp_path / "wt")
    assert not (tmp_path / "wt").exists()


def test_fetch_and_refs(repo: Path, remote: Path, project: Path) -> None:
    old = clones.resolve(repo, "origin/main")
    assert old
    new = commit(project, "b.txt", "two\n")
    sh(project, "push", "-q", str(remote), "main", "main:gone")
    assert remotes.remote_ref(repo, "refs/heads/main") == new
    assert remotes.remote_ref(repo, "refs/heads/none") is None
    remotes.fetch(repo)
    assert clones.resolve(repo, "origin/main") == new
    assert clones.is_ancestor(repo, old, new)
    assert not clones.is_ancestor(repo, new, old)
    assert clones.merge_base(repo, new, old) == old
    sh(remote, "branch", "-D", "gone")
    remotes.fetch(repo)
    assert clones.resolve(repo, "origin/gone") is None


def watched(repo: Path, folder: Path, body: str = "") -> Path:
    """Let every word with the remote be written down when it begins and ends; `body` runs in between."""
    said, script = folder / "words", folder / "upload-pack"
    script.write_text(f'#!/bin/sh\necho begin >> "{said}"\n{body}\ngit-upload-pack "$@"\necho end >> "{said}"\n')
    script.chmod(0o755)
    sh(repo, "config", "remote.origin.uploadpack", str(script))
    return said


def test_one_fetch_at_a_time_and_who_waited_takes_its_word(
    tmp_path: Path, repo: Path, remote: Path, project: Path, monkeypatch
) -> None:
    asked, go = [], tmp_path / "go"
    begun = remotes._begun
    monkeypatch.setattr(remotes, "_begun", lambda repo: (begun(repo), asked.append(1))[0])
    said = watched(repo, tmp_path, f'while [ ! -e "{go}" ]; do sleep 0.01; done')
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(remotes.fetch, repo)
        until(said.exists)
        new = commit(project, "new", "new")
        sh(project, "push", "-q", str(remote), "main")
        rest = [pool.submit(remotes.fetch, repo) for _ in range(5)]
        until(lambda: len(asked) == 6)
        go.touch()
        for one in [first, *rest]:
            one.result()
    assert clones.resolve(repo, "refs/remotes/origin/main") == new
    # One of those who waited asked anew, for the first had begun before they were asked.
    assert said.read_text().split() == ["begin", "end"] * 2
    remotes.fetch(repo)
    assert said.read_text().split() == ["begin", "end"] * 3


def test_who_waited_for_a_remote_that_does_not_answer_need_not_ask_it_again(
    tmp_path: Path, repo: Path, monkeypatch
) -> None:
    asked, go = [], tmp_path / "go"
    begun = remotes._begun
    monkeypatch.setattr(remotes, "_begun", lambda repo: (begun(repo), asked.append(1))[0])
    said = watched(repo, tmp_path, f'while [ ! -e "{go}" ]; do sleep 0.01; done; exit 1')
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(remotes.fetch, repo)]
        until(said.exists)
        made += [pool.submit(remotes.fetch, repo) for _ in range(3)]
        until(lambda: len(asked) == 4)
        go.touch()
        for one in made:
            with pytest.raises(RemoteUnreachable, match="cannot read origin"):
                one.result()
    assert said.read_text().split() == ["begin"] * 4  # two fetches, each with a look whether the remote answers


def test_a_fetch_meets_a_persons_own_git_and_is_tried_again(
    tmp_path: Path, repo: Path, remote: Path, project: Path
) -> None:
    new = commit(project, "new", "new")
    sh(project, "push", "-q", str(remote), "main")
    held = repo / "refs" / "remotes" / "origin" / "main.lock"
    held.parent.mkdir(parents=True, exist_ok=True)
    held.touch()
    # The other git is done when the remote is asked for the second time.
    watched(repo, tmp_path, f'[ -e "{tmp_path}/met" ] && rm -f "{held}"; touch "{tmp_path}/met"')
    remotes.fetch(repo)
    assert clones.resolve(repo, "refs/remotes/origin/main") == new


def test_an_unreachable_remote_is_unknown_never_empty(repo: Path, remote: Path) -> None:
    remote.rename(remote.with_name("away"))
    for act in (
        lambda: remotes.fetch(repo),
        lambda: remotes.remote_ref(repo, "refs/heads/main"),
        lambda: remotes.push(repo, "origin/main", "refs/heads/x", expect=""),
    ):
        with pytest.raises(RemoteUnreachable):
            act()


@pytest.mark.parametrize("ask", [
    lambda repo: remotes.look("ssh://far.example/repo", cwd=repo, timeout=0.3),
    lambda repo: remotes.remote_ref(repo, "refs/heads/main", timeout=0.3),
    lambda repo: remotes.fetch(repo, timeout=0.3),
    lambda repo: remotes.push(repo, "refs/remotes/origin/main", "refs/heads/x", timeout=0.3),
])  # fmt: skip
def test_a_remote_that_says_nothing_is_unreachable(
    repo: Path, ask: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a network that drops what is sent to it."""
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 60 #")
    sh(repo, "config", "remote.origin.url", "ssh://far.example/repo")
    with pytest.raises(RemoteUnreachable, match=r"did not answer for 0.3 s") as error:
        ask(repo)
    assert "git ls-remote" in error.value.hint


def test_a_failed_ancestry_is_not_a_no(repo: Path) -> None:
    with pytest.raises(git.GitFailed):
        clones.is_ancestor(repo, "0" * 40, "origin/main")


def test_update_ref_is_compare_and_swap(repo: Path) -> None:
    sha = clones.resolve(repo, "origin/main")
    assert sha
    clones.update_ref(repo, "refs/gt/x", sha, None)
    with pytest.raises(RaceLost):
        clones.update_ref(repo, "refs/gt/x", sha, None)
    with pytest.raises(RaceLost):
        clones.update_ref(repo, "refs/gt/y", sha, sha)


def test_push_by_compare_and_swap_reads_the_remote_back(tmp_path: Path, repo: Path, remote: Path) -> None:
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    one = commit(tmp_path / "wt", "b.txt", "1\n")
    ref = "refs/heads/polecat/a/b"
    assert remotes.push(repo, one, ref, expect="") == one == sh(remote, "rev-parse", ref)
    two = commit(tmp_path / "wt", "b.txt", "2\n")
    with pytest.raises(PushRejected) as caught:
        remotes.push(repo, two, ref, expect="")
    assert caught.value.moved
    assert caught.value.now == one
    assert remotes.push(repo, two, ref, expect=one) == two
    with pytest.raises(Refused, match="does not follow"):
        remotes.push(repo, one, ref, expect=two)
    assert remotes.push(repo, one, ref, expect=two, force=True) == one
    remotes.delete(repo, ref, expect=one)
    assert remotes.remote_ref(repo, ref) is None


def test_push_rejected_by_the_remotes_hook_says_what_it_said(repo: Path, remote: Path) -> None:
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'no entry: policy 7' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRejected, match="policy 7") as caught:
        remotes.push(repo, "origin/main", "refs/heads/x", expect="")
    assert not caught.value.moved
    assert caught.value.now is None


def test_push_onto_a_branch_checked_out_there_is_rejected(tmp_path: Path, project: Path) -> None:
    dest = tmp_path / "r.git"
    clones.clone(str(project), dest)
    worktrees.add(dest, tmp_path / "wt", "polecat/a/b", "origin/main")
    sha = commit(tmp_path / "wt", "b.txt", "1\n")
    old = sh(project, "rev-parse", "main")
    with pytest.raises(PushRejected) as caught:
        remotes.push(dest, sha, "refs/heads/main", expect=old)
    assert not caught.value.moved
    assert sh(project, "rev-parse", "main") == old


def test_the_guard_lets_only_the_refinery_push_the_target(tmp_path: Path, repo: Path, remote: Path) -> None:
    clones.guard(repo, ["main", "release"], "rig/refinery")
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    old = sh(remote, "rev-parse", "main")
    sha = commit(tmp_path / "wt", "b.txt", "1\n")
    assert "target branch" in _stderr(tmp_path / "wt", "push", "origin", "HEAD:main")
    _stderr(tmp_path / "wt", "push", "origin", "HEAD:side", "HEAD:refs/heads/main")
    _stderr(tmp_path / "wt", "push", "origin", ":main")
    assert sh(remote, "rev-parse", "main") == old
    with pytest.raises(PushRejected, match="only the refinery"):
        remotes.push(repo, sha, "refs/heads/main", expect=old)
    sh(tmp_path / "wt", "push", "-q", "origin", "HEAD:main2")
    assert remotes.push(repo, sha, "refs/heads/main", expect=old, env=clones.refinery_env(repo)) == sha


def test_a_target_that_stays_is_guarded_while_others_come_and_go(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clones.guard(repo, ["main", "old"], "rig/refinery")
    run, seen = git.run, []

    def look(args, **options):
        done = run(args, **options)
        if args[0] == "config":
            seen.append(run(["config", "--get-all", "gt.target"], cwd=repo, check=False).text.split())
        return done

    monkeypatch.setattr(git, "run", look)
    clones.guard(repo, ["main", "new#1"], "rig/refinery")
    assert seen
    assert all("main" in one for one in seen)
    assert seen[-1] == ["main", "new#1"]
    assert clones.is_guarded(repo, ["main", "new#1"], "rig/refinery")


def test_where_work_lands_only_the_refinery_moves_the_target(tmp_path: Path, repo: Path) -> None:
    clones.guard(repo, ["main"], "rig/refinery", local=True)
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    here, landed = tmp_path / "wt", sh(repo, "rev-parse", "origin/main")
    session = {"GT_BEAD": "gp-x7k2m", "GT_ACTOR": "rig/toast", "GT_ATTEMPT": "2"}
    said = _stderr(here, "branch", "main", "origin/main", env=session)
    assert "only the refinery moves it" in said
    assert "git switch polecat/toast/gp-x7k2m.a2" in said
    sh(repo, "update-ref", "refs/heads/main", landed, env=clones.refinery_env(repo))
    sh(repo, "update-ref", "refs/gt/landed/release", landed, env=clones.refinery_env(repo))
    sh(here, "switch", "-q", "main")
    sh(here, "reset", "-q", "--hard")
    (here / "b.txt").write_text("1\n")
    sh(here, "add", "-A")
    assert "only the refinery moves it" in _stderr(here, "commit", "-q", "-m", "direct")
    assert sh(here, "status", "--porcelain") == "A  b.txt", "nothing of it is lost"
    sh(here, "switch", "-q", "polecat/a/b")
    sh(here, "commit", "-q", "-m", "on the work branch")
    for args in (("branch", "-f", "main"), ("branch", "release"), ("update-ref", "refs/gt/landed/main", "HEAD")):
        _stderr(here, *args)
    sh(here, "branch", "mine")
    sh(repo, "gc", "-q")
    sh(repo, "pack-refs", "--all")
    assert sh(repo, "rev-parse", "refs/heads/main") == landed


def test_a_worktree_pushes_nothing_into_a_persons_own_repository(tmp_path: Path, project: Path) -> None:
    repo, here = tmp_path / "r.git", tmp_path / "wt"
    clones.clone(str(project), repo)
    clones.guard(repo, ["main"], "rig/refinery", local=True)
    worktrees.add(repo, here, "polecat/a/b", "origin/main")
    before = sh(project, "for-each-ref")
    assert "work lands in this clone" in _stderr(here, "push", "origin", "HEAD:refs/heads/agentx")
    assert "nothing is pushed from here" in _stderr(here, "push", str(project), "HEAD:refs/heads/agentx")
    assert sh(project, "for-each-ref") == before
    commit(project, "b.txt", "two\n")
    remotes.fetch(repo)
    assert sh(repo, "rev-parse", "origin/main") == sh(project, "rev-parse", "main")
    sh(tmp_path, "init", "-q", "--bare", "elsewhere.git")
    sh(here, "push", "-q", str(tmp_path / "elsewhere.git"), "HEAD:refs/heads/x")
    clones.guard(repo, ["main"], "rig/refinery")
    sh(here, "push", "-q", "origin", "HEAD:refs/heads/agentx")


def test_a_guard_that_stands_is_known_without_a_process(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clones.guard(repo, ["main"], "rig/refinery", local=True)
    monkeypatch.setattr(git, "run", lambda *_args, **_options: pytest.fail("git was started"))
    clones.guard(repo, ["main"], "rig/refinery", local=True)
    assert not clones.is_guarded(repo, ["main"], "rig/refinery")
    assert not clones.is_guarded(repo, ["main", "release"], "rig/refinery", local=True)


def _stderr(cwd: Path, *args: str, env: dict[str, str] | None = None) -> str:
    import subprocess

    done = subprocess.run(
        ["git", *args], cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode != 0
    return done.stderr


def test_commits_in_a_session_get_trailers_once(tmp_path: Path, repo: Path) -> None:
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    session = {"GT_BEAD": "gp-x7k2m", "GT_ACTOR": "rig/toast"}
    trailers = ("log", "-1", "--format=%(trailers:only,unfold)")
    sh(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "a change", env=session)
    assert sh(tmp_path / "wt", *trailers).splitlines() == ["Bead: gp-x7k2m", "Agent: rig/toast"]
    sh(tmp_path / "wt", "commit", "-q", "--amend", "--allow-empty", "--no-edit", env=session)
    assert sh(tmp_path / "wt", *trailers).splitlines() == ["Bead: gp-x7k2m", "Agent: rig/toast"]
    sh(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "another\n\nBead: gp-aaaaa", env=session)
    assert sh(tmp_path / "wt", *trailers).splitlines() == ["Bead: gp-aaaaa", "Agent: rig/toast"]
    sh(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "outside")
    assert sh(tmp_path / "wt", *trailers) == ""
    _stderr(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "")


def test_our_hooks_hold_against_the_persons_global_ones(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n hooksPath = {tmp_path / 'none'}\n[commit]\n gpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    sh(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "x", env={"GT_BEAD": "gp-x7k2m"})
    assert "gp-x7k2m" in sh(tmp_path / "wt", "log", "-1", "--format=%B")


def test_a_branch_in_use_is_not_deleted(tmp_path: Path, repo: Path) -> None:
    worktrees.add(repo, tmp_path / "wt", "polecat/a/b", "origin/main")
    sha = clones.resolve(repo, "polecat/a/b")
    assert sha
    assert clones.branch_checked_out_at(repo, "polecat/a/b") == str(tmp_path / "wt")
    with pytest.raises(Refused):
        clones.delete_branch(repo, "polecat/a/b", expect=sha)
    worktrees.remove(repo, tmp_path / "wt")
    with pytest.raises(RaceLost):
        clones.delete_branch(repo, "polecat/a/b", expect="1" * 40)
    clones.delete_branch(repo, "polecat/a/b", expect=sha)
    clones.delete_branch(repo, "polecat/a/b", expect=sha)
    assert clones.resolve(repo, "polecat/a/b") is None
