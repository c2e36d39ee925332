"""What a town is told to do: its settings, its commands, and whether this machine trusts them."""
