"""Rigs: the repositories of a town and their clones here."""
