"""Beads: written, asked for, and who works on which."""
