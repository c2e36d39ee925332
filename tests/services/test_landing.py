"""Landing against everything that can go wrong with a push: never recorded unless it is there, and there once."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gastown.runtime import clones, git, joins, processes
from gastown.services.health import doctor, status
from gastown.services.landing import landing
from gastown.services.refinery import refinery
from gastown.services.rigs import pulling
from gastown.services.settings import trust
from gastown.store import layout
from tests.services.refinery_lab import ME, RIG, Lab
from tests.store.towns import git as plain_git


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def test_a_remote_hook_that_rejects_then_allows(lab):
    entry = lab.finish({"a": "1"})
    hook = lab.hook("pre-receive", 'while read old new ref; do [ "$ref" = refs/heads/main ] && '
                    'echo "not today" >&2 && exit 1; done; exit 0')  # fmt: skip
    before = lab.main()
    report = lab.run()
    assert report.landed == ()
    ((merge, why),) = report.waiting
    assert merge == entry.id
    assert "main did not take it" in why
    assert "not today" in why
    assert lab.main() == before
    lab.assert_not_landed(entry)
    said = len(lab.feed("merge_failed"))
    lab.run()
    assert len(lab.feed("merge_failed")) == said, "the same reason is said once"
    hook.unlink()
    lab.run()
    lab.assert_landed_once(entry)


def test_the_target_moves_between_stack_and_push(lab):
    lab.gate("true")
    entry = lab.finish({"a": "1"})
    moved: list[str] = []

    def move(step):
        if step.kind == "gate" and not moved:
            moved.append(lab.push({"b": "somebody else's"}))

    lab.run(move)
    lab.assert_landed_once(entry)
    assert "moved" in lab.kinds()
    assert lab.file("b") == "somebody else's"
    assert plain_git(lab.origin, "rev-parse", "main~1") == moved[0]


def test_a_target_that_always_moves_is_given_up_for_now(lab):
    lab.gate("true")
    entry = lab.finish({"a": "1"})
    count = iter(range(100))
    report = lab.run(lambda step: lab.push({"b": str(next(count))}) if step.kind == "gate" else None)
    assert report.landed == ()
    assert "moved" in report.waiting[0][1]
    lab.assert_not_landed(entry)
    lab.run()
    lab.assert_landed_once(entry)


def test_the_target_moves_onto_a_conflict(lab):
    lab.gate("true")
    entry = lab.finish({"list.txt": "one\ntwo\nthree\nmine\n"})
    moved: list[str] = []

    def move(step):
        if step.kind == "gate" and not moved:
            moved.append(lab.push({"list.txt": "one\ntwo\nthree\ntheirs\n"}))

    report = lab.run(move)
    lab.assert_not_landed(entry)
    assert [back.reason for back in report.sent_back] == ["conflict"]


def test_a_push_that_lies_is_not_believed(lab):
    entry = lab.finish({"a": "1"})
    before = lab.main()
    hook = lab.hook("post-receive", f"git update-ref refs/heads/main {before}")
    report = lab.run()
    assert report.landed == ()
    assert "still at" in report.waiting[0][1]
    lab.assert_not_landed(entry)
    hook.unlink()
    lab.run()
    lab.assert_landed_once(entry)


def test_a_commit_that_the_remote_drops_is_not_recorded(lab):
    """The remote takes the push and puts something else there: the landed commits are not in it."""
    entry = lab.finish({"a": "1"})
    other = lab.push({"z": "elsewhere"}, branch="side")
    hook = lab.hook("post-receive", f"git update-ref refs/heads/main {other}")
    lab.run()
    lab.assert_not_landed(entry)
    hook.unlink()
    lab.run()
    lab.assert_landed_once(entry)
    assert lab.file("z") == "elsewhere"


def test_a_push_that_is_reported_as_failed_but_arrived(lab):
    """Somebody pushes on top before we look: our commits are in it, and that is what counts."""
    entry = lab.finish({"a": "1"})
    lab.hook("post-receive", f"""
