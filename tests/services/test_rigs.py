"""Rigs by their service: prefixes, what landing means, two at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused, UsageError
from gastown.services.files.findings import FIXED, OK, WARN
from gastown.services.health import doctor
from gastown.services.landing import landing
from gastown.services.refinery import refinery
from gastown.services.rigs import origins, rigs
from gastown.services.rigs.rigs import NewRig
from gastown.services.settings import trust
from gastown.services.work import done
from gastown.store import layout
from gastown.store.town import Town
from tests.conftest import git
from tests.services.work_lab import Lab

Repo = Callable[..., Path]


def test_prefixes_are_made_and_stay_apart(town: Town, git_repo: Repo) -> None:
    repo = str(git_repo())
    made = [rigs.add(town, NewRig(name, repo), base="/").prefix for name in ("green", "grey", "great-place")]
    assert len(set(made)) == 3
    assert made[0] == "gr"


def test_gates_typed_here_are_trusted(town: Town, git_repo: Repo) -> None:
    rigs.add(town, NewRig("green", str(git_repo()), gates=(("test", "make test"),)), base="/")
    git("remote", "add", "origin", "/nowhere", cwd=town.root)
    trust.require(town, "gate", "green/test", "make test")
    with pytest.raises(Refused):
        trust.require(town, "gate", "green/test", "make evil")


def test_what_happens_in_between_is_undone(town: Town, git_repo: Repo) -> None:
    """Somebody takes the prefix while we clone: our clone goes again."""
    repo = str(git_repo())

    def steal(text: str) -> None:
        if not town.exists(layout.rig_file("other")):
            doc = {"name": "other", "prefix": "zz", "git": repo, "branch": "main"}

            def body(change):
                change.put(layout.rig_file("other"), doc)
                change.emit("rig_add", "added", rig="other")

            town.transact("rig add", body)

    with pytest.raises(Refused, match="zz"):
        rigs.add(town, NewRig("green", repo, prefix="zz"), base="/", progress=steal)
    assert not Path(layout.work(town.root, "green")).exists()
    assert town.rig_names() == ["other"]


@pytest.mark.parametrize("text", ["x", "=cmd", "x=", " = ", "A=b", "a/b=c"])
def test_gates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        rigs.parse_gate(text)


def test_parse_gate_keeps_the_command_whole() -> None:
    assert rigs.parse_gate("test=a=b c='d'") == ("test", "a=b c='d'")


def test_landing_by_what_the_source_is(git_repo: Repo, tmp_path: Path) -> None:
    repo, bare = git_repo("a"), git_repo("b", bare=True)
    assert rigs.landing_for(str(repo)) == "local"
    assert rigs.landing_for(f"file://{repo}") == "local"
    assert rigs.landing_for(str(bare)) == "push"
    assert rigs.landing_for("https://example.org/r.git") == "push"


def test_commands_that_need_a_rigs_first_clone_at_once_all_get_it(town: Town, git_repo: Repo) -> None:
    rig = rigs.add(town, NewRig("green", str(git_repo(bare=True))), base="/")
    shutil.rmtree(layout.work(town.root, "green"))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: rigs.ensure_clone(town, rig), range(4)))
    assert set(made) == {layout.bare(town.root, "green")}
    assert git("for-each-ref", "--format=%(refname)", "refs/remotes/origin/main", cwd=made[0])


def test_a_clone_with_work_is_never_taken_for_a_leftover(town: Town, git_repo: Repo) -> None:
    repo = git_repo()
    bare = layout.bare(town.root, "green")
    git("clone", "--quiet", "--bare", str(repo), bare, cwd=town.root)
    with pytest.raises(GtError, match="earlier rig"):
        rigs.add(town, NewRig("green", str(repo)), base="/")
    assert git("rev-parse", "main", cwd=bare) == git("rev-parse", "main", cwd=repo)


# -- the guard -------------------------------------------------------------------------------------
def test_no_worker_of_a_rig_pushes_its_target_whoever_made_the_clone(work) -> None:
    bead = work.bead()
    work.one(bead.id, agent=work.sleeper())
    for unset in ((), ("--remove-section", "gt")):
        if unset:  # a clone from before there was a guard: it gets one with the next work
            git("config", *unset, cwd=work.bare)
            work.one(work.bead("More").id, agent=work.sleeper())
        tree = work.tree()
        before = tip(work.origin)
        git("commit", "-q", "--allow-empty", "-m", "x", cwd=tree)
        with pytest.raises(AssertionError, match="only the refinery pushes it"):
            git("push", "-q", "origin", "HEAD:main", cwd=tree)
        assert tip(work.origin) == before


@pytest.mark.parametrize("target", ["rel", "fix#1"])
def test_no_worker_pushes_the_other_branch_that_its_work_lands_on(work, target) -> None:
    """The rig's own is not the only one that has gates before it."""
    git("push", "-q", work.origin, f"main:refs/heads/{target}", "main:refs/heads/free", cwd=work.source)
    work.configure(layout.rig_file("app"), gates=[{"name": "test", "run": "false"}])
    bead = work.bead()
    work.configure(bead.path, target=target)
    work.one(bead.id, agent=work.sleeper())
    assert rigs.is_guarded(work.town, work.rig)
    tree, before = work.tree(), git("rev-parse", target, cwd=work.origin)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=tree)
    for branch in (target, "main"):
        with pytest.raises(AssertionError, match="only the refinery pushes it"):
            git("push", "-q", "origin", f"HEAD:{branch}", cwd=tree)
    assert git("rev-parse", target, cwd=work.origin) == before
    git("push", "-q", "origin", "HEAD:free", f"HEAD:{work.now(bead).branch}", cwd=tree)


