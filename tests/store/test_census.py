"""Counting beads: exact after every kind of change, and a cache that may be anything."""

from __future__ import annotations

from gastown.store import census, layout
from tests.store.towns import small_town


def test_the_count_follows_the_files(tmp_path):
    root = small_town(tmp_path / "t").root
    base = tmp_path / "t" / layout.beads_dir("greenplace")
    assert census.count(root, "greenplace") == 0
    for day in range(1, 21):
        folder = base / f"2026-11-{day:02d}"
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"gp-{day:03d}{number}.yaml").write_text("x")
        (folder / ".gp-temp.yaml").write_text("x")
        (folder / "notes.txt").write_text("x")
    assert census.count(root, "greenplace") == 60
    cache = tmp_path / "t/.gt/cache/census.json"
    written = cache.read_bytes()
    (base / "2026-11-20" / "gp-late.yaml").write_text("x")
    (base / "2026-11-01" / "gp-0010.yaml").unlink()
    (base / "2026-11-02" / "gp-0020.yaml").unlink()
    assert census.count(root, "greenplace") == 59
    assert cache.read_bytes() == written, "a few stale folders are no reason to write the cache"
    assert census.count(root, None) == 0


def test_a_cache_of_any_content_is_counted_anew(tmp_path):
    root = small_town(tmp_path / "t").root
    folder = tmp_path / "t" / layout.bead_path("greenplace", "2026-11-23", "gp-aaaaa")
    folder.parent.mkdir(parents=True)
    folder.write_text("x")
    cache = tmp_path / "t/.gt/cache/census.json"
    cache.parent.mkdir(parents=True)
    wrong = '{"rigs/greenplace/beads": {"2026-11-23": ["x", null]}}'
    for torn in ("", "[", "[]", '{"rigs/greenplace/beads": 7}', wrong):
        cache.write_text(torn)
        assert census.count(root, "greenplace") == 1