read old new ref
[ "$ref" = refs/heads/main ] || exit 0
[ -f {lab.path}/done ] && exit 0
touch {lab.path}/done
commit=$(GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x \
  git commit-tree "$new^{{tree}}" -p "$new" -m ontop)
git update-ref refs/heads/main "$commit"
""")
    lab.run()
    lab.assert_landed_once(entry)
    assert plain_git(lab.origin, "log", "-1", "--format=%s", "main") == "ontop"


def test_a_branch_that_is_missing_waits_and_lands_when_it_is_back(lab):
    entry, other = lab.finish({"a": "1"}), lab.finish({"b": "1"})
    tree = Path(lab.root, "work", RIG, "cat1")
    git.run(["checkout", "-q", "--detach"], cwd=tree)
    git.run(["branch", "-q", "-D", entry.branch], cwd=lab.bare)
    plain_git(lab.origin, "update-ref", "-d", f"refs/heads/{entry.branch}")
    report = lab.run()
    assert [bead for _, bead, _ in report.landed] == [other.source]
    assert "is missing" in dict(report.waiting)[entry.id]
    lab.assert_not_landed(entry)
    git.run(["branch", entry.branch, entry.commit], cwd=lab.bare)
    lab.run()
    lab.assert_landed_once(entry, other)


def test_a_branch_that_was_rewound_does_not_land(lab):
    entry = lab.finish({"a": "1"}, {"b": "2"})
    tree = Path(lab.root, "work", RIG, "cat1")
    git.run(["reset", "-q", "--hard", "HEAD~1"], cwd=tree)
    git.run(["push", "-q", "--force", "origin", entry.branch], cwd=tree)
    report = lab.run()
    assert "no longer holds" in report.waiting[0][1]
    lab.assert_not_landed(entry)


def test_work_pushed_from_another_machine_lands(lab):
    entry = lab.finish({"a": "1"})
    git.run(["worktree", "remove", "--force", str(Path(lab.root, "work", RIG, "cat1"))], cwd=lab.bare)
    git.run(["branch", "-q", "-D", entry.branch], cwd=lab.bare)
    lab.run()
    lab.assert_landed_once(entry)


def test_a_remote_out_of_reach_is_not_an_empty_one(lab):
    entry = lab.finish({"a": "1"})
    Path(lab.origin).rename(lab.path / "away")
    report = lab.run()
    assert "cannot read" in report.waiting[0][1]
    (lab.path / "away").rename(lab.origin)
    lab.assert_not_landed(entry)
    lab.run()
    lab.assert_landed_once(entry)


def onto(lab: Lab, target: str, *steps: dict[str, str]):
    """Finished work for another branch than the rig's own."""
    entry = lab.finish(*steps)

    def body(change):
        for bead in (change.bead(entry.source), change.bead(entry.id)):
            bead.set("target", target)
            change.save(bead)
        change.emit("edit", "target", bead=entry.source)

    lab.town.transact("edit", body)
    return entry


def test_a_target_that_somebody_deleted_keeps_only_its_own_work_waiting(lab):
    was = lab.push({"r": "1"}, branch="rel")
    lost, other = onto(lab, "rel", {"a": "1"}), lab.finish({"b": "1"})
    plain_git(lab.origin, "update-ref", "-d", "refs/heads/rel")
    report = lab.run()
    lab.assert_landed_once(other)
    assert "has no branch rel" in dict(report.waiting)[lost.id]
    lab.assert_not_landed(lost)
    (problem,) = [one for one in status.status(lab.town, lab.town).problems if one.subject == lost.id]
    assert "has no branch rel" in problem.text
    plain_git(lab.origin, "update-ref", "refs/heads/rel", was)
    lab.run()
    assert lab.status(lost) == ("closed", "closed", "merged")
    assert lab.file("a", "rel") == "1"


