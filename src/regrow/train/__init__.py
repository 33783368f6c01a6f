"""Training: the loop, its schedule, its state with checkpoints, and the chain of hashes that commits to the run."""
