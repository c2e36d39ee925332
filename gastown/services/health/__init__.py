"""What is seen of a town and what is wrong with it: status, doctor, trail."""
