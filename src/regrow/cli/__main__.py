"""``python -m regrow.cli`` is ``regrow``."""

from regrow.cli import main

main()
