"""What a hostile or broken remote sends: refused with path and commit, the town as it was; no prompt, no hang."""

from __future__ import annotations

import http.server
import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gastown.model.errors import GtError, Refused
from gastown.model.text import safe
from gastown.services.machines.clone import clone
from gastown.services.mail import mail, mailbox
from gastown.services.sync.sync import sync
from gastown.store import treediff
from gastown.store.town import Town, open_town
from tests.conftest import git, gt_argv, run_gt
from tests.sync.ground import Ground, bead, check_clean, contents, plain

FILE, LINK, MODULE, FOLDER = "100644", "120000", "160000", "40000"


class Forge:
    """Writes objects into the bare remote that no honest git would make."""

    def __init__(self, remote: Path) -> None:
        self.remote = remote
        self.good = git("rev-parse", "main", cwd=remote)

    def put(self, kind: str, data: bytes) -> str:
        argv = ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"]
        done = subprocess.run(argv, cwd=self.remote, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def tree(self, entries: list[tuple[str, bytes, str]]) -> str:
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
        return self.put("tree", raw)

    def top(self) -> list[tuple[str, bytes, str]]:
        lines = git("ls-tree", "-z", "main", cwd=self.remote).split("\0")
        return [
            (line.split()[0].lstrip("0"), line.partition("\t")[2].encode(), line.split()[2]) for line in lines if line
        ]

    def push(self, entries: list[tuple[str, bytes, str]]) -> str:
        """A commit on top of main with these entries in the town's root; its id."""
        tree = self.tree(sorted([*self.top(), *entries], key=lambda one: one[1]))
        made = git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", "main", "-m", "x", tree,
                   cwd=self.remote)  # fmt: skip
        git("update-ref", "refs/heads/main", made, cwd=self.remote)
        return made

    def mend(self) -> None:
        git("update-ref", "refs/heads/main", self.good, cwd=self.remote)


@pytest.fixture
def forge(ground: Ground) -> Forge:
    bead(ground.towns["anvil"], "Safe here")
    sync(ground.towns["anvil"])
    return Forge(ground.remote)


def entries(forge: Forge, name: str) -> list[tuple[str, bytes, str]]:
    blob = forge.put("blob", b"../../outside\n")

    def below(entry: bytes, mode: str = FILE, sha: str = blob) -> list[tuple[str, bytes, str]]:
        return [(FOLDER, b"extra", forge.tree([(mode, entry, sha)]))]

    made = {
        "a link": lambda: [(LINK, b"link", blob)],
        "a link below": lambda: below(b"passwd", LINK),
        "a submodule": lambda: below(b"sub", MODULE, forge.good),
        "an odd mode": lambda: below(b"odd", "100000"),
        "up": lambda: below(b".."),
        "here": lambda: below(b"."),
        "a slash": lambda: below(b"a/../../b"),
        "a backslash": lambda: below(b"..\\b"),
        "git's folder": lambda: [(FOLDER, b".git", forge.tree([(FILE, b"config", blob)]))],
        "git's folder in capitals": lambda: below(b".GIT", FOLDER, forge.tree([(FILE, b"config", blob)])),
        "git's folder on NTFS": lambda: below(b"git~1"),
        "git's folder with a stream": lambda: below(b".git::$INDEX_ALLOCATION"),
        "git's folder with a dot": lambda: below(b".git. ."),
        "git's folder on HFS+": lambda: below(".g\u200cit".encode()),
        "git's modules": lambda: [(FILE, b".gitmodules", blob)],
        "a control character": lambda: below(b"a\x1b[2Jb"),
        "not UTF-8": lambda: below(b"\xff\xfe"),
        "a long name": lambda: below(b"x" * 300),
        "local state": lambda: [(FOLDER, b".gt", forge.tree([(FILE, b"machine.yaml", blob)]))],
        "local state in capitals": lambda: [(FOLDER, b".GT", forge.tree([(FILE, b"machine.yaml", blob)]))],
        "worktrees": lambda: [(FOLDER, b"work", forge.tree([(FILE, b"x", blob)]))],
        "two names that differ in case": lambda: [(FILE, b"ReadMe.md", blob)],
        "two names that are one in Unicode": lambda: [
            (FOLDER, b"extra", forge.tree([(FILE, "u\u0308".encode(), blob), (FILE, "ü".encode(), blob)]))
        ],
        "one name twice": lambda: [
            (FOLDER, b"extra", forge.tree([(FILE, b"x", blob), (FILE, b"x", forge.put("blob", b"other"))]))
        ],
        "a document of 2 MiB": lambda: below(b"x.yaml", FILE, forge.put("blob", b"#" * (2 << 20))),
        "a huge file": lambda: below(b"x.bin", FILE, forge.put("blob", b"\0" * 5_000)),
    }
    return made[name]()


