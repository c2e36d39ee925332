"""Two histories of a town made one: by a sync, and after plain git."""
