"""To be written: see tests/todo_initials.py."""
