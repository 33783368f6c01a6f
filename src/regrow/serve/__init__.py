"""Running a release: generating text from it."""
