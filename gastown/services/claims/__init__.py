"""Claims by ref: who works on a bead, across machines."""
