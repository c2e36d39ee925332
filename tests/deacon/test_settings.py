"""The deacon's thresholds: all of them are settings that gt knows, and holds to their form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gastown.deacon import settings
from gastown.deacon.settings import Settings
from gastown.model import times
from gastown.model.errors import InvalidFile
from gastown.services.health import doctor, status
from gastown.services.settings import config
from gastown.store.town import Town


def test_the_schema_describes_every_threshold_with_its_default(town: Town) -> None:
    described = {one.key: one.default for one in config.settings(town) if one.key.startswith("deacon.")}
    described["deacon.sync"] = config.get(town, "sync.interval").default
    held = {f"deacon.{one.name}": one.default for one in dataclasses.fields(Settings)}
    assert {key: value if isinstance(value, int) or value is None else times.duration(value)
            for key, value in described.items()} == held  # fmt: skip


@pytest.mark.parametrize("line", ["raise_after: soon", "mass_deaths: 0", "errands: many", "backoff: {}"])
def test_one_that_cannot_be_used_is_named_by_all_who_look(town: Town, line: str) -> None:
    path = Path(town.root, "town.yaml")
    path.write_text(path.read_text() + f"\ndeacon:\n  {line}\n")
    town.refresh()
    key = "deacon." + line.partition(":")[0]
    with pytest.raises(InvalidFile) as refused:
        settings.read(town)
    assert refused.value.key == key
    assert any(key in one.text for one in doctor.examine(town) if one.state != "ok")
    (problem,) = status.status(town, town).problems
    assert (problem.subject, problem.text.partition(" ")[0]) == ("town.yaml", line.partition(":")[0])
