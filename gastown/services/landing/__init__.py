"""What lands: the merge queue, stacks, gates and what they prove, the target branch."""