def test_an_interrupted_landing_on_a_target_that_is_gone_has_not_happened(lab):
    lab.push({"r": "1"}, branch="rel")
    lost, other = onto(lab, "rel", {"a": "1"}), lab.finish({"b": "1"})
    rig, tip = lab.town.rig(RIG), lab.main()
    landing.intend(lab.town, rig, landing.Intent("rel", tip, lost.commit, {lost.id: lost.commit}, "no gates"))
    plain_git(lab.origin, "update-ref", "-d", "refs/heads/rel")
    lab.run()
    lab.assert_landed_once(other)
    lab.assert_not_landed(lost)
    assert landing.intended(lab.town, rig) is None


@pytest.mark.parametrize("merge", ["rebase", "squash", "merge"])
def test_work_that_git_cannot_even_write_out_waits_alone(tmp_path, merge):
    lab = Lab(tmp_path, merge=merge)
    for key, value in {"smudge": "false", "clean": "cat", "required": "true"}.items():
        git.run(["config", f"filter.far.{key}", value], cwd=lab.bare)
    odd = lab.finish({".gitattributes": "*.far filter=far\n"}, {"big.far": "1"})
    other = lab.finish({"b": "1"})
    report = lab.run()
    assert [bead for _, bead, _ in report.landed] == [other.source]
    assert "git could not put it on main" in dict(report.waiting)[odd.id]
    assert report.sent_back == ()
    assert lab.status(odd) == ("merging", "open", "")
    git.run(["config", "filter.far.smudge", "cat"], cwd=lab.bare)
    lab.run()
    assert lab.status(odd) == ("closed", "closed", "merged")
    assert lab.file("big.far") == "1"


def test_agents_cannot_push_the_target(lab):
    lab.finish({"a": "1"})
    tree = Path(lab.root, "work", RIG, "cat1")
    assert git.run(["push", "-q", "origin", "HEAD:main"], cwd=tree, check=False).code != 0


# -- landing: local -------------------------------------------------------------------------------
@pytest.fixture
def local(tmp_path):
    lab = Lab(tmp_path)
    lab.configure(landing="local")
    return lab


def test_a_local_landing_moves_the_clones_own_branch(local):
    local.gate("test -f list.txt")
    one = local.finish({"a": "1"})
    before = local.main()
    local.run()
    assert local.main() == before, "the remote is not touched"
    two = local.finish({"b": "1"})
    local.run()
    for entry in (one, two):
        assert local.status(entry) == ("closed", "closed", "merged")
        assert clones.is_ancestor(local.bare, local.town.bead(entry.source).closed["commit"], "refs/heads/main")
    assert git.text(["show", "refs/heads/main:a"], cwd=local.bare) == "1"
    assert git.text(["show", "refs/heads/main:b"], cwd=local.bare) == "1"


def test_a_worktree_on_the_target_keeps_all_it_holds_and_nobody_waits_for_it(local):
    local.run()
    there = str(local.path / "mine")
    first = local.finish({"a": "1"})
    local.run()
    git.run(["worktree", "add", "-q", there, "main"], cwd=local.bare)
    Path(there, "list.txt").write_text("my own dirt")
    second = local.finish({"b": "1"})
    assert local.run().waiting == ()
    assert local.status(second) == ("closed", "closed", "merged")
    assert git.text(["show", "main:b"], cwd=local.bare) == "1"
    assert git.text(["status", "--porcelain"], cwd=there) == "M list.txt"
    assert git.text(["rev-parse", "HEAD"], cwd=there) == local.town.bead(first.source).closed["commit"]


def past_the_hook(lab, tree: str, *args: str) -> None:
    git.run(["-c", "core.hooksPath=/dev/null", *args], cwd=tree, env=ME)


