"""Work from an agent's start to its hand-in, and after a crash."""
