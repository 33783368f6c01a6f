"""What ``regrow build --workers`` starts in several processes: ``regrow``, but for how the first of them ends.

Its exit code goes to a file. An exit code other than 0 makes the agent start all processes again, which a mistake in a
recipe is no reason for.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from regrow.cli import main
from regrow.train.group.environment import EXIT_CODE

if __name__ == "__main__":
    try:
        main()
    except SystemExit as leaving:
        if os.environ["RANK"] != "0":
            raise
        with suppress(FileExistsError), Path(os.environ[EXIT_CODE]).open("x") as file:  # the first word is the last
            file.write(str(leaving.code or 0))