HOSTILE = {
    "a link": ("link", "symbolic link"), "a link below": ("extra/passwd", "symbolic link"),
    "a submodule": ("extra/sub", "submodule"), "an odd mode": ("extra/odd", "mode 100000"),
    "up": ("extra/..", "leads elsewhere"), "here": ("extra/.", "leads elsewhere"),
    "a slash": ("extra/a/../../b", "leads elsewhere"), "a backslash": ("extra/..\\\\b", "leads elsewhere"),
    "git's folder": (".git", "git's own"), "git's folder in capitals": ("extra/.GIT", "git's own"),
    "git's folder on NTFS": ("extra/git~1", "git's own"),
    "git's folder with a stream": ("extra/.git::", "git's own"), "git's folder with a dot": ("extra/.git", "git's own"),
    "git's folder on HFS+": ("extra/.g", "git's own"), "git's modules": (".gitmodules", "git's own"),
    "a control character": ("extra/a\\x1b[2Jb", "control characters"), "not UTF-8": ("extra/", "not UTF-8"),
    "a long name": ("extra/xxx", "255 bytes"), "local state": (".gt", "local to each machine"),
    "local state in capitals": (".GT", "local to each machine"), "worktrees": ("work", "local to each machine"),
    "two names that differ in case": ("but for case", "README.md"),
    "two names that are one in Unicode": ("extra/", "but for case"), "one name twice": ("extra/x", "twice"),
    "a document of 2 MiB": ("extra/x.yaml", "2,097,152 bytes"), "a huge file": ("extra/x.bin", "5,000 bytes"),
}  # fmt: skip
assert len(HOSTILE) == 26


def state(town: Town) -> tuple[str, dict[str, str], list[str]]:
    """All that a refused sync must leave as it is."""
    names = sorted(os.path.relpath(os.path.join(here, name), town.root)
                   for here, folders, found in os.walk(town.root) if ".git" not in here.split(os.sep)
                   and ".gt" not in here.split(os.sep) for name in [*folders, *found])  # fmt: skip
    return git("rev-parse", "HEAD", cwd=town.root), contents(town, feed=True), names


