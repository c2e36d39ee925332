"""The town's remote: what is fetched, what is sent, and what may be."""
