"""Small functions on words."""
