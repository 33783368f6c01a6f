"""Testing: what a release says of itself, asked of it again; and any other task, on the engine that serves."""
