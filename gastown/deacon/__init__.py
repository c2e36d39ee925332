"""The deacon: watches a town's files and decides when the services act. It holds nothing that a restart would lose."""
