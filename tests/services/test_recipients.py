"""Who can be written to, and what a sender's words mean."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gastown.model.errors import InvalidFile, NotFound, UsageError
from gastown.services.mail import recipients
from gastown.store.town import Town
from tests.conftest import git
from tests.services.mail_lab import AMBER, BIRCH, PAT, staff


@pytest.fixture
def green(town: Town) -> Town:
    return staff(town)


def meant(town: Town, *words: str, sender: str = "overseer") -> list[str]:
    return recipients.resolve(town, words, sender=sender)


@pytest.mark.parametrize(
    "word",
    ["green/amber", "green/polecats/amber", "amber@green.demo.gt", "<amber@green.demo.gt>", "amber@green.DEMO.gt"],
)
def test_one_agent_has_one_identity_in_every_form(green: Town, word: str) -> None:
    assert meant(green, word, AMBER) == [AMBER]


def test_words_for_many(green: Town) -> None:
    assert meant(green, "@polecats/green") == [AMBER, BIRCH]
    assert meant(green, "@crew/green") == [PAT]
    assert meant(green, "@rig/green", sender=AMBER) == [BIRCH, PAT]
    assert meant(green, "@town", sender=AMBER) == ["overseer", "mayor", BIRCH, PAT]
    assert meant(green, "mayor", "@polecats/green", AMBER) == ["mayor", AMBER, BIRCH]
    assert meant(green, AMBER, sender=AMBER) == [AMBER]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("green/ambr", AMBER), ("amber", AMBER), ("blue/amber", AMBER), ("mayr", "mayor"),
        ("@polecat/green", "@polecats/green"), ("@tonw", "@town"), ("birch@demo.gt", BIRCH),
    ],
)  # fmt: skip
def test_an_unknown_recipient_is_refused_with_the_nearest(green: Town, word: str, near: str) -> None:
    with pytest.raises(NotFound) as error:
        meant(green, "mayor", word)
    assert near in error.value.hint


NOBODY = ["", "@", "../../etc", "green/../mayor", "green/amber/x", "a@b", "pat@example.org", "@x/y"]


@pytest.mark.parametrize("word", NOBODY)
def test_what_is_no_recipient(green: Town, word: str) -> None:
    with pytest.raises(NotFound):
        meant(green, word)


def test_a_worker_whose_file_is_broken_still_gets_mail(green: Town) -> None:
    Path(green.root, "rigs/green/polecats/amber.yaml").write_text("name: [torn\n")
    assert meant(green, "@polecats/green") == [AMBER, BIRCH]


def test_nobody_is_an_error_and_not_nobody_told(green: Town) -> None:
    shutil.rmtree(Path(green.root, "rigs/green/crew"))
    with pytest.raises(NotFound, match="nobody in @crew/green"):
        meant(green, "@crew/green")
    with pytest.raises(UsageError):
        meant(green)


def test_groups_hold_addresses_and_groups(green: Town) -> None:
    assert recipients.add_to_group(green, "back", [BIRCH, "@crew/green"]) == ["@crew/green", BIRCH]
    recipients.add_to_group(green, "@all-of-us", ["@back", "overseer"])
    assert meant(green, "@all-of-us", sender="mayor") == [PAT, BIRCH, "overseer"]
    assert recipients.group(green, "back")[1] == [PAT, BIRCH]
    with pytest.raises(UsageError, match="@all-of-us has @back in it"):
        recipients.add_to_group(green, "back", ["@all-of-us"])
    with pytest.raises(NotFound):
        recipients.add_to_group(green, "back", ["green/nobody"])
    assert recipients.remove_from_group(green, "back", [BIRCH]) == ["@crew/green"]
    with pytest.raises(NotFound):
        recipients.remove_from_group(green, "back", [BIRCH])
    assert recipients.remove_from_group(green, "all-of-us", []) == []
    assert list(recipients.groups(green)) == ["back"]
    assert git("status", "--short", cwd=green.root) == ""


def test_a_group_made_by_hand_in_a_circle_is_named(green: Town) -> None:
    Path(green.root, "mail/.groups.yaml").write_text('groups:\n  a:\n    - "@b"\n  b:\n    - "@a"\n')
    with pytest.raises(InvalidFile, match="member of itself"):
        meant(green, "@a")
    Path(green.root, "mail/.groups.yaml").write_text("groups:\n  a: mayor\n")
    with pytest.raises(InvalidFile, match="list of addresses"):
        meant(green, "@a")


def test_a_group_that_names_one_who_is_gone_says_who_and_how_to_mend_it(green: Town) -> None:
    Path(green.root, "mail/.groups.yaml").write_text('groups:\n  a:\n    - "@b"\n    - green/gone\n  b:\n    - mayor\n')
    with pytest.raises(NotFound) as caught:
        recipients.resolve(green, ["@a"], sender="overseer")
    assert caught.value.message == "@a names green/gone: nobody here has the address 'green/gone'"
    assert caught.value.hint == "gt mail group remove a green/gone"


def test_comments_in_the_groups_stay(green: Town) -> None:
    path = Path(green.root, "mail/.groups.yaml")
    path.write_text("# ours\ngroups:\n  back:\n    - mayor # the boss\n")
    recipients.add_to_group(green, "back", ["overseer"])
    assert "# ours" in path.read_text()
    assert "# the boss" in path.read_text()