def test_what_came_onto_the_target_past_the_refinery_has_not_landed_and_is_kept(local):
    local.gate("! test -e bad")
    one = local.finish({"a": "1"})
    local.run()
    landed = local.town.bead(one.source).closed["commit"]
    tree = str(Path(local.root, "work", RIG, "cat1"))
    past_the_hook(local, tree, "checkout", "-q", "main")
    Path(tree, "bad").write_text("ungated")
    past_the_hook(local, tree, "add", "bad")
    past_the_hook(local, tree, "commit", "-q", "-m", "direct")
    direct = git.text(["rev-parse", "HEAD"], cwd=tree)
    rig = local.town.rig(RIG)
    assert pulling.waiting(local.town, rig) == 1
    assert pulling.command(local.town, rig).endswith(" refs/gt/landed/main")
    said = [one for one in status.status(local.town, local.town).problems if one.kind == "landing"]
    assert [one.command for one in said] == [f"gt refinery run {RIG}"]
    assert any(one.check == "landing" for one in doctor.examine(local.town))
    two = local.finish({"b": "1"}, base=landed)
    report = local.run()
    assert local.status(two) == ("closed", "closed", "merged"), report
    assert git.text(["rev-parse", "main~1"], cwd=local.bare) == landed
    assert not clones.is_ancestor(local.bare, direct, "refs/heads/main")
    assert Path(tree, "bad").read_text() == "ungated"
    (kept,) = git.text(["for-each-ref", "--format=%(refname)", "refs/gt/rescue"], cwd=local.bare).splitlines()
    assert clones.resolve(local.bare, kept) == direct
    assert any(kept in text and "1 commit" in text for text in local.feed("rescue"))
    mail = local.town.mail_names("overseer", "new")
    assert any(kept.encode() in local.town.read(f"{layout.mailbox('overseer')}/new/{name}") for name in mail)
    assert not [one for one in status.status(local.town, local.town).problems if one.kind == "landing"]
    local.run()
    assert len(local.feed("rescue")) == 1


def test_a_target_that_was_wound_back_or_deleted_is_put_where_work_has_landed(local):
    one = local.finish({"a": "1"})
    local.run()
    landed = local.town.bead(one.source).closed["commit"]
    git.run(["update-ref", "-d", "refs/heads/main"], cwd=local.bare)
    local.run()
    assert clones.resolve(local.bare, "refs/heads/main") == landed
    past_the_hook(local, local.bare, "update-ref", "refs/heads/main", f"{landed}~1")
    local.run()
    assert clones.resolve(local.bare, "refs/heads/main") == landed
    assert git.run(["for-each-ref", "refs/gt/rescue"], cwd=local.bare).out == b""


def test_a_clone_from_before_there_was_a_ref_of_what_landed_goes_on_from_what_the_town_says(local):
    one = local.finish({"a": "1"})
    local.run()
    landed = local.town.bead(one.source).closed["commit"]
    git.run(["update-ref", "-d", "refs/gt/landed/main"], cwd=local.bare)
    local.run()
    assert clones.resolve(local.bare, "refs/gt/landed/main") == landed
    git.run(["update-ref", "-d", "refs/gt/landed/main"], cwd=local.bare)
    assert pulling.waiting(local.town, local.town.rig(RIG)) == 1
    direct = git.text(["commit-tree", "-p", landed, "-m", "direct", "main^{tree}"], cwd=local.bare, env=ME)
    past_the_hook(local, local.bare, "update-ref", "refs/heads/main", direct)
    assert pulling.waiting(local.town, local.town.rig(RIG)) == 1
    two = local.finish({"b": "1"}, base=landed)
    local.run()
    assert local.status(two) == ("closed", "closed", "merged")
    assert git.text(["rev-parse", "main~1"], cwd=local.bare) == landed


# -- landing: local, while the person goes on in their checkout -----------------------------------
def commit_there(lab, name: str, text: str) -> str:
    """A commit of the person's own, in their checkout."""
    (lab.source / name).write_text(text)
    return lab.commit_source(f"my own {name}")


def pull_there(lab, **options: bool) -> git.Result:
    command = pulling.command(lab.town, lab.town.rig("app"))
    return git.run(shlex.split(command)[1:], cwd=lab.source, env=ME, **options)


