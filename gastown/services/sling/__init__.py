"""Giving work out and taking it back."""
