"""git pull, pull --rebase, merge, cherry-pick and stash pop in a town come to what `gt sync` comes to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.model.merge import Settled
from gastown.services.agents import wiring
from gastown.services.mail.mailbox import content, letters
from gastown.services.sync import settle, unfinished
from gastown.services.sync.sync import sync
from gastown.store import identity
from gastown.store.town import Town
from gastown.store.view import LiveView
from tests.conftest import Clock, git, run_gt
from tests.sync.ground import Ground, bead, check_clean, contents, note, plain, update

PULL = ("pull", "--no-rebase", "--no-edit")
REBASE = ("pull", "--rebase")
WAYS = pytest.mark.parametrize("way", [PULL, REBASE], ids=["pull", "rebase"])


def synced(ground: Ground) -> tuple[Town, Town]:
    """Two machines that hold the same."""
    here = ground.towns["anvil"]
    sync(here)
    there = ground.add("brick")
    sync(here)
    return here, there


def alike(ground: Ground, here: Town, way: tuple[str, ...], *, stops: bool = False) -> Town:
    """Pull here in a plain way, and hold that it comes to what a sync comes to; `stops`: git may leave it to gt."""
    other = ground.twin(here, "other")
    plain(here, *way, code=None if stops else 0)
    if here.repo.under_way():
        unfinished.finish(here)
    sync(other)
    assert contents(here) == contents(other)
    told = [sorted(event["text"] for event in town.events() if event["type"] == "sync_conflict_resolved")
            for town in (here, other)]  # fmt: skip
    assert told[0] == told[1]
    check_clean(here)
    return here


def update_by_hand(town: Town, bead_id: str, *words: str) -> None:
    """An editor's work on a bead: old and new, in turn."""
    path = Path(town.root, str(town.bead_path(bead_id)))
    text = path.read_text()
    for old, new in zip(words[::2], words[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def commit_mail(town: Town, old: str, new: str) -> None:
    """What a mail program does, committed by its owner."""
    box = Path(town.root, "mail")
    (box / new).parent.mkdir(parents=True, exist_ok=True)
    (box / old).rename(box / new)
    git("add", "--all", "mail", cwd=town.root)
    git("commit", "--quiet", "--message", "mail", cwd=town.root)


@pytest.mark.parametrize("choice", [None, ("pull.rebase", "true"), ("pull.ff", "only")], ids=["none", "rebase", "ff"])
def test_a_pull_without_words_merges_unless_the_person_chose(ground: Ground, choice: tuple[str, str] | None) -> None:
    here, there = synced(ground)
    if choice:
        plain(here, "config", "--unset", "pull.rebase")
        plain(here, "config", *choice)
        assert wiring.wire(here) == []
    one, other = bead(here, "Here"), bead(there, "There")
    sync(there)
    done = plain(here, "pull", "--no-edit", code=None)
    assert (done.returncode == 0) == (choice != ("pull.ff", "only")), done.stderr
    assert here.bead(one).title == "Here"
    assert (here.bead_path(other) is not None) == (done.returncode == 0)


def test_attributes_that_a_pull_brought_change_nothing_in_how_files_merge(ground: Ground) -> None:
    here, there = synced(ground)
    made = bead(here, "One")
    sync(here)
    Path(here.root, ".gitattributes").write_text("* merge=union filter=odd\n")
    plain(here, "commit", "--quiet", "--all", "--message", "odd")
    sync(here)
    sync(there)
    update(here, made, title="Here's")
    update(there, made, title="There's")
    sync(there)
    plain(here, "pull", "--no-rebase", "--no-edit")
    assert here.bead(made).title in ("Here's", "There's")
    said = plain(here, "check-attr", "merge", "filter", "text", "--", "mail/a/cur/1", str(here.bead_path(made))).stdout
    assert [line.rpartition(": ")[2] for line in said.splitlines()] == ["gt", "unset", "unset", "gt", "unset", "set"]


def test_nothing_is_written_over_a_file_that_git_could_not_merge(ground: Ground) -> None:
    here, there = synced(ground)
    made = bead(here, "One")
    sync(here)
    sync(there)
    note(there, made, "theirs")
    sync(there)
    note(here, made, "ours")
    plain(here, "-c", "merge.gt.driver=false", "pull", "--no-rebase", "--no-edit", code=1)
    with pytest.raises(Refused, match="is in conflict in a merge") as error:
        note(here, made, "meanwhile")
    assert str(error.value.hint).startswith("gt sync --continue")
    other = bead(here, "Another is made all the same")
    unfinished.finish(here)
    note(here, made, "after")
    texts = [one["text"] for one in here.bead(made).notes]
    assert sorted(texts) == ["after\n", "ours\n", "theirs\n"]
    assert here.bead(other).title.startswith("Another")
    sync(here)
    check_clean(here)


def test_a_persons_own_attributes_stay(ground: Ground) -> None:
    here, _ = synced(ground)
    path = Path(here.repo.common_dir, "info/attributes")
    ours = path.read_text()
    path.write_text(f"*.pdf diff=pdf\n{ours}*.yaml diff=yaml")
    assert wiring.missing(here) == ["info/attributes"]
    wiring.wire(here)
    assert path.read_text() == f"*.pdf diff=pdf\n*.yaml diff=yaml\n{ours}"
    assert wiring.wire(here) == []


# -- beads --------------------------------------------------------------------------------------------
@WAYS
def test_every_rule_for_a_bead(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    here = ground.towns["anvil"]
    text = "".join(f"line {n}\n" for n in range(9))
    made = bead(here, "One", description=text, labels=["old", "both"], acceptance="x\n")
    need = bead(here, "Need")
    other = bead(here, "Closed there, spoken of here")
    here, there = synced(ground)
    note(there, made, "from brick")
    update(there, made, title="Brick's", labels=["brick", "both"], description=text.replace("8", "EIGHT"))
    update(there, made, acceptance="brick\n", priority=1, **{"x-map": {"a": 1, "c": 1}})
    with there.change("close") as change:
        one = change.bead(other)
        one.close(at=change.at, by="overseer", reason="done")
        change.save(one)
        change.emit("close", "closed", bead=other)
    sync(there)
    clock.advance(60)
    note(here, made, "from anvil")
    update(here, made, title="Anvil's", labels=["anvil", "both", "old"], description=text.replace("0", "ZERO"))
    update(here, made, acceptance="anvil\n", needs=[need], **{"x-map": {"b": 2, "c": 2}})
    note(here, other, "still said")
    one = alike(ground, here, way).bead(made)
    assert (one.title, one.priority, one.labels, one.needs) == ("Anvil's", 1, ["anvil", "both", "brick"], [need])
    assert one.description == text.replace("8", "EIGHT").replace("0", "ZERO")
    assert one.doc["x-map"] == {"a": 1, "b": 2, "c": 2}
    assert [item["text"] for item in one.doc["conflicts"]] == ["brick\n", "anvil\n"]
    assert {"from anvil\n", "from brick\n"} < {item["text"] for item in one.notes}
    assert any("Brick's" in item["text"] for item in one.notes)
    assert here.bead(other).status == "closed"
    assert "still said\n" in {item["text"] for item in here.bead(other).notes}


@WAYS
def test_two_beads_with_one_id_and_what_belongs_to_them(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    parent, other = (bead(ground.towns["anvil"], title) for title in ("Parent", "Other"))
    here, there = synced(ground)
    for town, who in ((there, "brick"), (here, "anvil")):
        clock.advance(60)
        first = bead(town, f"{who} first", parent=parent)
        below = bead(town, f"{who} below", parent=first)
        bead(town, f"{who} needs", needs=[first, below])
        update(town, other, **{f"x-{who}": 1}, needs=[first])
        note(town, first, f"said at {who}")
        with town.change("close") as change:
            one = change.bead(below)
            one.close(at=change.at, by="overseer", reason=who)
            change.save(one)
    sync(there)
    town = alike(ground, here, way)
    ids = {row.title: row.id for row in town.index().rows}
    assert ids["brick first"] == f"{parent}.1"
    assert (ids["anvil first"], ids["anvil below"]) == (f"{parent}.2", f"{parent}.2.1")
    for who in ("brick", "anvil"):
        assert town.bead(ids[f"{who} needs"]).needs == sorted([ids[f"{who} first"], ids[f"{who} below"]])
        assert f"said at {who}\n" in {item["text"] for item in town.bead(ids[f"{who} first"]).notes}
        assert town.bead(ids[f"{who} below"]).closed["reason"] == who
    assert town.bead(other).needs == sorted([ids["brick first"], ids["anvil first"]])


@WAYS
def test_many_that_get_new_numbers_stay_in_their_order(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    for town in (there, here):
        for number in range(1, 12):
            bead(town, f"{town.machine} {number}", parent=parent)
        clock.advance(60)
    sync(there)
    town = alike(ground, here, way)
    ids = {row.title: row.id for row in town.index().rows}
    assert [ids[f"brick {number}"] for number in range(1, 12)] == [f"{parent}.{number}" for number in range(1, 12)]
    assert [ids[f"anvil {number}"] for number in range(1, 12)] == [f"{parent}.{number}" for number in range(12, 23)]


@WAYS
def test_one_id_on_two_days(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    """The files lie in different folders: git sees no conflict at all."""
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    bead(there, "yesterday", parent=parent)
    sync(there)
    clock.advance(86_400)
    first = bead(here, "today", parent=parent)
    bead(here, "today below", parent=first)
    bead(here, "needs it", needs=[first])
    town = alike(ground, here, way)
    ids = {row.title: row.id for row in town.index().rows}
    assert (ids["yesterday"], ids["today"], ids["today below"]) == (f"{parent}.1", f"{parent}.2", f"{parent}.2.1")
    assert town.bead(ids["needs it"]).needs == [f"{parent}.2"]


@WAYS
def test_what_was_said_of_a_bead_that_was_renumbered_elsewhere(
    ground: Ground, clock: Clock, way: tuple[str, ...]
) -> None:
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    bead(there, "From brick", parent=parent)
    clock.advance(60)
    ours = bead(here, "From anvil", parent=parent)
    below = bead(here, "Below it", parent=ours)
    sync(here)
    sync(there)  # anvil's are renumbered there
    note(here, ours, "said before anvil knew")
    note(here, below, "said of that below")
    other = ground.twin(here, "other")
    # That below lies at another place now, and nobody else took its old one: git stops at it.
    plain(here, *way, code=1)
    unfinished.finish(here)
    sync(other)
    for town in (here, other):
        ids = {row.title: row.id for row in town.index().rows}
        assert (ids["From anvil"], ids["Below it"]) == (f"{parent}.2", f"{parent}.2.1")
        said = [{item["text"] for item in town.bead(one).notes} for one in ids.values()]
        assert [title for title, texts in zip(ids, said, strict=True) if "said before anvil knew\n" in texts] == [
            "From anvil"
        ]
        assert "said of that below\n" in {item["text"] for item in town.bead(f"{parent}.2.1").notes}
        assert len(ids) == 4
        check_clean(town)
    assert contents(here) == contents(other)


@WAYS
def test_what_is_made_for_a_bead_that_was_renumbered_elsewhere_belongs_to_it(
    ground: Ground, clock: Clock, way: tuple[str, ...]
) -> None:
    """Nothing here says a word about that bead itself: git sees no conflict, and the old id is another one's now."""
    parent, other = (bead(ground.towns["anvil"], title) for title in ("Parent", "Other"))
    here, there = synced(ground)
    bead(there, "From brick", parent=parent)
    clock.advance(60)
    ours = bead(here, "From anvil", parent=parent)
    sync(here)
    sync(there)
    clock.advance(60)
    bead(here, "Below it", parent=ours)
    update(here, other, needs=[ours])
    bead(here, "New", needs=[ours])
    town = alike(ground, here, way)
    ids = {row.title: row.id for row in town.index().rows}
    assert (ids["From anvil"], ids["Below it"]) == (f"{parent}.2", f"{parent}.2.1")
    speaking = (town.bead(ids["Below it"]).parent, *town.bead(other).needs, *town.bead(ids["New"]).needs)
    assert set(speaking) == {f"{parent}.2"}


def test_a_reference_that_followed_and_was_turned_back_stays(ground: Ground, clock: Clock) -> None:
    """Every machine looks at a merge that plain git made. What a person said after that is no slip of the merge."""
    parent, other = (bead(ground.towns["anvil"], title) for title in ("Parent", "Other"))
    here, there = synced(ground)
    first = bead(there, "From brick", parent=parent)
    clock.advance(60)
    ours = bead(here, "From anvil", parent=parent)
    below = bead(here, "Below", parent=parent)
    assert first == ours
    sync(here)
    sync(there)
    clock.advance(60)
    update(here, other, needs=[ours])
    update(here, below, parent=ours)
    plain(here, *PULL)
    assert (here.bead(other).needs, here.bead(below).parent) == ([f"{parent}.3"], f"{parent}.3")
    clock.advance(60)
    update(here, other, needs=[first])
    update(here, below, parent=first)
    sync(here)
    sync(there)
    for town in (here, there):
        assert (town.bead(other).needs, town.bead(below).parent) == ([first], first)
    assert contents(here) == contents(there)


def test_what_is_made_for_the_bead_that_kept_the_id_stays_its_own(ground: Ground, clock: Clock) -> None:
    """One machine settled its merge long ago; another sees that merge only now, and what was made since."""
    parent, other = (bead(ground.towns["anvil"], title) for title in ("Parent", "Other"))
    here, there = synced(ground)
    third = ground.add("cedar")
    bead(here, "Sooner", parent=parent)
    clock.advance(60)
    later = bead(there, "Later", parent=parent)
    sync(there)
    sync(third)  # holds the later one under the id that it loses
    sync(here)
    update(third, other, needs=[later])
    plain(third, *PULL)
    assert third.bead(other).needs == [f"{parent}.2"]
    below = bead(third, "Below the sooner", parent=later)
    update(third, other, needs=[later, f"{parent}.2"])
    sync(third)
    plain(here, *PULL)
    for town in (here, third):
        ids = {row.title: row.id for row in town.index().rows}
        assert (ids["Sooner"], ids["Later"]) == (f"{parent}.1", f"{parent}.2")
        assert (ids["Below the sooner"], town.bead(below).parent) == (f"{parent}.1.1", f"{parent}.1")
        assert town.bead(other).needs == [f"{parent}.1", f"{parent}.2"]
        check_clean(town)


@pytest.mark.parametrize(
    ("gone", "apart"), [(False, 60), (True, 60), (False, 86_400)], ids=["the other has the id", "nobody", "two days"]
)
def test_a_rebase_that_leaves_out_a_merge_leaves_out_nothing_that_was_said(
    ground: Ground, clock: Clock, gone: bool, apart: int
) -> None:
    """git replays no merges: what one brought to the bead's new id is found under its old one again."""
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    bead(here, "Sooner", parent=parent)
    clock.advance(apart)
    ours = bead(there, "Later", parent=parent, labels=["seen"])
    sync(there)
    plain(here, *PULL)
    if gone:
        git("rm", "--quiet", str(here.bead_path(ours)), cwd=here.root)
        git("reset", "--quiet", "--soft", "origin/main", cwd=here.root)
        git("commit", "--quiet", "--message", "all in one", cwd=here.root)
    update(there, ours, labels=[], **{"x-map": {"a": 1}})
    sync(there)
    git("config", "remote.origin.pushurl", "/nowhere", cwd=here.root)
    mark = Path(here.root, ".gt/run/settled.json")
    before = mark.read_bytes()
    with pytest.raises(GtError):
        sync(here)
    mark.write_bytes(before)  # as if it had been killed
    merged = here.bead(f"{parent}.2").doc
    assert merged["x-map"] == {"a": 1}
    git("config", "--unset", "remote.origin.pushurl", cwd=here.root)
    plain(here, *REBASE, code=None)
    unfinished.finish(here)
    ids = {row.title: row.id for row in here.index().rows}
    assert ids == {"Parent": parent, "Later": f"{parent}.2"} | ({} if gone else {"Sooner": f"{parent}.1"})
    now = here.bead(f"{parent}.2").doc
    assert (now["x-map"], now.get("labels")) == ({"a": 1}, merged.get("labels"))
    check_clean(here)


@pytest.mark.parametrize(("more", "apart"), [(0, 60), (8, 86_400)], ids=["one day", "two days"])
def test_a_rebase_that_leaves_out_a_merge_gives_no_bead_what_was_said_of_another(
    ground: Ground, clock: Clock, more: int, apart: int
) -> None:
    """The merge had renumbered a bead; what was said of it since is replayed where another one has that id by now."""
    parent = bead(ground.towns["anvil"], "Parent")
    for number in range(more):
        bead(ground.towns["anvil"], f"Child {number}", parent=parent)
    here, there = synced(ground)
    bead(there, "Sooner", parent=parent)
    clock.advance(apart)
    bead(here, "Later", parent=parent)
    sync(there)
    git("config", "remote.origin.pushurl", "/nowhere", cwd=here.root)
    with pytest.raises(GtError):
        sync(here)
    git("config", "--unset", "remote.origin.pushurl", cwd=here.root)
    clock.advance(60)
    taken = bead(there, "Third", parent=parent)
    assert here.bead(taken).title == "Later"
    sync(there)
    update(here, taken, **{"x-map": {"a": 1}})
    plain(here, *REBASE)
    ids = {row.title: row.id for row in here.index().rows}
    wanted = [f"{parent}.{more + number}" for number in (1, 2, 3)]
    assert [ids["Sooner"], ids["Third"], ids["Later"]] == wanted
    assert here.bead(ids["Later"]).doc["x-map"] == {"a": 1}
    assert "x-map" not in here.bead(taken).doc
    check_clean(here)


# -- mail, feed, other files ----------------------------------------------------------------------------
MOVES = {
    "flagged on both sides": ("mayor/cur/{}:2,S", "mayor/cur/{}:2,F", "mayor/cur/{}:2,FS"),
    "read here, archived there": ("mayor/cur/{}:2,S", "mayor/.Archive/cur/{}:2,F", "mayor/.Archive/cur/{}:2,FS"),
    "the same on both sides": ("mayor/cur/{}:2,S", "mayor/cur/{}:2,S", "mayor/cur/{}:2,S"),
    "archived unread here, read there": ("mayor/.Archive/new/{}", "mayor/cur/{}:2,S", "mayor/.Archive/cur/{}:2,S"),
}

# The others differ by little: in CI they all run.
FEW = ("flagged on both sides", "read here, archived there")
NAMES = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in MOVES]
)


@WAYS
@NAMES
def test_a_message_that_both_sides_moved(ground: Ground, name: str, way: tuple[str, ...]) -> None:
    with ground.towns["anvil"].change("mail") as change:
        change.deliver("mayor", "hello", "text\n")
    here, there = synced(ground)
    unique = here.mail_names("mayor", "new")[0]
    mine, other, merged = (where.format(unique) for where in MOVES[name])
    commit_mail(there, f"mayor/new/{unique}", other)
    sync(there)
    commit_mail(here, f"mayor/new/{unique}", mine)
    town = alike(ground, here, way)
    found = [path for path in contents(town) if unique in path]
    assert found == [f"mail/{merged}"]


def edit_mail(town: Town, old: str, new: str, words: tuple[str, str]) -> None:
    """What a person does who changes a message in an editor and moves it; committed."""
    path = Path(town.root, "mail", old)
    assert words[0] in path.read_text()
    path.write_text(path.read_text().replace(*words))
    commit_mail(town, old, new)


@WAYS
@pytest.mark.parametrize("seen", ["mayor/new/{}", "mayor/cur/{}:2,S"], ids=["where it lies", "and read"])
def test_edits_of_one_message_in_two_places_are_both_in_it(ground: Ground, seen: str, way: tuple[str, ...]) -> None:
    with ground.towns["anvil"].change("mail") as change:
        change.deliver("mayor", "hello", "one\n\ntwo\n\nthree\n")
    here, there = synced(ground)
    unique = here.mail_names("mayor", "new")[0]
    edit_mail(there, f"mayor/new/{unique}", f"mayor/new/{unique}", ("one", "ONE"))
    sync(there)
    edit_mail(here, f"mayor/new/{unique}", seen.format(unique), ("three", "THREE"))
    town = alike(ground, here, way, stops="cur" in seen)
    assert [path for path in contents(town) if unique in path] == [f"mail/{seen.format(unique)}"]
    assert Path(town.root, "mail", seen.format(unique)).read_text().endswith("ONE\n\ntwo\n\nTHREE\n")


@WAYS
@pytest.mark.parametrize("seen", ["mayor/new/{}", "mayor/cur/{}:2,S"], ids=["where it lies", "and read"])
def test_edits_of_one_message_that_contradict_each_other_are_two_messages(
    ground: Ground, seen: str, way: tuple[str, ...]
) -> None:
    with ground.towns["anvil"].change("mail") as change:
        change.deliver("mayor", "hello", "one\n")
    here, there = synced(ground)
    unique = here.mail_names("mayor", "new")[0]
    edit_mail(there, f"mayor/new/{unique}", f"mayor/new/{unique}", ("one", "their words"))
    sync(there)
    edit_mail(here, f"mayor/new/{unique}", seen.format(unique), ("one", "our words"))
    town = alike(ground, here, way, stops="cur" in seen)
    found, _ = letters(LiveView(town.root), "mayor")
    assert sorted(content(town, one).text for one in found) == ["our words\n", "their words\n"]
    assert len({one.id for one in found}) == len({one.unique for one in found}) == 2
    assert {one.head.subject for one in found} == {"hello"}
    (told,) = [event for event in town.events() if event["type"] == "sync_conflict_resolved"]
    assert {told["data"][key] for key in ("kept", "lost")} == {path for one in found for path in one.paths}
    sync(town)
    sync(there)
    assert contents(there) == contents(town)
    assert len(letters(LiveView(there.root), "mayor")[0]) == 2


@WAYS
def test_a_feed_that_two_machines_wrote_as_one(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    here, there = synced(ground)
    mine = identity.read(here.root)
    assert mine is not None
    identity.write(there.root, mine._replace(root="", computer="", inode=0))
    there.refresh()
    made = [bead(there, "there"), bead(here, "here")]
    clock.advance(1)
    made += [bead(here, "here too"), bead(there, "there too")]
    sync(there)
    town = alike(ground, here, way)
    created = [event["bead"] for event in town.events() if event["type"] == "create" and event["bead"] in made]
    assert sorted(created) == sorted(made)


@WAYS
def test_settings_and_comments_of_people(ground: Ground, way: tuple[str, ...]) -> None:
    rig = "# the greenhouse\nname: greenplace\nprefix: gp\ngit: /nowhere\nbranch: main   # never master\n"
    rig += "landing: local\n"
    path, settings = Path(ground.towns["anvil"].root, "rigs/greenplace/rig.yaml"), "town.yaml"
    path.write_text(rig)
    git("commit", "--quiet", "--all", "--message", "by hand", cwd=path.parent)
    here, there = synced(ground)

    def by_hand(town: Town, file: str, old: str, new: str) -> None:
        place = Path(town.root, file)
        assert old in place.read_text()
        place.write_text(place.read_text().replace(old, new))
        git("commit", "--quiet", "--all", "--message", f"edit {file}", cwd=town.root)

    by_hand(there, "rigs/greenplace/rig.yaml", "branch: main ", "branch: trunk ")
    by_hand(there, settings, "name: demo\n", "name: demo\n\nmax_polecats: 4\n")
    sync(there)
    by_hand(here, "rigs/greenplace/rig.yaml", "landing: local\n", "landing: push   # since May\nparked: true\n")
    by_hand(here, settings, "name: demo\n", "# ours\nname: demo\n\nmax_polecats: 3\n")
    town = alike(ground, here, way)
    said = Path(town.root, "rigs/greenplace/rig.yaml").read_text()
    for words in ("# the greenhouse", "branch: trunk   # never master", "landing: push   # since May", "parked: true"):
        assert words in said
    assert "# ours" in Path(town.root, settings).read_text()
    assert town.config["max_polecats"] in (3, 4)


@WAYS
def test_what_cannot_be_merged_is_kept_beside_the_file(ground: Ground, way: tuple[str, ...]) -> None:
    path = "rigs/greenplace/roles/crew.md"
    first = Path(ground.towns["anvil"].root, path)
    first.parent.mkdir(parents=True)
    first.write_text("one\n")
    git("add", path, cwd=ground.towns["anvil"].root)
    git("commit", "--quiet", "--message", "role", cwd=ground.towns["anvil"].root)
    here, there = synced(ground)
    for town in (there, here):
        Path(town.root, path).write_text(f"{town.machine}\n")
        git("commit", "--quiet", "--all", "--message", "role", cwd=town.root)
    sync(there)
    said = plain(here, *way).stderr
    kept = [name for name in os.listdir(first.parent) if ".theirs-" in name]
    assert len(kept) == 1
    assert f"the other is kept as {path.rpartition('/')[0]}/{kept[0]}" in said
    assert {first.read_text(), (first.parent / kept[0]).read_text()} == {"anvil\n", "brick\n"}
    sync(here)
    check_clean(here)
    assert f"rigs/greenplace/roles/{kept[0]}" in contents(here)


def test_a_persons_own_settings_do_not_lead_around_the_driver(ground: Ground, clock: Clock) -> None:
    """Patches would be laid over another bead's text without asking anybody."""
    for key, value in (("rebase.backend", "apply"), ("merge.renames", "true"), ("pull.twohead", "ort")):
        git("config", "--global", key, value, cwd=ground.base)
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    for town in (there, here):
        clock.advance(60)
        first = bead(town, f"by {town.machine}", parent=parent)
        note(town, first, f"said at {town.machine}")
    sync(there)
    town = alike(ground, here, REBASE)
    assert sorted(row.title for row in town.index().rows) == ["Parent", "by anvil", "by brick"]


# -- other ways ---------------------------------------------------------------------------------------------
def test_cherry_pick(ground: Ground, clock: Clock) -> None:
    made = bead(ground.towns["anvil"], "One", labels=["old"])
    here, there = synced(ground)
    note(there, made, "not picked")
    clock.advance(60)
    update(there, made, title="Brick's", labels=["brick", "old"])
    sync(there)
    clock.advance(60)
    update(here, made, title="Anvil's", labels=["anvil"])
    plain(here, "fetch")
    # Its line of the feed belongs to a file that is not here: only that stops git.
    stopped = plain(here, "cherry-pick", "origin/main", code=1).stdout
    assert [line for line in stopped.splitlines() if "CONFLICT" in line and "feed/" not in line] == []
    assert unfinished.finish(here).what == "cherry-pick"
    one = here.bead(made)
    assert (one.title, one.labels) == ("Anvil's", ["anvil", "brick"])
    assert [item["text"] for item in one.notes] == ["title was changed in two places; not kept: Brick's\n"]
    other = ground.twin(here, "other")
    for town in (here, other):
        sync(town) if town is here else plain(town, *PULL)
        assert "not picked\n" in {item["text"] for item in town.bead(made).notes}
    assert contents(here) == contents(other)
    check_clean(here)


def test_stash_pop(ground: Ground, clock: Clock) -> None:
    """The edit is newer than what was pulled under it: it counts as later, as it does in a sync."""
    made = bead(ground.towns["anvil"], "One", description="first\n\nsecond\n")
    here, there = synced(ground)
    update(there, made, title="Brick's", description="first\n\nSECOND\n")
    sync(there)
    path = Path(here.root, str(here.bead_path(made)))
    path.write_text(path.read_text().replace("title: One", "title: By hand").replace("first", "FIRST"))
    plain(here, "stash")
    plain(here, "pull")
    plain(here, "stash", "pop")
    os.utime(path, (1, 1))
    sync(here)
    one = here.bead(made)
    assert (one.title, one.description) == ("By hand", "FIRST\n\nSECOND\n")
    assert any("Brick's" in item["text"] for item in one.notes)
    check_clean(here)


def test_stash_pop_of_a_removal(ground: Ground) -> None:
    """Removed here and changed there: the change wins, and git is not left with an unmerged path."""
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    Path(here.root, str(here.bead_path(made))).unlink()
    plain(here, "stash")
    note(there, made, "still needed")
    sync(there)
    plain(here, *PULL)
    plain(here, "stash", "pop", code=1)
    run_gt("sync", cwd=here.root)
    assert git("ls-files", "--unmerged", cwd=here.root) == ""
    assert [item["text"] for item in here.bead(made).notes] == ["still needed\n"]
    check_clean(here)
    plain(here, *PULL)


@pytest.mark.parametrize("args", [("sync",), ("sync", "--continue")], ids=["sync", "continue"])
def test_stash_pop_over_a_removal(ground: Ground, args: tuple[str, ...]) -> None:
    """git stops without being in the middle of anything; the edit is kept, as against any removal."""
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    git("rm", "--quiet", str(there.bead_path(made)), cwd=there.root)
    git("commit", "--quiet", "--message", "removed by hand", cwd=there.root)
    sync(there)
    path = Path(here.root, str(here.bead_path(made)))
    path.write_text(path.read_text().replace("title: One", "title: By hand"))
    plain(here, "stash")
    plain(here, "pull")
    assert not path.exists()
    plain(here, "stash", "pop", code=1)
    run_gt(*args, cwd=here.root)
    assert here.bead(made).title == "By hand"
    assert git("ls-files", "--unmerged", cwd=here.root) == ""
    check_clean(here)
    assert git("rev-parse", "HEAD", cwd=here.root) == git("rev-parse", "main", cwd=ground.remote)


@pytest.mark.parametrize("way", [("stash", "pop"), ("pull", "--autostash"), ("rebase", "--autostash")], ids=" ".join)
@pytest.mark.parametrize("apart", [60, 86_400], ids=["same day", "days apart"])
def test_an_edit_put_aside_follows_a_bead_to_its_new_id(
    ground: Ground, clock: Clock, apart: int, way: tuple[str, ...]
) -> None:
    """Another bead took its place, or git finds by itself that it was renamed: a stash does that unasked."""
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    text = "first\n\n" + "a line that is alike in both, so that git finds them alike\n" * 9
    bead(there, "From brick", parent=parent)
    clock.advance(apart)
    ours = bead(here, "From anvil", parent=parent, description=text)
    sync(here)
    update_by_hand(here, ours, "first", "FIRST", "priority: 2", "priority: 1")
    sync(there)
    new = next(row.id for row in there.index().rows if row.title == "From anvil")
    update(there, new, description=text + "\nlast\n")
    sync(there)
    if way[0] == "stash":
        plain(here, "stash")
        plain(here, *PULL)
        plain(here, *way)
    else:
        plain(here, *(PULL if way[0] == "pull" else REBASE), *way[1:])
    sync(here)
    one = here.bead(new)
    assert (one.description, one.priority) == (text.replace("first", "FIRST") + "\nlast\n", 1)
    assert not list(Path(here.root).rglob("*.theirs-*"))
    check_clean(here)


def test_stash_pop_takes_no_bead_for_another(ground: Ground, clock: Clock) -> None:
    """One is gone and one like it has come: to git that is a rename, and the edit would go into the other one."""
    made = bead(ground.towns["anvil"], "A title that both have", description="first\n\nsecond\n")
    here, there = synced(ground)
    clock.advance(86_400)
    other = bead(there, "A title that both have", description="first\n\nsecond\n")
    git("rm", "--quiet", str(there.bead_path(made)), cwd=there.root)
    git("commit", "--quiet", "--message", "removed by hand", cwd=there.root)
    sync(there)
    path = here.bead_path(made)
    update_by_hand(here, made, "first", "FIRST")
    plain(here, "stash")
    plain(here, *PULL)
    said = plain(here, "stash", "pop").stderr
    assert str(path) in said
    sync(here)
    sync(there)
    for town in (here, there):
        assert town.bead_path(made) == path
        assert [town.bead(one).description for one in (made, other)] == ["FIRST\n\nsecond\n", "first\n\nsecond\n"]
    assert not list(Path(here.root).rglob("*.theirs-*"))
    check_clean(here)


def test_while_an_id_stands_in_two_files_nothing_is_said_of_it(ground: Ground, clock: Clock) -> None:
    """A bead that was renumbered elsewhere came back under its old id: whom a child means, nobody could tell."""
    parent, other = (bead(ground.towns["anvil"], title) for title in ("Parent", "Other"))
    here, there = synced(ground)
    bead(there, "From brick", parent=parent)
    clock.advance(86_400)
    ours = bead(here, "From anvil", parent=parent)
    sync(here)
    sync(there)
    path = Path(here.root, str(here.bead_path(ours)))
    path.write_text(path.read_text().replace("priority: 2", "priority: 1"))
    plain(here, "stash")
    plain(here, *PULL)
    plain(here, "stash", "pop", code=1)
    plain(here, "reset", "--quiet")
    places = list(here.bead_paths(ours))
    assert len(places) == 2
    for words in (["create", "Below", "--parent", ours], ["bead", "dep", "add", other, ours], ["note", ours, "which?"]):
        said = run_gt(*words, cwd=here.root, code=5).err
        assert all(one in said for one in [*places, "gt sync"])
    listed = run_gt("lint", cwd=here.root, code=1).out
    assert all(listed.count(one) == 2 for one in places)
    sync(here)
    assert run_gt("lint", cwd=here.root).out == ""
    made = run_gt("create", "Below", "--parent", ours, cwd=here.root).out.split()[0]
    ids = {row.title: row.id for row in here.index().rows}
    assert (ids["From brick"], ids["From anvil"], ids["Below"]) == (f"{parent}.1", f"{parent}.2", made)
    assert (here.bead(f"{parent}.2").priority, here.bead(made).parent) == (1, f"{parent}.1")
    check_clean(here)


def test_two_common_ancestors_are_merged_without_a_word(ground: Ground, clock: Clock) -> None:
    """Both sides merged the other's beads with one id, each on its own: a base is made of two, and nothing is noted."""
    parent = bead(ground.towns["anvil"], "Parent", description="a\n\nb\n\nc\n")
    here, there = synced(ground)
    for town, old in ((there, "a"), (here, "c")):
        clock.advance(60)
        bead(town, f"child of {town.machine}", parent=parent)
        update(town, parent, description="a\n\nb\n\nc\n".replace(old, town.machine), priority=3 if old == "a" else 4)
    for one, other in ((here, there), (there, here)):
        git("fetch", "--quiet", one.root, f"HEAD:refs/heads/from-{one.machine}", cwd=other.root)
    for town, other in ((here, "brick"), (there, "anvil")):
        plain(town, "merge", "--no-edit", f"from-{other}")
        clock.advance(60)
        note(town, parent, f"after the merge at {town.machine}")
    sync(there)
    town = alike(ground, here, PULL)
    titles = sorted(row.title for row in town.index().rows)
    assert titles == ["Parent", "child of anvil", "child of brick"]
    assert town.bead(parent).description == "brick\n\nb\n\nanvil\n"
    assert settle.pending(town.root) == []


# -- what stops git, and `gt sync --continue` ----------------------------------------------------------------
def changed_and_removed(ground: Ground) -> tuple[Town, Town, str]:
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    note(there, made, "still needed")
    sync(there)
    git("rm", "--quiet", str(here.bead_path(made)), cwd=here.root)
    git("commit", "--quiet", "--message", "removed by hand", cwd=here.root)
    return here, there, made


@WAYS
def test_a_removal_against_a_change_is_settled_and_git_finished(ground: Ground, way: tuple[str, ...]) -> None:
    here, _, made = changed_and_removed(ground)
    other = ground.twin(here, "other")
    plain(here, *way, code=1)
    with pytest.raises(Exception, match="under way"):
        sync(here)
    ran = run_gt("sync", "--continue", cwd=here.root)
    assert f"finished the {'rebase' if way == REBASE else 'merge'}" in ran.err
    assert [item["text"] for item in here.bead(made).notes] == ["still needed\n"]
    sync(other)
    assert contents(here).keys() == contents(other).keys()
    check_clean(here)
    assert git("rev-parse", "HEAD", cwd=here.root) == git("rev-parse", "main", cwd=ground.remote)


def test_a_rebase_that_was_killed_leaves_out_no_commit(ground: Ground) -> None:
    """Killed while it applies one, git goes on with the next as if that were done."""
    made = bead(ground.towns["anvil"], "One", priority=2)
    here, there = synced(ground)
    update(there, made, title="Theirs")
    sync(there)
    update(here, made, priority=1)
    note(here, made, "said last")
    driver = git("config", "merge.gt.driver", cwd=here.root).strip()
    git("config", "merge.gt.driver", "kill -9 $PPID", cwd=here.root)
    plain(here, *REBASE, code=None)
    git("config", "merge.gt.driver", driver, cwd=here.root)
    assert "gt sync --continue" in run_gt("sync", cwd=here.root, code=1).err
    said = run_gt("sync", "--continue", cwd=here.root, code=1).err
    assert all(words in said for words in ("edit: edited", "remove", "index.lock", "git rebase --abort"))
    Path(here.root, ".git/index.lock").unlink()
    git("rebase", "--abort", cwd=here.root)
    for path in Path(here.root).glob(".merge_file_*"):
        os.utime(path, (1, 1))
    assert "was left by a killed git" in run_gt("doctor", "--fix", cwd=here.root, code=None).out
    sync(here)
    one = here.bead(made)
    assert (one.title, one.priority, [item["text"] for item in one.notes]) == ("Theirs", 1, ["said last\n"])
    check_clean(here)


def test_a_rebase_that_was_killed_when_it_was_over_is_over(ground: Ground) -> None:
    """What was written since then is on the branch: going back to where the rebase began would lose it."""
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    note(there, made, "theirs")
    sync(there)
    note(here, made, "ours")
    hook = Path(here.root, ".git/hooks/post-rewrite")
    text = hook.read_text()
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    plain(here, *REBASE, code=None)
    hook.write_text(text)
    assert here.repo.under_way() == "rebase"
    note(here, made, "said since")
    assert "gt sync --continue" in run_gt("sync", cwd=here.root, code=1).err
    run_gt("sync", "--continue", cwd=here.root)
    assert here.repo.under_way() == ""
    sync(here)
    assert {item["text"] for item in here.bead(made).notes} == {"ours\n", "theirs\n", "said since\n"}
    check_clean(here)


def test_a_stopped_cherry_pick_is_finished(ground: Ground) -> None:
    here, _, made = changed_and_removed(ground)
    plain(here, "fetch")
    plain(here, "cherry-pick", "origin/main", code=1)
    run_gt("sync", "--continue", cwd=here.root)
    assert [item["text"] for item in here.bead(made).notes] == ["still needed\n"]
    check_clean(here)


def test_a_pick_that_brings_nothing_new_is_left_out(ground: Ground) -> None:
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    note(there, made, "said once")
    sync(there)
    plain(here, "pull")
    plain(here, "cherry-pick", git("rev-parse", "HEAD", cwd=there.root), code=1)
    run_gt("sync", "--continue", cwd=here.root)
    assert [item["text"] for item in here.bead(made).notes] == ["said once\n"]
    check_clean(here)


ORT: dict[str, Callable[[str], tuple[str, ...]]] = {
    "merge": lambda ort: ("merge", "--no-edit", "--strategy", ort, "origin/main"),
    "rebase": lambda ort: ("rebase", "--strategy", ort, "origin/main"),
}


@pytest.mark.parametrize("what", ORT)
@NAMES
def test_renames_of_messages_that_stop_another_git(ground: Ground, name: str, what: str) -> None:
    """The ort strategy takes two who moved a message for a conflict, whatever is set; a newer git has only that."""
    with ground.towns["anvil"].change("mail") as change:
        change.deliver("mayor", "hello", "text\n" * 50)
    made = bead(ground.towns["anvil"], "One")
    here, there = synced(ground)
    unique = here.mail_names("mayor", "new")[0]
    mine, other, merged = (where.format(unique) for where in MOVES[name])
    commit_mail(there, f"mayor/new/{unique}", other)
    note(there, made, "from brick")
    sync(there)
    commit_mail(here, f"mayor/new/{unique}", mine)
    note(here, made, "from anvil")
    plain(here, "fetch")
    ran = plain(here, *ORT[what]("ort"), code=None)
    assert (ran.returncode == 0) == (name == "the same on both sides"), ran.stdout
    run_gt("sync", "--continue", cwd=here.root)
    assert [path for path in contents(here) if unique in path] == [f"mail/{merged}"]
    assert {"from anvil\n", "from brick\n"} <= {item["text"] for item in here.bead(made).notes}
    check_clean(here)


def test_a_directive_that_both_sides_renamed_stops_another_git(ground: Ground) -> None:
    """Both names stay: nobody but a person can tell which was meant."""
    first = Path(ground.towns["anvil"].root, "roles/crew.md")
    first.parent.mkdir(exist_ok=True)
    first.write_text("be kind\n" * 9)
    git("add", "crew.md", cwd=first.parent)
    git("commit", "--quiet", "--message", "role", cwd=first.parent)
    here, there = synced(ground)
    for town in (here, there):
        git("mv", "roles/crew.md", f"roles/{town.machine}.md", cwd=town.root)
        git("commit", "--quiet", "--message", "renamed", cwd=town.root)
    sync(there)
    plain(here, "fetch")
    plain(here, *ORT["merge"]("ort"), code=1)
    run_gt("sync", "--continue", cwd=here.root)
    assert {"roles/anvil.md", "roles/brick.md"} <= contents(here).keys()
    assert "roles/crew.md" not in contents(here)
    check_clean(here)


def test_what_a_person_resolved_by_hand_stays_as_they_made_it(ground: Ground) -> None:
    here, _, made = changed_and_removed(ground)
    plain(here, *PULL, code=1)
    path = Path(here.root, f"rigs/greenplace/beads/2026-11-23/{made}.yaml")
    path.write_text(path.read_text().replace("title: One", "title: As I want it"))
    run_gt("sync", "--continue", cwd=here.root)
    assert here.bead(made).title == "As I want it"
    check_clean(here)


@pytest.mark.parametrize("way", [PULL, REBASE, ("cherry-pick", "origin/main~1")], ids=["pull", "rebase", "pick"])
def test_what_a_merge_noted_that_was_given_up_is_forgotten(ground: Ground, clock: Clock, way: tuple[str, ...]) -> None:
    parent = bead(ground.towns["anvil"], "Parent", description="a\n")
    gone = bead(ground.towns["anvil"], "Gone")
    here, there = synced(ground)
    for town, title in ((here, "ours"), (there, "theirs")):
        clock.advance(60)
        bead(town, title, parent=parent)
        update(town, parent, description=f"{title}\n")
    note(there, gone, "still needed")
    sync(there)
    git("rm", "--quiet", str(here.bead_path(gone)), cwd=here.root)
    git("commit", "--quiet", "--message", "removed by hand", cwd=here.root)
    plain(here, "fetch")
    plain(here, *way, code=1)
    plain(here, {PULL: "merge", REBASE: "rebase"}.get(way, "cherry-pick"), "--abort")
    events = len(list(here.events()))
    assert settle.after(here).new_ids == {}
    assert len(list(here.events())) == events
    assert sorted(row.title for row in here.index().rows) == ["Parent", "ours"]
    for name in settle.pending(here.root):
        os.utime(Path(here.root, ".gt/run/plain-git", name), (1, 1))
    settle.after(here)
    assert settle.pending(here.root) == []
    sync(here)
    assert sorted(row.title for row in here.index().rows) == ["Gone", "Parent", "ours", "theirs"]
    check_clean(here)


@pytest.mark.parametrize("meanwhile", ["_came", "_settle"])
def test_two_that_settle_at_once_take_what_the_other_did_for_done(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The deacon and a hook of git's: whoever comes second finds the notes gone, not broken."""
    here = ground.towns["anvil"]
    sync(here)
    never = {"holds": "0" * 40} if meanwhile == "_settle" else {}
    told = settle.told(here.root, [("town.yaml", Settled("runtime", "a", "b"))], proof=never)
    real = getattr(settle, meanwhile)

    def other_first(*args: object) -> object:
        Path(told).unlink(missing_ok=True)
        return real(*args)

    monkeypatch.setattr(settle, meanwhile, other_first)
    settle.after(here)
    assert [event for event in here.events() if event["type"] == "sync_conflict_resolved"] == []
    check_clean(here)


def test_a_sync_beside_a_merge_that_is_not_done_yet_takes_no_bead_away(ground: Ground, clock: Clock) -> None:
    """The deacon may sync while a person's git is in the middle: what its driver noted counts when it is done."""
    parent = bead(ground.towns["anvil"], "Parent")
    here, there = synced(ground)
    for town, title in ((here, "ours"), (there, "theirs")):
        clock.advance(60)
        bead(town, title, parent=parent)
    sync(there)
    plain(here, "fetch")
    plain(here, "-c", "core.hooksPath=/nowhere", "merge", "--no-edit", "origin/main")
    merged = git("rev-parse", "HEAD", cwd=here.root)
    git("update-ref", "refs/heads/main", "HEAD^1", cwd=here.root)
    settle.after(here)
    assert len(settle.pending(here.root)) == 1
    git("update-ref", "refs/heads/main", merged, cwd=here.root)
    assert settle.after(here).new_ids == {f"{parent}.1": f"{parent}.2"}
    sync(here)
    assert sorted(row.title for row in here.index().rows) == ["Parent", "ours", "theirs"]
    check_clean(here)


# -- clones without the driver ---------------------------------------------------------------------------------
@pytest.fixture
def bare_clone(ground: Ground) -> Callable[[], Town]:
    """A plain `git clone` of the town: no driver, no hooks, no settings."""

    def make() -> Town:
        git("clone", "--quiet", str(ground.remote), str(ground.base / "plain"), cwd=ground.base)
        return Town(str(ground.base / "plain"), "overseer", ground.clock)

    return make


def by_editor(town: Town, bead_id: str, old: str, new: str) -> None:
    path = Path(town.root, str(town.bead_path(bead_id)))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    git("commit", "--quiet", "--all", "--message", "by editor", cwd=town.root)


def test_a_clone_without_the_driver_joins_what_lies_apart(ground: Ground, bare_clone) -> None:
    made = bead(ground.towns["anvil"], "One", labels=["a"])
    here = ground.towns["anvil"]
    sync(here)
    there = bare_clone()
    by_editor(there, made, "title: One", "title: Two")
    update(here, made, priority=0, labels=["a", "b"])
    sync(here)
    plain(there, *PULL)
    plain(there, "push")
    sync(here)
    one = here.bead(made)
    assert (one.title, one.priority, one.labels) == ("Two", 0, ["a", "b"])
    check_clean(here)


def test_a_conflict_a_person_resolved_without_the_driver_is_taken(ground: Ground, bare_clone) -> None:
    made = bead(ground.towns["anvil"], "One")
    here = ground.towns["anvil"]
    sync(here)
    there = bare_clone()
    by_editor(there, made, "title: One", "title: Theirs")
    update(here, made, title="Ours")
    sync(here)
    plain(there, *PULL, code=1)
    path = Path(there.root, str(there.bead_path(made)))
    assert "<<<<<<<" in path.read_text()
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("<<<<", "====", ">>>>"))]
    path.write_text("\n".join(line for line in lines if line != "title: Ours") + "\n")
    git("commit", "--quiet", "--all", "--no-edit", cwd=there.root)
    plain(there, "push")
    update(here, made, priority=1)
    sync(here)
    assert (here.bead(made).title, here.bead(made).priority) == ("Theirs", 1)
    check_clean(here)


def test_what_such_a_clone_joined_wrongly_is_settled_by_the_first_that_knows(
    ground: Ground, bare_clone, clock: Clock
) -> None:
    """One id on two days, one message in two places: clean merges for git, and two towns settle them alike."""
    here = ground.towns["anvil"]
    parent = bead(here, "Parent")
    with here.change("mail") as change:
        change.deliver("mayor", "hello", "text\n")
    unique = here.mail_names("mayor", "new")[0]
    sync(here)
    there, third = bare_clone(), ground.add("brick")
    first = bead(here, "first", parent=parent)
    commit_mail(here, f"mayor/new/{unique}", f"mayor/cur/{unique}:2,S")
    sync(here)
    clock.advance(86_400)
    Path(there.root, ".gt").mkdir()
    Path(there.root, ".gt/machine.yaml").write_text("name: plain\n")
    second = bead(there, "second", parent=parent)
    bead(there, "needs the second", needs=[second])
    git("config", "merge.renames", "false", cwd=there.root)
    git("config", "pull.twohead", "recursive", cwd=there.root)
    commit_mail(there, f"mayor/new/{unique}", f"mayor/cur/{unique}:2,F")
    assert first == second
    plain(there, *PULL)
    plain(there, "push")
    copy = ground.twin(third, "copy")
    for town in (here, third, copy):
        sync(town)
        ids = {row.title: row.id for row in town.index().rows}
        assert (ids["first"], ids["second"]) == (f"{parent}.1", f"{parent}.2")
        assert town.bead(ids["needs the second"]).needs == [f"{parent}.2"]
        assert [path for path in contents(town) if unique in path] == [f"mail/mayor/cur/{unique}:2,FS"]
        check_clean(town)
    sync(here)
    assert contents(copy) == contents(third) == contents(here)


def test_conflict_markers_are_refused_by_the_hook_and_read_by_nobody(ground: Ground, bare_clone) -> None:
    here = ground.towns["anvil"]
    made, fine = bead(here, "One"), bead(here, "Fine")
    sync(here)
    there = bare_clone()
    by_editor(there, made, "title: One\n", "<<<<<<< HEAD\ntitle: One\n=======\ntitle: Two\n>>>>>>> theirs\n")
    plain(there, "push")
    update(here, made, priority=0)
    sync(here)
    assert here.bead(made).priority == 0
    kept = [path for path in contents(here) if ".theirs-" in path]
    assert len(kept) == 1
    listed = run_gt("list", "--json", cwd=here.root)
    assert sorted(one["id"] for one in listed.json) == sorted([made, fine])
    path = Path(here.root, str(here.bead_path(made)))
    good = path.read_text()
    path.write_text("<<<<<<< HEAD\n" + good)
    listed = run_gt("list", "--json", cwd=here.root, code=None)
    assert made not in [one["id"] for one in listed.json]
    assert "conflict" in listed.err
    git("add", "--all", cwd=here.root)
    refused = subprocess.run(["git", "commit", "-m", "x"], cwd=here.root, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"{made}.yaml:1" in refused.stderr
    git("reset", "--quiet", "--hard", cwd=here.root)
    run_gt("lint", cwd=here.root)


def test_a_file_that_came_with_conflict_markers_is_named_by_the_sync_that_brings_it(ground: Ground, bare_clone) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One")
    sync(here)
    good = git("rev-parse", "HEAD", cwd=here.root)
    there = bare_clone()
    by_editor(there, made, "title: One\n", "<<<<<<< HEAD\ntitle: One\n=======\ntitle: Two\n>>>>>>> theirs\n")
    by_editor(there, made, "title: Two\n", "title: Three\n")
    (Path(there.root) / "rigs/greenplace/rig.yaml").write_text("name: [\n")
    git("commit", "--quiet", "--all", "--message", "broken", cwd=there.root)
    plain(there, "push")
    path = str(here.bead_path(made))
    ran = run_gt("sync", cwd=here.root, code=1)
    assert f"cannot be used: {path}:" in ran.err
    assert "cannot be used: rigs/greenplace/rig.yaml" in ran.err
    assert f"git checkout {good[:10]} -- {path}" in ran.err
    # The same from the doctor: what is committed is not brought back from there.
    said = run_gt("doctor", cwd=here.root, code=None)
    assert f"git checkout {good[:10]} -- {path}" in said.out
    assert "git checkout -- " not in said.out + ran.err
    run_gt("sync", cwd=here.root)  # it came before, and nothing does now
    plain(here, "checkout", good[:10], "--", path, "rigs/greenplace/rig.yaml")
    run_gt("sync", cwd=here.root)
    run_gt("lint", cwd=here.root)
