"""The page of a server: one that asks, shows what is written, and where its words stand in the training data."""
