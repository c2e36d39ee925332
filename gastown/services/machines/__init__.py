"""The machines that share a town: making, cloning, naming, meeting."""