def test_what_may_not_become_a_file_here_is_refused(
    ground: Ground, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the clone only has to follow or has something of its own, and for who joins the town as well."""
    monkeypatch.setattr(treediff, "LARGEST_BYTES", 4_000)
    here = ground.towns["anvil"]
    ahead = ground.twin(here, "ahead")
    git("remote", "set-url", "origin", str(ground.remote), cwd=ahead.root)
    bead(ahead, "Only here")
    for name, (path, why) in HOSTILE.items():
        commit = forge.push(entries(forge, name))
        for town in (here, ahead):
            before = state(town)
            with pytest.raises(Refused) as refused:
                sync(town)
            said = refused.value.message
            assert commit[:12] in said, name
            assert path in said, (name, said)
            assert why in said, (name, said)
            assert "\x1b" not in said
            assert state(town) == before, name
            assert git("status", "--porcelain", cwd=town.root) == ""
        with pytest.raises(Refused):
            clone(str(ground.remote), str(ground.base / "joined"))
        assert not (ground.base / "joined").exists(), name
        forge.mend()
    sync(here)
    sync(ahead)
    assert git("rev-parse", "main", cwd=ground.remote) == git("rev-parse", "HEAD", cwd=ahead.root)


@pytest.mark.parametrize(
    ("text", "why"),
    [("name: x\n  bad: [\n", "not YAML"), ("- a\n", "must be a map"), ("<<<<<<< a\n", "unresolved git conflict"),
     ("name: x\n\nversion: 99\n", "of format 99")],
    ids=["no YAML", "no map", "a conflict", "a newer gt's"],
)  # fmt: skip
def test_a_town_file_with_which_no_gt_works_is_refused(ground: Ground, tmp_path: Path, text: str, why: str) -> None:
    here, other = ground.towns["anvil"], tmp_path / "somebody"
    sync(here)
    git("clone", "--quiet", str(ground.remote), str(other), cwd=tmp_path)
    good = (other / "town.yaml").read_text()
    for content in (text, good):
        (other / "town.yaml").write_text(content)
        git("commit", "--quiet", "--all", "--message", "x", cwd=other)
        git("push", "--quiet", cwd=other)
        if content == text:
            before = state(here)
            with pytest.raises(GtError, match=why):
                sync(here)
            assert state(here) == before
    made = bead(here, "Goes on")
    sync(here)
    assert git("cat-file", "-p", f"main:{here.bead_path(made)}", cwd=ground.remote)


def test_a_merge_that_would_bring_two_names_together_is_refused(ground: Ground, forge: Forge) -> None:
    """Each side's tree is fine; only the merged one is not."""
    here = ground.towns["anvil"]
    there = ground.add("brick")
    for town, name in ((here, "Foo.md"), (there, "foo.md")):
        path = Path(town.root, "roles", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}\n")
        git("add", "roles", cwd=town.root)
        git("commit", "--quiet", "--message", "role", cwd=town.root)
    sync(there)
    before = state(here)
    with pytest.raises(Refused, match=r"'roles/Foo\.md' here and 'roles/foo\.md' in commit \w+ of the") as refused:
        sync(here)
    assert state(here) == before
    assert "force" not in refused.value.hint
    rename = refused.value.hint.partition("gt sync: ")[2].replace("NEWNAME", "roles/mine.md")
    assert rename == "git mv roles/Foo.md roles/mine.md"
    subprocess.run(rename.split(), cwd=here.root, check=True)
    sync(here)
    sync(there)
    assert {"roles/mine.md", "roles/foo.md"} < contents(there).keys()
    assert "roles/Foo.md" not in contents(here)


def test_going_back_is_the_last_thing_a_refusal_says_and_how_much_it_drops(ground: Ground, forge: Forge) -> None:
    """A mend in another commit keeps the good ones that came with the bad one."""
    here = ground.towns["anvil"]
    seen = git("rev-parse", "HEAD", cwd=here.root)
    forge.push(entries(forge, "a link"))
    git("update-ref", "refs/heads/main", git(
        "-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", "main", "-m", "y", "main^{tree}",
        cwd=ground.remote), cwd=ground.remote)  # fmt: skip
    with pytest.raises(Refused) as refused:
        sync(here)
    first, _, last = refused.value.hint.partition(" Only if nobody can, ")
    assert "Mend it in another commit" in first
    assert last.startswith("drop the 2 commits pushed since this machine's last sync: git push --force origin ")
    assert last.endswith(f" {seen[:12]}:refs/heads/main")
    mender = ground.base / "plain"
    git("clone", "--quiet", str(ground.remote), str(mender), cwd=ground.base)
    git("rm", "--quiet", "link", cwd=mender)
    git("commit", "--quiet", "--message", "mended", cwd=mender)
    git("push", "--quiet", cwd=mender)
    assert sync(here).pulled == 3


def test_a_plain_pull_of_such_a_thing_is_at_least_said(ground: Ground, forge: Forge) -> None:
    here = ground.towns["anvil"]
    good = git("rev-parse", "HEAD", cwd=here.root)
    commit = forge.push(entries(forge, "a link"))
    said = plain(here, "pull").stderr
    assert f"'link' in commit {commit[:12]} does not belong into a town: a symbolic link" in said
    assert f"git reset --hard {good[:12]}" in said


def test_the_command_says_it_and_ends_with_five(ground: Ground, forge: Forge) -> None:
    commit = forge.push(entries(forge, "a link"))
    ran = run_gt("sync", cwd=ground.towns["anvil"].root, code=5)
    assert f"'link' in commit {commit[:12]}" in ran.err
    assert "hint:" in ran.err


FILES_FOR_FOLDERS = (
    "mail", "rigs", "rigs/greenplace", "rigs/greenplace/beads", "rigs/greenplace/beads/{day}", "mail/mayor",
    "mail/mayor/new", "mail/greenplace/toast", "mail/greenplace/toast/cur", "feed", "feed/{day}", "machines", "agents",
    "beads", "roles", "formulas",
)  # fmt: skip
FOLDERS_FOR_FILES = (
    "town.yaml", "rigs/greenplace/rig.yaml", "{bead}", "machines/anvil.yaml", ".gitattributes", "mail/mayor/new/8.x",
)  # fmt: skip


def in_place(root: Path, path: str, *, folder: bool) -> None:
    """Whatever lies at a path makes way for a file, or for a folder with something in it."""
    where = root / path
    if where.is_dir():
        shutil.rmtree(where)
    where.unlink(missing_ok=True)
    where.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        where.mkdir()
    (where / "x" if folder else where).write_text("x\n")


def test_a_file_where_a_town_has_a_folder_is_refused_and_so_is_the_reverse(ground: Ground, tmp_path: Path) -> None:
    """By who is in the town, by who joins it, and by the machine of whoever does it: nothing that lay there is lost."""
    here = ground.towns["anvil"]
    made = bead(here, "Safe here")
    for box in ("mayor", "greenplace/toast"):
        write(here, f"mail/{box}/new/8.x", MESSAGE)
    sync(here)
    other, good = tmp_path / "somebody", git("rev-parse", "main", cwd=ground.remote)
    git("clone", "--quiet", str(ground.remote), str(other), cwd=tmp_path)
    mine = ground.twin(here, "mine")
    names = {"bead": here.bead_path(made), "day": str(here.bead_path(made)).split("/")[-2]}
    for name in (*FILES_FOR_FOLDERS, *FOLDERS_FOR_FILES):
        path, folder = name.format(**names), name in FOLDERS_FOR_FILES
        in_place(other, path, folder=folder)
        git("add", "--all", cwd=other)
        git("commit", "--quiet", "--message", "x", cwd=other)
        git("push", "--quiet", cwd=other)
        before = state(here)
        with pytest.raises(GtError) as refused:
            sync(here)
        assert path in refused.value.message, path
        assert state(here) == before, path
        if path != "mail/greenplace/toast":  # who joins does not know that mail lay there
            with pytest.raises(Refused, match=path):
                clone(str(ground.remote), str(tmp_path / "joined"))
        git("reset", "--quiet", "--hard", good, cwd=other)
        git("push", "--quiet", "--force", cwd=other)

        in_place(Path(mine.root), path, folder=folder)
        plain(mine, "add", "--all")
        if path != "town.yaml":
            assert path in plain(mine, "commit", "--quiet", "--message", "x", code=1).stderr
        plain(mine, "commit", "--quiet", "--no-verify", "--message", "x")
        with pytest.raises(GtError):
            sync(open_town(mine.root, clock=ground.clock) if path != "town.yaml" else mine)
        plain(mine, "reset", "--quiet", "--hard", good)


@pytest.mark.parametrize("path", ["mail", "mail/mayor", "mail/mayor/new", "rigs", "rigs/greenplace", "roles"])
def test_a_file_in_the_place_of_a_folder_removes_nothing_that_lay_there(ground: Ground, path: str) -> None:
    """It is named, what comes for that folder waits until it is moved away, and everything is there again then."""
    here, there = ground.towns["anvil"], ground.add("brick")
    bead(here, "Safe here")
    write(here, "mail/mayor/new/8.x", MESSAGE)
    write(here, "roles/crew.md")
    sync(here)
    before = contents(here)
    in_place(Path(here.root), path, folder=False)
    assert [one.path for one in sync(here).invalid] == [path]
    with here.change("mail") as change:
        mailbox.settle_mail(change)
    assert contents(here) == before
    for name in ("mail/mayor/new/9.y", "roles/mayor.md"):
        write(there, name, MESSAGE)
    bead(there, "Comes later")
    sync(there)
    with pytest.raises(GtError, match=f"^{path}: is a file where a folder belongs"):
        sync(here)
    Path(here.root, path).unlink()
    plain(here, "checkout", "--", path)
    sync(here)
    assert contents(here) == contents(there)
    check_clean(here)


# -- what goes out is held to the same -----------------------------------------------------------------
def write(town: Town, path: str, text: str = "text\n") -> None:
    """A file as a person's editor leaves it, quiet for a while."""
    where = Path(town.root, path)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(text)
    os.utime(where, (time.time() - 5,) * 2)


MESSAGE = "From: pat\nSubject: one\n\nText\n"


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [("roles/crew.md", "roles/Crew.md", "the same as roles/crew.md but for case"),
     ("roles/crew.md", "roles/a\\b.md", "leads elsewhere"),
     ("mail/mayor/new/9.ABC", "mail/mayor/new/9.abc", "the same as mail/mayor/new/9.ABC but for case"),
     ("mail/mayor/.Saved/new/8.x", "mail/mayor/.saved/new/9.x", "the same as mail/mayor/.Saved but for case"),
     ("mail/mayor/new/8.x", "mail/mayor/new/9.a\nb", "control characters"),
     ("mail/mayor/new/8.x", "mail/mayor/new/9.\udcff.x", "not UTF-8")],
    ids=["case", "backslash", "messages", "folders of mail", "newline", "not UTF-8"],
)  # fmt: skip
@pytest.mark.parametrize("together", [True, False])
def test_an_edit_that_no_other_machine_would_take_stays_out_and_is_named(
    ground: Ground, first: str, then: str, why: str, together: bool
) -> None:
    """What was there first goes its way, and so does everything else."""
    here, there = ground.towns["anvil"], ground.add("brick")
    write(here, first, MESSAGE)
    if not together:
        sync(here)
    write(here, then, MESSAGE)
    done = sync(here)
    assert [problem.path for problem in done.invalid] == [then]
    assert why in done.invalid[0].reason
    assert Path(here.root, then).exists()
    assert first in contents(here)
    assert then not in contents(here)
    sync(there)
    assert first in contents(there)


