"""Counting beads: exact by the day, of today at once, and a cache that may be anything."""

from __future__ import annotations

from gastown.store import census, layout
from tests.store.towns import small_town


def test_the_count_follows_the_files(tmp_path):
    root = small_town(tmp_path / "t").root
    base = tmp_path / "t" / layout.beads_dir("greenplace")
    assert census.count(root, "greenplace", "2026-11-20") == 0
    for day in range(1, 21):
        folder = base / f"2026-11-{day:02d}"
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"gp-{day:03d}{number}.yaml").write_text("x")
        (folder / ".gp-temp.yaml").write_text("x")
        (folder / "notes.txt").write_text("x")
    assert census.count(root, "greenplace", "2026-11-20") == 60
    (base / "2026-11-20" / "gp-late.yaml").write_text("x")
    assert census.count(root, "greenplace", "2026-11-20") == 61
    (base / "2026-11-21").mkdir()
    (base / "2026-11-21" / "gp-new.yaml").write_text("x")
    assert census.count(root, "greenplace", "2026-11-20") == 62, "a new folder is counted, of whatever day"
    (base / "2026-11-01" / "gp-0010.yaml").unlink()
    (base / "2026-11-02" / "gp-0020.yaml").unlink()
    assert census.count(root, "greenplace", "2026-11-21") == 60
    assert census.count(root, None, "2026-11-21") == 0


def test_a_cache_of_any_content_is_counted_anew(tmp_path):
    root = small_town(tmp_path / "t").root
    path = tmp_path / "t" / layout.bead_path("greenplace", "2026-11-22", "gp-aaaaa")
    path.parent.mkdir(parents=True)
    path.write_text("x")
    cache = tmp_path / "t/.gt/cache/census.json"
    cache.parent.mkdir(parents=True)
    known = '{"rigs/greenplace/beads": %s}'
    for torn in (
        "", "[", "[]", known % 7, known % "[1]", known % '["2026-11-23", 7]',
        known % '["2026-11-23", {"2026-11-22": 7}]',
        known % '["2026-11-23", {"2026-11-22": ["x", null]}]',
    ):  # fmt: skip
        cache.write_text(torn)
        assert census.count(root, "greenplace", "2026-11-23") == 1
