"""The files of a town as people leave them: which cannot be used, what was edited by hand, where git stands."""
