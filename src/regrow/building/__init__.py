"""Making a release from a recipe: lock, evaluate, compare with the lock, assemble."""
