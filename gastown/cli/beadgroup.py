"""`gt bead`: every bead command in one group; the frequent ones are the very functions of `gt create`, `gt show` ..."""

from __future__ import annotations

import typer

from gastown.cli import bead, lists, sync, watch

app = typer.Typer(
    help="All bead commands, with dependencies, labels, tree and history.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
bead.label.command("list")(lists.labels)
for _name, _command in (
    ("create", bead.create), ("show", lists.show), ("list", lists.list_), ("update", bead.update),
    ("note", bead.note), ("close", bead.close), ("reopen", bead.reopen), ("ready", lists.ready),
    ("blocked", lists.blocked), ("tree", lists.tree), ("log", watch.bead_log),
    ("resolve", sync.resolve),
):  # fmt: skip
    app.command(_name)(_command)
app.add_typer(bead.dep, name="dep")
app.add_typer(bead.label, name="label")
