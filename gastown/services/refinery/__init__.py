"""A rig's refinery, and the loop that carries beads to their end without a deacon."""
