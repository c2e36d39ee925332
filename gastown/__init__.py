"""Gas Town on plain files: a workspace manager for many coding agents."""

__version__ = "0.1.0"
