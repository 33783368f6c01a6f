"""Several processes of one command that train together: starting them, finding each other, leading and following."""