def test_a_message_whose_name_no_other_machine_takes_is_read_and_never_moved(ground: Ground) -> None:
    here = open_town(ground.towns["anvil"].root, clock=ground.clock, actor="mayor")
    for name, why in (("9.a\nb", "control characters"), ("9.\udcff.x", "not UTF-8")):
        path = f"mail/mayor/new/{name}"
        write(here, path, MESSAGE)
        assert mail.read(here, "1")[1].text.strip() == "Text"
        for act in (lambda: mail.archive(here, ["1"]), lambda: mail.mark(here, ["1"], add="F")):
            with pytest.raises(Refused, match=why) as refused:
                act()
            assert "rename that file" in refused.value.hint
        assert Path(here.root, path).exists()
        Path(here.root, path).rename(Path(here.root, "mail/mayor/new/9.x"))
        assert [one.sub for one in mail.archive(here, ["1"])] == [".Archive"]


def commit_anyway(town: Town, name: str) -> str:
    """What a person commits past the hooks; the path it lies at."""
    path = {"a link": "roles/x.md", "a submodule": "sub", "git's modules": ".gitmodules", "worktrees": "work/y",
            "case": "roles/Crew.md", "a newline": "roles/a\nb.md"}[name]  # fmt: skip
    where = Path(town.root, path)
    if name == "a link":
        where.symlink_to("/etc/passwd")
    elif name == "a submodule":
        git("init", "--quiet", "sub", cwd=town.root)
        git("commit", "--quiet", "--allow-empty", "--message", "x", cwd=where)
    else:
        write(town, path)
    plain(town, "-c", "advice.addEmbeddedRepo=false", "add", "--force", path)
    return path