def test_work_that_lands_on_anothers_work_branch_leaves_that_to_its_worker(work) -> None:
    first = work.bead()
    work.one(first.id, agent=work.sleeper())
    branch = str(work.now(first).branch)
    git("push", "-q", "origin", branch, cwd=work.tree())
    second = work.bead()
    work.configure(second.path, target=branch)
    work.one(second.id, agent=work.sleeper())
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=work.tree())
    git("push", "-q", "origin", branch, cwd=work.tree())


def test_a_rig_that_lands_elsewhere_from_now_on_is_guarded_as_that(local_work) -> None:
    local_work.configure(layout.rig_file("app"), landing="push", git=local_work.origin)
    bead = local_work.run("echo x > new.txt")
    assert refinery.run_once(local_work.town, "app").landed
    assert local_work.now(bead).closed["commit"] == tip(local_work.origin)
    local_work.configure(layout.rig_file("app"), landing="local")
    local_work.run("echo y > newer.txt", "Again")
    assert refinery.run_once(local_work.town, "app").landed
    assert git("rev-parse", "main~1", cwd=local_work.bare) == tip(local_work.origin)


# -- a rig that is given another repository ---------------------------------------------------------
def second(work: Lab, *, related: bool) -> Path:
    """Another repository, which goes on from the rig's present one or shares nothing with it."""
    there = work.path / "second.git"
    if related:
        git("clone", "-q", "--bare", str(work.source), str(there), cwd=work.path)
        return there
    fresh = work.path / "second"
    git("init", "-q", "-b", "main", str(fresh), cwd=work.path)
    (fresh / "other.txt").write_text("another project\n")
    git("add", "-A", cwd=fresh)
    git("commit", "-qm", "another project", cwd=fresh)
    git("clone", "-q", "--bare", str(fresh), str(there), cwd=work.path)
    return there


def tip(repo: Path | str, branch: str = "main") -> str:
    return git("rev-parse", branch, cwd=repo)


def test_work_starts_from_the_repository_that_the_rig_was_given_and_nothing_of_the_old_one_is_a_target(work) -> None:
    git("push", "-q", work.origin, "HEAD:refs/heads/release", cwd=work.source)
    git("fetch", "-q", cwd=work.bare)
    there = second(work, related=False)
    work.configure(layout.rig_file("app"), git=str(there))
    report = work.sling(work.bead("First").id, to="app", command=work.shell("sleep 600"))
    assert any(str(there) in said and work.origin in said for said in report.messages)
    assert tip(work.tree(), "HEAD") == tip(there)
    assert git("config", "remote.origin.url", cwd=work.bare) == str(there)
    assert git("for-each-ref", "--format=%(refname)", "refs/remotes/origin/release", cwd=work.bare) == ""
    with pytest.raises(GtError, match="no branch release"):
        landing.target_now(work.town, work.town.rig("app"), "release")


def test_work_in_progress_keeps_its_branch_and_lands_in_the_repository_that_the_rig_was_given(work) -> None:
    bead = work.bead("Move house")
    work.one(bead.id, agent=work.sleeper())
    (work.tree() / "new.txt").write_text("x\n")
    there, old = second(work, related=True), tip(work.origin)
    work.configure(layout.rig_file("app"), git=str(there))
    assert done.done(work.town, "app/amber").pushed
    branch = str(work.now(bead).branch)
    assert tip(there, branch)
    assert git("for-each-ref", f"refs/heads/{branch}", cwd=work.origin) == ""
    assert refinery.run_once(work.town, "app").landed
    assert git("show", "main:new.txt", cwd=there) == "x"
    assert tip(work.origin) == old
    assert work.now(bead).closed["commit"] == tip(there)


