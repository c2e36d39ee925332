"""Sessions of agents on this machine: proof that they live, their terminals, slots, and what holds them."""
