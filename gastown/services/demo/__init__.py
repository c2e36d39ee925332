"""`gt demo`."""