@pytest.mark.parametrize("name", ["a link", "a submodule", "git's modules", "worktrees", "case", "a newline"])
def test_a_commit_that_no_other_machine_would_take_is_refused_by_the_hooks_and_never_sent(
    ground: Ground, name: str
) -> None:
    """What the refusal says to do is enough: the commit itself may stay."""
    here, there = ground.towns["anvil"], ground.add("brick")
    write(here, "roles/crew.md")
    sync(here)
    good = git("rev-parse", "main", cwd=ground.remote)
    path = commit_anyway(here, name)
    said = plain(here, "commit", "--quiet", "--message", "x", code=1).stderr
    assert safe(path) in said
    plain(here, "commit", "--quiet", "--no-verify", "--message", "x")
    assert safe(path).partition("/")[0] in plain(here, "push", code=1).stderr
    with pytest.raises(Refused, match="no other machine would take it") as refused:
        sync(here)
    assert refused.value.hint.startswith("mend it in one more commit, then gt sync: git ")
    assert git("rev-parse", "main", cwd=ground.remote) == good
    mend = refused.value.hint.partition("gt sync: ")[2].replace("NEWNAME", "roles/other.md")
    subprocess.run(["bash", "-c", f"{mend} --quiet --message mended"], cwd=here.root, check=True)
    sync(here)
    sync(there)
    assert path not in contents(there)
    assert git("rev-parse", "main", cwd=ground.remote) == git("rev-parse", "HEAD", cwd=there.root)