def test_work_begins_is_tested_and_lands_on_what_landed_and_on_the_persons_own_commits(local_work):
    lab = local_work
    lab.configure(layout.rig_file("app"), gates=[{"name": "t", "run": "test -e mine || ! test -e second"}])
    trust.record(lab.town, "gate", "app/t", "test -e mine || ! test -e second")
    first = lab.run("echo 1 > first")
    assert refinery.run_once(lab.town, "app").landed
    landed, own = lab.now(first).closed["commit"], commit_there(lab, "mine", "1")
    idle = lab.run("test -e first && test -e mine")
    assert idle.closed["reason"] == "no changes: the command changed nothing"
    second = lab.run("test -e first && test -e mine && echo 2 > second")
    later = commit_there(lab, "later", "1")
    report = refinery.run_once(lab.town, "app")
    assert lab.now(second).closed.get("reason") == "merged", report
    tip = git.text(["rev-parse", "refs/heads/main"], cwd=lab.bare)
    assert all(clones.is_ancestor(lab.bare, one, tip) for one in (landed, own, later))
    assert git.text(["log", "--format=%s", "-1", "--no-merges", tip], cwd=lab.bare) == "Some work"
    assert git.text(["rev-list", "--count", "--merges", tip], cwd=lab.bare) == "1", "the join it lands on, and no other"
    assert not git.text(["for-each-ref", joins.JOINED], cwd=lab.bare).count(tip)
    assert pull_there(lab).code == 0
    assert git.text(["rev-parse", "main"], cwd=lab.source) == tip, "the pull was a fast-forward"
    assert pulling.waiting(lab.town, lab.town.rig("app")) == 0


@pytest.mark.parametrize("ff", ["", "only", "false"])
def test_the_pull_that_is_named_works_while_both_have_moved(local_work, ff):
    lab = local_work
    if ff:
        git.run(["config", "pull.ff", ff], cwd=lab.source)
    lab.run("echo 1 > first")
    assert refinery.run_once(lab.town, "app").landed
    commit_there(lab, "mine", "1")
    assert pulling.waiting(lab.town, lab.town.rig("app")) == 1
    assert pull_there(lab).code == 0
    assert (lab.source / "first").exists()
    commit_there(lab, "more", "1")
    assert pulling.waiting(lab.town, lab.town.rig("app")) == 0
    assert "--no-rebase" not in pulling.command(lab.town, lab.town.rig("app"))
    second = lab.run("test -e more && echo 2 > second")
    assert refinery.run_once(lab.town, "app").landed
    assert git.text(["rev-parse", f"{lab.now(second).closed['commit']}~1"], cwd=lab.bare) == git.text(
        ["rev-parse", "main"], cwd=lab.source
    )


def test_a_tag_named_like_the_branch_is_not_pulled_in_its_place(local_work):
    lab = local_work
    git.run(["tag", "main", "HEAD"], cwd=lab.source)
    lab.run("echo 1 > first")
    assert refinery.run_once(lab.town, "app").landed
    assert pull_there(lab).code == 0
    assert (lab.source / "first").exists()
    git.run(["tag", "-d", "main"], cwd=lab.bare)
    assert pulling.command(lab.town, lab.town.rig("app")).endswith(" main")


def test_what_cannot_be_joined_waits_for_the_person_with_a_command_that_helps(local_work):
    lab = local_work
    lab.run("echo theirs > old.txt")
    assert refinery.run_once(lab.town, "app").landed
    commit_there(lab, "old.txt", "mine")
    bead = lab.bead()
    report = lab.sling(bead.id, command=lab.shell("echo 2 > second"))
    assert any("conflict in old.txt" in said for said in report.messages)
    lab.ended(report.dispatched[0].session)
    ((_, why),) = refinery.run_once(lab.town, "app").waiting
    assert "conflict in old.txt" in why
    assert pulling.command(lab.town, lab.town.rig("app")) in why
    assert pull_there(lab, check=False).code == 1
    (lab.source / "old.txt").write_text("both")
    lab.commit_source("joined")
    assert refinery.run_once(lab.town, "app").landed
    assert lab.now(bead).closed["reason"] == "merged"
    assert git.text(["show", "main:old.txt"], cwd=lab.bare) == "both"


