"""Agents at work: their presets and launch, their worktrees, what they are told."""
