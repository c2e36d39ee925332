"""gt rig: adding from checkouts, bare repositories and URLs, parking, settings, removal that loses nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.services.rigs import localtarget
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import Runner, git

Repo = Callable[..., Path]


def test_add_a_checkout_leaves_it_alone_and_tells_how_to_pull(gt: Runner, town: Town, git_repo: Repo) -> None:
    repo = git_repo("project")
    (repo / "dirty.txt").write_text("mine\n")
    before = sorted((str(p), p.read_bytes()) for p in repo.rglob("*") if p.is_file())
    ran = gt("rig", "add", "greenplace", "../project", "--gate", "test=true")
    pull = f"git -C {repo} pull {layout.bare(town.root, 'greenplace')} main"
    assert ran.out == f"greenplace  prefix gr, branch main, from {repo}\n"
    assert pull in ran.err
    assert f"  pull     {pull}" in gt("rig", "show", "greenplace").lines
    assert sorted((str(p), p.read_bytes()) for p in repo.rglob("*") if p.is_file()) == before
    doc = gt("rig", "show", "greenplace", "--json").json
    assert (doc["landing"], doc["branch"], doc["gates"]) == ("local", "main", [{"name": "test", "run": "true"}])
    assert git("status", "--porcelain", cwd=town.root) == ""
    assert gt("status").lines[-1] == "greenplace  ready 0  working 0  merging 0  blocked 0"


def test_landed_commits_are_counted_until_pulled(gt: Runner, town: Town, git_repo: Repo) -> None:
    repo = git_repo("project")
    gt("rig", "add", "demo-rig", str(repo))
    bare = layout.bare(town.root, "demo-rig")
    tree, parent = git("rev-parse", "main^{tree}", cwd=repo), git("rev-parse", "main", cwd=repo)
    landed = git("commit-tree", "-p", parent, "-m", "landed", tree, cwd=bare)
    localtarget.move(bare, "main", landed, None)
    assert gt("rig", "show", "demo-rig", "--json").json["waiting_commits"] == 1
    refused = gt("rig", "remove", "demo-rig", code=5)
    assert f"only in {bare}: 1 landed commit; git -C" in refused.err
    git("pull", "--quiet", bare, "main", cwd=repo)
    assert gt("rig", "show", "demo-rig", "--json").json["waiting_commits"] == 0


def test_bare_and_file_urls_are_pushed_to(gt: Runner, git_repo: Repo) -> None:
    bare = git_repo("origin", bare=True)
    gt("rig", "add", "one", str(bare))
    gt("rig", "add", "two", f"file://{bare}", "--prefix", "zz", "--merge", "squash", "--max", "2")
    rigs = {rig["name"]: rig for rig in gt("rig", "list", "--json").json}
    assert (rigs["one"]["landing"], rigs["two"]["landing"]) == ("push", "push")
    assert (rigs["two"]["prefix"], rigs["two"]["merge"], rigs["two"]["polecats"]) == ("zz", "squash", {"max": 2})


def test_push_is_chosen(gt: Runner, git_repo: Repo) -> None:
    repo = git_repo("project")
    gt("rig", "add", "one", str(repo), "--push")
    assert gt("rig", "show", "one", "--json").json["landing"] == "push"


@pytest.mark.parametrize("name", ["a/b", "..", "a.b", "Ünï", "-x", "mayor", "", "a" * 40, "UPPER"])
def test_names_that_cannot_be(gt: Runner, town: Town, git_repo: Repo, name: str) -> None:
    ran = gt("rig", "add", "--", name, str(git_repo()), code=2)
    assert ran.err.startswith("error: ")
    assert gt("rig", "list", "--json").json == []
    assert [p for p in Path(town.root, "work").iterdir() if p.name != ".gitignore"] == []


def test_sources_that_cannot_be_leave_nothing(gt: Runner, town: Town, git_repo: Repo, tmp_path: Path) -> None:
    repo = git_repo("project", {"sub/a.txt": "a\n"})
    git("init", "--quiet", str(tmp_path / "empty"), cwd=tmp_path)
    cases = [
        (["x", str(tmp_path / "nowhere")], None, "nowhere"),
        (["x", str(tmp_path / "empty")], 1, "no commits"),
        (["x", str(repo), "--branch", "mian"], 6, "main"),
        (["x", str(repo / "sub")], 2, "lies inside the repository"),
        (["x", "ext::sh -c evil"], 2, "is no repository"),
        (["x", "https://me:secret@example.org/r.git"], 2, "password"),
        (["x", str(repo), "--prefix", "hq"], 2, "is taken"),
        (["x", str(repo), "--gate", "oops"], 2, "NAME=COMMAND"),
        (["x", str(repo), "--merge", "hope"], 2, "rebase squash merge"),
        (["x", town.root], 2, "this town itself"),
        (["x", str(repo), "--push", "--local"], 2, "cannot be used together"),
    ]
    head = git("rev-parse", "HEAD", cwd=town.root)
    for args, code, said in cases:
        ran = gt("rig", "add", *args, code=code)
        assert ran.code not in (0, 70), args
        assert said in ran.err, (args, ran.err)
        assert "secret" not in ran.err
    assert git("rev-parse", "HEAD", cwd=town.root) == head
    assert [p for p in Path(town.root, "work").iterdir() if p.name != ".gitignore"] == []


def test_twice_is_refused(gt: Runner, git_repo: Repo) -> None:
    repo = git_repo()
    gt("rig", "add", "one", str(repo))
    assert "there is a rig one already" in gt("rig", "add", "one", str(repo), code=5).err


def test_a_killed_add_does_not_stand_in_the_way(gt: Runner, town: Town, git_repo: Repo) -> None:
    repo = git_repo()
    bare = layout.bare(town.root, "one")
    git("clone", "--quiet", "--bare", str(repo), bare, cwd=town.root)
    git("update-ref", "-d", "refs/heads/main", cwd=bare)
    gt("rig", "add", "one", str(repo))
    assert gt("rig", "list").lines == [f"one  on  main  local  active  0  {repo}"]


def test_park_config_and_beads(gt: Runner, git_repo: Repo) -> None:
    gt("rig", "add", "one", str(git_repo("a")))
    gt("rig", "add", "two", str(git_repo("b")))
    assert gt("rig", "park", "one").out == "one  parked\n"
    assert gt("rig", "park", "one").out == "one  parked already\n"
    assert gt("rig", "unpark", "one").out == "one  unparked\n"
    assert gt("rig", "config", "one", "batch", "3").out == "rig.one.batch  3\n"
    assert "must be at least 1" in gt("rig", "config", "one", "batch", "0", code=2).err
    assert gt("rig", "config", "one", "batch").out == "3\n"
    assert gt("rig", "config", "one", "batch", "--at", "HEAD~1").out == "5\n"
    assert "reads the past" in gt("rig", "config", "one", "batch", "4", "--at", "HEAD~1", code=2).err
    assert "did you mean one" in gt("rig", "show", "on", code=6).err
    assert "--rig RIG" in gt("create", "which?", code=2).err
    assert gt("create", "x", "--rig", "two", "--json").json["rig"] == "two"
    assert gt("create", "y", "--rig", "town", "--json").json["rig"] is None
    assert gt("create", "z", "--json", cwd=Path(gt("info", "--json").json["root"], "rigs", "one")).json["rig"] == "one"


def test_removal_names_what_is_at_risk_and_saves_it(gt: Runner, town: Town, git_repo: Repo) -> None:
    gt("rig", "add", "one", str(git_repo()))
    bead = gt("create", "work", "-q").out.strip()
    bare, tree = layout.bare(town.root, "one"), layout.worktree(town.root, "one", "amber")
    branch = f"polecat/amber/{bead}.a1"
    git("worktree", "add", "--quiet", "-b", branch, tree, "refs/remotes/origin/main", cwd=bare)
    Path(tree, "new.txt").write_text("made\n")
    git("add", "new.txt", cwd=tree)
    git("commit", "--quiet", "-m", "work", cwd=tree)
    Path(tree, "loose.txt").write_text("not committed\n")
    refused = gt("rig", "remove", "one", code=5)
    for risk in (bead, branch, "holds work that is on no branch"):
        assert risk in refused.err
    assert Path(tree, "loose.txt").exists()
    done = gt("rig", "remove", "one", "--force", "--json").json
    assert not Path(town.root, "work", "one").exists()
    assert gt("rig", "list", "--json").json == []
    assert gt("show", bead, "--json", "--at", "HEAD~1").json["title"] == "work"
    back = Path(town.root).parent / "back"
    git("clone", "--quiet", "--mirror", done["bundle"], str(back), cwd=town.root)
    assert git("show", f"{branch}:new.txt", cwd=back) == "made"
    refs = git("for-each-ref", "--format=%(refname)", "refs/gt", cwd=back).split()
    assert any("loose.txt" in git("ls-tree", "-r", "--name-only", ref, cwd=back) for ref in refs)


def test_removal_takes_nothing_that_is_no_worktree_of_the_rig(gt: Runner, town: Town, git_repo: Repo) -> None:
    gt("rig", "add", "one", str(git_repo()))
    git("update-ref", "refs/tags/topic", "refs/remotes/origin/main", cwd=layout.bare(town.root, "one"))
    git("branch", "--quiet", "topic", "refs/remotes/origin/main", cwd=layout.bare(town.root, "one"))
    mine = Path(layout.work(town.root, "one"), "notes")
    mine.mkdir()
    (mine / "plan").write_text("mine\n")
    assert "no worktree of the rig, so somebody's own: work/one/notes" in gt("rig", "remove", "one", code=5).err
    (saved,) = gt("rig", "remove", "one", "--force", "--json").json["saved"]
    assert Path(town.root, saved.rpartition("moved to ")[2], "plan").read_text() == "mine\n"
    assert not mine.parent.exists()


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_what_git_lfs_keeps_lands_with_the_work(gt: Runner, git_repo: Repo, town: Town, tmp_path: Path) -> None:
    git("lfs", "install", cwd=tmp_path)
    seed = git_repo("seed", {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    remote = tmp_path / "large.git"
    git("clone", "--quiet", "--bare", str(seed), str(remote), cwd=tmp_path)
    gt("rig", "add", "one", remote.as_uri())
    gt("sling", "Add the data", "one", "--wait", "--", "sh", "-c", "echo much > data.bin")
    git("clone", "--quiet", remote.as_uri(), str(tmp_path / "fresh"), cwd=tmp_path)
    assert (tmp_path / "fresh/data.bin").read_text() == "much\n"
    assert "version https://git-lfs" in git("show", "HEAD:data.bin", cwd=tmp_path / "fresh")
    removed = gt("rig", "remove", "one", "--force", "--json").json
    (large,) = [one for one in removed["saved"] if "git lfs" in one]
    assert [one for one in Path(town.root, large.rpartition("moved to ")[2]).rglob("*") if one.is_file()]


def test_trail_reads_the_rigs_commits(gt: Runner, town: Town, git_repo: Repo) -> None:
    gt("rig", "add", "one", str(git_repo()))
    bead = gt("create", "work", "-q").out.strip()
    bare = layout.bare(town.root, "one")
    parent = git("rev-parse", "refs/remotes/origin/main", cwd=bare)
    message = f"Mend it\n\nBead: {bead}\nAgent: one/amber"
    made = git("commit-tree", "-p", parent, "-m", message, f"{parent}^{{tree}}", cwd=bare)
    git("update-ref", f"refs/heads/polecat/amber/{bead}.a1", made, cwd=bare)
    lines = gt("trail", "commits").lines
    assert len(lines) == 1
    assert lines[0].split()[1:4] == ["commit", "one/amber", bead]
    assert lines[0].endswith(f"Mend it  ({made[:10]}, not landed)")


def test_what_a_worktree_will_not_hold_is_said(gt: Runner, git_repo: Callable[..., Path], tmp_path: Path) -> None:
    sub, repo = git_repo("sub"), git_repo("project", {".gitattributes": "*.bin filter=lfs -text\n"})
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(sub), "lib", cwd=repo)
    git("commit", "--quiet", "-m", "sub", cwd=repo)
    plain = tmp_path / "bin"
    plain.mkdir()
    for name in ("git", "sh"):
        (plain / name).symlink_to(str(shutil.which(name)))
    ran = gt("rig", "add", "one", str(repo), env={"PATH": str(plain)})
    assert "warning: it has submodules" in ran.err
    assert "gt rig config one setup" in ran.err
    assert "git-lfs is not installed" in ran.err
    assert "warning" not in gt("rig", "add", "two", str(git_repo("other"))).err
    assert gt("rig", "remove", "two").out == "two  removed\n"