# -- kill -9 --------------------------------------------------------------------------------------
KILL = "refinery.run_once(town, RIG, on_step=lambda s: os.kill(os.getpid(), 9) if s.kind == {0!r} else None)"


@pytest.mark.parametrize("kind", ["stacked", "gate", "pushed", "merged"])
def test_killed_at_a_step_it_lands_exactly_once(lab, kind):
    lab.gate("test -f list.txt")
    one, two = lab.finish({"a": "1"}), lab.finish({"b": "1"})
    assert lab.child(KILL.format(kind)) == -9, lab.child_said
    if kind == "pushed":
        lab.push({"a": "and somebody goes on from there"})
    lab.run()
    lab.assert_landed_once(one, two)
    assert git.run(["for-each-ref", "refs/heads/polecat"], cwd=lab.bare).out == b""
    assert git.run(["for-each-ref", "refs/heads/polecat"], cwd=lab.origin).out == b""
    assert lab.run().landed == ()


def test_killed_at_every_write_it_lands_exactly_once(lab):
    """GT_FAULT kills before the k-th write, fsync or rename of the town's files; spread over the whole run."""
    survived = None
    for k in (2, 5, 11, 17, 23, 29, 37, 43, 53, 61, 71, 83, 97, 113, 400):
        entry = lab.finish({f"file{k}": "1"}, worker="toast")
        code = lab.child("refinery.run_once(town, RIG)", GT_FAULT=str(k))
        assert code in (0, -9), lab.child_said
        if code == 0:
            survived = k
        else:
            lab.run()
        lab.assert_landed_once(entry)
        if survived:
            break
    assert survived
    assert survived > 23


def test_a_gate_that_outlives_its_killed_refinery_is_ended(lab):
    """And what it started in a session of its own; until then the doctor names both."""
    pid_file, far_file = lab.path / "pid", lab.path / "far"
    far = f"setsid sh -c 'echo $$ > {far_file}; exec sleep 300' & until [ -s {far_file} ]; do sleep 0.01; done"
    lab.gate(f"[ -f {pid_file} ] || {{ {far}; echo $$ > {pid_file}; exec sleep 300; }}")
    entry = lab.finish({"a": "1"})
    code = lab.child(
        "import threading, time\n"
        f"def wait():\n    while not os.path.exists({str(pid_file)!r}): time.sleep(0.01)\n"
        "    note = os.path.join(town.root, '.gt/run/refinery/greenplace-gate.json')\n"
        "    while not os.path.exists(note): time.sleep(0.01)\n    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=wait).start()\nrefinery.run_once(town, RIG)\n"
    )
    assert code == -9, lab.child_said
    left = [processes.proc(int(file.read_text())) for file in (pid_file, far_file)]
    named = [one.text for one in doctor.examine(lab.town) if one.check == "gates"]
    assert all(any(f"process {one.pid} was left running by a gate" in text for text in named) for one in left)
    lab.run()
    assert not any(map(processes.alive, left))
    lab.assert_landed_once(entry)


def test_a_setup_that_outlives_its_killed_refinery_is_ended_before_the_next(lab):
    """Two of them in one worktree would trip over each other."""
    pid_file = lab.path / "pid"
    lab.configure(setup=[f"[ -f {pid_file} ] || {{ echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; "
                         f"exec sleep 300; }}"])  # fmt: skip
    entry = lab.finish({"a": "1"})
    code = lab.child(
        "import threading, time\n"
        f"def wait():\n    while not os.path.exists({str(pid_file)!r}): time.sleep(0.01)\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=wait).start()\nrefinery.run_once(town, RIG)\n"
    )
    assert code == -9, lab.child_said
    left = processes.proc(int(pid_file.read_text()))
    assert processes.alive(left)
    lab.run()
    assert not processes.alive(left)
    lab.assert_landed_once(entry)
