"""The index says the same with its cache as without: of open and closed beads, after every kind of change."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gastown.store import index
from tests.store.towns import small_town

CREATED = "created: {at: 2026-11-23T09:30:00Z, by: overseer}\n"
CLOSED = "status: closed\n\nclosed:\n  at: 2026-11-23T10:00:00Z\n  by: overseer\n  reason: done\n"


def write(root: Path, number: int, *, closed: bool, title: str = "A bead") -> Path:
    path = root / f"rigs/greenplace/beads/2026-11-{number % 5 + 10}/gp-{number:05d}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    needs = f"\nneeds:\n  - gp-{number - 1:05d}\n" if number else ""
    state = CLOSED if closed else "status: open\n"
    path.write_text(f"id: gp-{number:05d}\n\ntitle: {title}\n\n{CREATED}{state}{needs}")
    old = 1_700_000_000 + number  # older than any clock tick of the cache
    os.utime(path, (old, old))
    return path


def said(root: Path) -> tuple[list, list, dict, list[str]]:
    found = index.load(str(root))
    by_id = found.by_id
    assert list(by_id) == list(dict.fromkeys(by_id))
    assert len(by_id) == len(found.rows)
    assert {row.id for row in found.live} == {row.id for row in found.rows if row.status != "closed"}
    assert all(by_id[row.id] == row == by_id.get(row.id) and row.id in by_id for row in found.rows)
    assert by_id.get("gp-zzzzz") is None
    assert "gp-zzzzz" not in by_id
    rows = sorted(found.rows)
    return rows, sorted(found.live), dict(by_id), sorted(str(one) for one in found.problems)


def fresh(root: Path) -> tuple[list, list, dict, list[str]]:
    shutil.rmtree(root / ".gt/cache", ignore_errors=True)
    return said(root)


def test_cached_and_fresh_say_the_same(tmp_path):
    root = Path(small_town(tmp_path / "t").root)
    for number in range(60):
        write(root, number, closed=number % 3 == 0)
    seed = random.Random(7)
    expected = fresh(root)
    assert len(expected[0]) == 60
    assert len(expected[1]) == 40
    for round_ in range(25):
        number = seed.randrange(60)
        act = seed.choice(("close", "open", "edit", "remove", "break", "replace"))
        path = write(root, number, closed=act == "close", title=f"round {round_}")
        if act == "remove":
            path.unlink()
        elif act == "break":
            path.write_text("id: [torn")
        elif act == "replace":
            spare = path.with_suffix(".new")
            spare.write_text(path.read_text())
            os.replace(spare, path)
        cached = said(root)
        kept = (root / ".gt/cache/beads.idx").read_bytes()
        assert cached == fresh(root), f"round {round_}: {act} {path.name}"
        if round_ % 2:  # half of the rounds go on from a cache that knows less
            (root / ".gt/cache/beads.idx").write_bytes(kept)


def test_rows_come_by_folder_and_name_and_know_their_path(tmp_path):
    root = Path(small_town(tmp_path / "t").root)
    for number in (7, 3, 12, 2):
        write(root, number, closed=number == 12)
    paths = [row.path for row in index.load(str(root)).rows]
    assert len(paths) == 4
    assert paths == sorted(paths)
    assert all((root / path).is_file() for path in paths)


def test_a_closed_bead_with_texts_to_choose_from_is_known_with_the_cache_too(tmp_path):
    root = Path(small_town(tmp_path / "t").root)
    for number in range(20):
        path = write(root, number, closed=number != 3)
        if number in (3, 4):
            path.write_text(path.read_text() + "\nconflicts:\n  - key: title\n    ours: A\n    theirs: B\n")
            os.utime(path, (1_700_000_000, 1_700_000_000))
    for _ in range(2):
        found = index.load(str(root))
        assert sorted(row.id for row in found.disputed) == ["gp-00003", "gp-00004"]
        assert all(row.conflicts == ("title",) for row in found.disputed)
    assert (root / ".gt/cache/beads.idx").exists()


def test_a_file_that_goes_while_it_is_looked_at_hides_none_of_the_others(tmp_path, monkeypatch):
    root = Path(small_town(tmp_path / "t").root)
    paths = [write(root, number, closed=False) for number in (0, 5, 10)]
    entry, gone = index._entry, paths[1]

    def late(item):
        gone.unlink(missing_ok=True)
        return entry(item)

    monkeypatch.setattr(index, "_entry", late)
    found = index.load(str(root))
    assert (list(found.by_id), found.problems) == ([paths[0].stem, paths[2].stem], [])


def test_a_link_is_no_bead_even_where_it_took_the_place_of_the_very_file_it_leads_to(tmp_path):
    """Followed, it has that file's size, times and number: a cache would go on believing in the bead."""
    root = Path(small_town(tmp_path / "t").root)
    bead, other = (write(root, number, closed=False) for number in (5, 6))
    for path in (bead, other):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    fresh(root)
    index.load(str(root))
    bead.rename(tmp_path / "elsewhere.yaml")
    bead.symlink_to(tmp_path / "elsewhere.yaml")
    for _ in range(2):
        found = index.load(str(root))
        assert bead.stem not in found.by_id
        assert other.stem in found.by_id
        assert [str(one).partition(":")[0] for one in found.problems] == [str(bead.relative_to(root))]
    subprocess.run(["sh", "-ec", found.problems[0].command], cwd=root, check=True)
    assert not bead.is_symlink()
    found = index.load(str(root))
    assert bead.stem in found.by_id
    assert found.problems == []


@pytest.mark.parametrize("part", ["", "/greenplace", "/greenplace/beads", "/greenplace/beads/2026-11-10"])
def test_a_folder_that_is_a_link_is_named_and_nothing_below_it_taken(tmp_path, part):
    root = Path(small_town(tmp_path / "t").root)
    write(root, 5, closed=False)
    link = root / f"rigs{part}"
    index.load(str(root))
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    found = index.load(str(root))
    assert [one.path for one in found.problems] == [str(link.relative_to(root))]
    assert "put the folder itself in its place" in found.problems[0].hint
    subprocess.run(["sh", "-ec", found.problems[0].command], cwd=root, check=True)
    found = index.load(str(root))
    assert (list(found.by_id), found.problems) == (["gp-00005"], [])


def test_a_pipe_among_the_beads_is_named_and_not_waited_for(tmp_path):
    root = Path(small_town(tmp_path / "t").root)
    os.mkfifo(write(root, 5, closed=False).with_name("gp-00099.yaml"))
    code = "from gastown.store import index; f = index.load(sys.argv[1]); print(*f.problems); print(*f.by_id)"
    argv = [sys.executable, "-c", f"import sys; {code}", str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    problems, ids = done.stdout.splitlines()
    assert "gp-00099.yaml: cannot be read: it is no ordinary file" in problems
    assert "gp-00005" in ids
