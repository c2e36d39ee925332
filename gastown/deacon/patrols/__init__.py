"""The patrols: one module each, all of one shape. `gather(world)` looks, `decide(evidence, settings, now)` is pure."""