def test_a_town_that_nobody_could_join_gets_no_remote(town: Town, tmp_path: Path) -> None:
    Path(town.root, "roles/x.md").symlink_to("/etc/passwd")
    plain(town, "add", "roles/x.md")
    plain(town, "commit", "--quiet", "--no-verify", "--message", "x")
    git("init", "--quiet", "--bare", "--initial-branch=main", "fresh.git", cwd=tmp_path)
    ran = run_gt("sync", "--remote", str(tmp_path / "fresh.git"), cwd=town.root, code=5)
    assert "roles/x.md: a symbolic link" in ran.err
    assert git("for-each-ref", cwd=tmp_path / "fresh.git") == ""


# -- remotes that do not answer, or not to us ----------------------------------------------------------
@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for one in taken:
            one.close()


class Closed(http.server.BaseHTTPRequestHandler):
    """Wants a password for everything."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="town"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def closed() -> Iterator[tuple[int, list[str]]]:
    """The port of a server that answers 401, and what it was shown."""
    handler = type("Handler", (Closed,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], handler.asked
    server.shutdown()
    server.server_close()


def gits_at_work(root: str) -> list[str]:
    """The git processes that have the town as their folder."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/cwd") == os.path.realpath(root):
                found.append(Path(f"/proc/{name}/cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [one for one in found if "git" in one.split(" ")[0]]


@pytest.mark.parametrize("url", ["git://127.0.0.1:{}/town", "http://127.0.0.1:{}/town.git"])
def test_a_remote_that_hangs_is_given_up(ground: Ground, silent: int, url: str) -> None:
    here = ground.towns["anvil"]
    made = bead(here, "One")
    edited = Path(here.root, str(here.bead_path(made)))
    edited.write_text(edited.read_text().replace("title: One", "title: Edited"))
    os.utime(edited, (time.time() - 5,) * 2)
    git("remote", "set-url", "origin", url.format(silent), cwd=here.root)
    ran = run_gt("sync", "--timeout", "1", cwd=here.root, code=1)
    assert "said nothing for 1 s" in ran.err
    assert "next sync" in ran.err
    assert gits_at_work(here.root) == []
    check_clean(here)
    assert here.bead(made).title == "Edited"
    git("remote", "set-url", "origin", str(ground.remote), cwd=here.root)
    run_gt("sync", cwd=here.root)


def test_the_git_of_a_killed_sync_is_ended_when_it_hangs(ground: Ground, silent: int) -> None:
    """It holds the sync's lock, so that nobody meets it at work; but it may not hold it for ever."""
    here = ground.towns["anvil"]
    bead(here, "One")
    git("remote", "set-url", "origin", f"git://127.0.0.1:{silent}/town", cwd=here.root)
    killed = subprocess.Popen([*gt_argv(), "sync"], cwd=here.root, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not Path(here.root, ".gt/run/sync-git.json").exists() or not gits_at_work(here.root):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert gits_at_work(here.root) != []
    git("remote", "set-url", "origin", str(ground.remote), cwd=here.root)
    run_gt("sync", cwd=here.root)
    assert gits_at_work(here.root) == []
    check_clean(here)


def test_wrong_credentials_are_said_and_nobody_is_asked(ground: Ground, closed: tuple[int, list[str]]) -> None:
    here = ground.towns["anvil"]
    port, asked = closed
    git("remote", "set-url", "origin", f"http://pat:secret@127.0.0.1:{port}/town.git", cwd=here.root)
    ran = run_gt("sync", "--timeout", "20", cwd=here.root, code=1, env={"GIT_TERMINAL_PROMPT": "1"})
    assert "cannot be reached" in ran.err
    assert "secret" not in ran.out + ran.err
    assert any(one.startswith("Basic ") for one in asked)
    assert gits_at_work(here.root) == []
    check_clean(here)


def test_a_terminal_is_not_prompted_at(ground: Ground, closed: tuple[int, list[str]]) -> None:
    """A sync that has a terminal of its own asks nothing there and waits for no answer."""
    here = ground.towns["anvil"]
    git("remote", "set-url", "origin", f"http://127.0.0.1:{closed[0]}/town.git", cwd=here.root)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here.root)
        os.execvp(sys.executable, [*gt_argv(), "sync", "--timeout", "20"])
    said = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how Linux tells that nobody has it open any more
            break
        if not chunk:
            break
        said += chunk
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert code == 1
    assert b"terminal prompts disabled" in said


@pytest.mark.parametrize("make", ["nothing", "a file", "no repository"])
def test_a_remote_that_is_none(ground: Ground, make: str) -> None:
    here = ground.towns["anvil"]
    path = ground.base / "odd.git"
    if make == "a file":
        path.write_text("x")
    elif make == "no repository":
        path.mkdir()
    git("remote", "set-url", "origin", str(path), cwd=here.root)
    ran = run_gt("sync", cwd=here.root, code=1)
    assert "the remote origin cannot be reached" in ran.err
    check_clean(here)


def test_an_empty_remote_gets_the_town(ground: Ground) -> None:
    here = ground.towns["anvil"]
    git("init", "--quiet", "--bare", "--initial-branch=main", "fresh.git", cwd=ground.base)
    git("remote", "set-url", "origin", str(ground.base / "fresh.git"), cwd=here.root)
    sync(here)
    assert git("rev-parse", "main", cwd=ground.base / "fresh.git") == git("rev-parse", "HEAD", cwd=here.root)


def test_a_remote_that_refuses_a_push_says_why(ground: Ground) -> None:
    hook = ground.remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'closed for the holidays' >&2\nexit 1\n")
    hook.chmod(0o755)
    here = ground.towns["anvil"]
    bead(here, "One")
    ran = run_gt("sync", cwd=here.root, code=None)
    assert ran.code != 0
    assert "closed for the holidays" in ran.err
    check_clean(here)
    hook.unlink()
    run_gt("sync", cwd=here.root)
