"""Every command of `gt`: where it lives and its line of help. A static table: `gt --help` imports no group.

A command with an empty section works, but is for programs and stays out of the help.
"""

from __future__ import annotations

# name -> (module below gastown.cli, attribute: a function or a typer.Typer, help line, section)
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "init": ("town", "init", "Make a town here or at PATH.", "town"),
    "status": ("town", "status", "The town at a glance: problems, rigs, workers.", "town"),
    "info": ("town", "info", "Where this town is, and who you are in it.", "town"),
    "doctor": ("town", "doctor", "Look for what is broken; --fix mends what is provably ours.", "town"),
    "clone": ("clone", "clone", "Join a town from this machine.", "town"),
    "lint": ("clone", "lint", "Check every file of the town, as CI would.", "town"),
    "config": ("config", "app", "Read and change the town's settings.", "town"),
    "machine": ("machine", "app", "The machines that share this town.", "town"),
    "demo": ("demo", "demo", "Build a town, let workers work, watch it land.", "town"),
    "up": ("deacon", "up", "Start the deacon, which starts all that waits.", "services"),
    "down": ("deacon", "down", "End the deacon and every session on this machine.", "services"),
    "estop": ("deacon", "estop", "Freeze every agent of this machine.", "services"),
    "thaw": ("deacon", "thaw", "Let frozen agents go on.", "services"),
    "deacon": ("deacon", "app", "The watcher that keeps work flowing.", "services"),
    "scheduler": ("deacon", "scheduler_app", "How much may run, and what waits.", "services"),
    "version": ("town", "version", "The version of gt.", "town"),
    "rig": ("rig", "app", "Add, show, change, park and remove rigs.", "rigs"),
    "sling": ("work", "sling", "Give work to an agent and start it.", "work"),
    "unsling": ("work", "unsling", "Take work off an agent's hook.", "work"),
    "release": ("work", "release", "Put held work back to open.", "work"),
    "resume": ("work", "resume", "Start a new session for held work.", "work"),
    "done": ("work", "done", "Hand in the work on your hook.", "work"),
    "ready": ("lists", "ready", "Open work that nothing blocks and nobody holds.", "work"),
    "blocked": ("lists", "blocked", "Open work that waits, and what it waits for.", "work"),
    "create": ("bead", "create", "Make a bead.", "beads"),
    "show": ("lists", "show", "Show beads in full.", "beads"),
    "list": ("lists", "list_", "List beads.", "beads"),
    "update": ("bead", "update", "Change fields of beads.", "beads"),
    "note": ("bead", "note", "Add a note to a bead.", "beads"),
    "close": ("bead", "close", "Close beads with a reason.", "beads"),
    "reopen": ("bead", "reopen", "Open closed beads again.", "beads"),
    "bead": ("beadgroup", "app", "All bead commands, with dependencies, labels, tree and history.", "beads"),
    "mq": ("merge", "mq_app", "The merge queue.", "merging"),
    "refinery": ("merge", "refinery_app", "Run the merge queue.", "merging"),
    "agents": ("agents", "agents", "Every agent and what it does now.", "agents"),
    "polecat": ("agents", "polecat_app", "The workers of the rigs.", "agents"),
    "agent": ("agents", "agent_app", "The presets by which agents are run.", "agents"),
    "session": ("session", "app", "Sessions of agents: list, log, stop.", "agents"),
    "attach": ("session", "attach", "Sit down at an agent's terminal.", "agents"),
    "peek": ("session", "peek", "The last lines of an agent's terminal.", "agents"),
    "mail": ("mail", "app", "Send, read and keep mail.", "talk"),
    "nudge": ("talk", "nudge", "Say something to an agent for its next turn.", "talk"),
    "broadcast": ("talk", "broadcast", "Nudge every worker that is at work.", "talk"),
    "escalate": ("talk", "escalate", "Ask for a person's judgement; list, ack, close.", "talk"),
    "dnd": ("talk", "dnd", "Do not disturb: nothing but urgent nudges.", "talk"),
    "feed": ("watch", "feed", "What happened, event by event.", "watching"),
    "trail": ("watch", "trail", "Who did what on which bead, with the commits.", "watching"),
    "log": ("watch", "log", "The git history of the town or of a bead, as a story.", "watching"),
    "sync": ("sync", "sync", "Fetch, merge and send the town; --continue finishes what plain git left.", "syncing"),
    "trust": ("trust", "app", "The commands from town files that may run here.", "syncing"),
    "hook": ("work", "hook", "What is on your hook, in one line.", "for agents"),
    "prime": ("work", "prime", "Who you are, what is on your hook, what to do next.", "for agents"),
    "heartbeat": ("work", "heartbeat", "Say that you are alive.", "for agents"),
    "help": ("help", "help_", "What a command does, and what it takes; without one, all of them.", "town"),
    "completion": ("complete", "completion", "Print the completion script of a shell.", "town"),
    "sendmail": ("talk", "sendmail", "Deliver a message from stdin, for mail programs.", ""),
    "merge-driver": ("sync", "merge_driver", "What git calls to merge one file of a town.", ""),
    "town-hook": ("clone", "town_hook", "What git's hooks in a town call.", ""),
    "exec-work": ("work", "exec_work", "Run a bead's command, commit, hand in.", ""),
    "complete-words": ("complete", "complete_words", "Words that may come next, for the completion scripts.", ""),
}
SECTIONS = (
    "town", "rigs", "work", "beads", "merging", "agents", "talk", "watching", "syncing", "services", "for agents",
)  # fmt: skip


def sections() -> list[tuple[str, list[tuple[str, str]]]]:
    """(section, [(name, help line)]) in the order of the help."""
    return [
        (section, [(name, entry[2]) for name, entry in COMMANDS.items() if entry[3] == section])
        for section in SECTIONS
    ]
