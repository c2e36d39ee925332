"""To be written: see tests/todo_slug.py."""