def test_work_that_was_begun_in_another_repository_is_not_handed_in_nor_landed(work) -> None:
    early, late = work.bead("Early"), work.bead("Late")
    for bead, worker in ((early, "app/amber"), (late, "app/birch")):
        assert work.one(bead.id, agent=work.sleeper()).to == worker
        (work.tree(worker) / "new.txt").write_text("x\n")
    done.done(work.town, "app/amber")
    there = second(work, related=False)
    before = tip(there)
    work.configure(layout.rig_file("app"), git=str(there))
    with pytest.raises(Refused, match=r"shares no commit with main of .*second\.git") as refused:
        done.done(work.town, "app/birch")
    assert "git rebase --onto origin/main" in refused.value.hint
    ((_, why),) = refinery.run_once(work.town, "app").waiting
    assert "shares no commit" in why
    assert tip(there) == before
    assert len(git("for-each-ref", "refs/heads", cwd=there).splitlines()) == 1, "nothing was pushed there"
    assert work.now(late).status != "merging"
    assert git("for-each-ref", f"refs/heads/{work.now(late).branch}", cwd=work.bare), "it keeps its branch"


def test_a_landed_target_of_the_old_checkout_is_kept_aside(local_work) -> None:
    bead = local_work.run("echo x > new.txt")
    assert refinery.run_once(local_work.town, "app").landed
    landed = local_work.now(bead).closed["commit"]
    there = second(local_work, related=False)
    local_work.configure(layout.rig_file("app"), git=str(there))
    again = local_work.run("test -f other.txt && echo y > newer.txt", "Again")
    assert refinery.run_once(local_work.town, "app").landed
    assert git("rev-parse", f"{local_work.now(again).closed['commit']}~1", cwd=local_work.bare) == tip(there)
    assert tip(local_work.bare, f"refs/gt/before/main/{landed[:12]}") == landed


def test_a_new_repository_without_what_the_rig_needs_is_said_and_nothing_is_started(work) -> None:
    there = second(work, related=True)
    git("branch", "-m", "main", "trunk", cwd=there)
    bead = work.bead()
    work.configure(layout.rig_file("app"), git=str(there))
    said = work.refused(bead.id, command=work.shell("true"))
    assert "no branch 'main'" in said.message
    assert layout.rig_file("app") in said.hint
    work.configure(layout.rig_file("app"), git=str(work.path / "nowhere"))
    assert "cannot read" in work.refused(bead.id, command=work.shell("true")).message
    assert git("config", "remote.origin.url", cwd=work.bare) == work.origin
    work.configure(layout.rig_file("app"), git=str(there), branch="trunk")
    work.one(bead.id, command=work.shell("sleep 600"))
    assert tip(work.tree(), "HEAD") == tip(there, "trunk")


def test_a_rig_read_before_its_repository_was_changed_does_not_turn_the_clone_back(work) -> None:
    old = work.town.rig("app")
    there = second(work, related=True)
    work.configure(layout.rig_file("app"), git=str(there))
    rigs.ensure_clone(work.town, work.town.rig("app"))
    with pytest.raises(Refused, match="meanwhile"):
        rigs.ensure_clone(work.town, old)
    assert git("config", "remote.origin.url", cwd=work.bare) == str(there)


def test_a_clone_that_is_right_is_known_without_a_process(work, monkeypatch) -> None:
    rig = work.town.rig("app")
    monkeypatch.setattr("gastown.runtime.git.run", lambda *_args, **_options: pytest.fail("git was started"))
    assert origins.follow(work.town, rig) == ""


def test_the_doctor_says_whose_the_clone_is_and_makes_it_follow(work) -> None:
    def states(*, fix: bool = False) -> list[str]:
        return [one.state for one in doctor.examine(work.town, fix=fix) if one.check == "rigs"]

    assert states() == [OK]
    there = second(work, related=True)
    work.configure(layout.rig_file("app"), git=str(there))
    assert states() == [WARN]
    assert states(fix=True) == [FIXED]
    assert states() == [OK]
    assert git("config", "remote.origin.url", cwd=work.bare) == str(there)
