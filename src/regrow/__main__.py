"""``python -m regrow`` is ``regrow``; so ``torchrun -m regrow build RECIPE`` builds with several workers."""

from regrow.cli import main

main()
