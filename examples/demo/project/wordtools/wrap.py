"""To be written: see tests/todo_wrap.py."""
