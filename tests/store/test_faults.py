"""python -m pytest tests/store/test_faults.py"""

import errno

import pytest

from regrow.errors import StageError
from regrow.store.faults import plain_words

ROOM = "free some space (`regrow store gc` removes what no recipe needs) or set REGROW_STORE to a larger disk"


@pytest.mark.parametrize(
    ("settings", "number", "hint"),
    [
        ((), errno.ENOSPC, ROOM),
        (("REGROW_DOWNLOADS",), errno.ENOSPC, "free some space or set REGROW_DOWNLOADS to a larger disk"),
        (("REGROW_DOWNLOADS",), errno.EROFS, "make the place writable, or set REGROW_DOWNLOADS to one that is"),
    ],
)
def test_the_hint_names_what_moves_the_place(settings: tuple[str, ...], number: int, hint: str) -> None:
    with pytest.raises(StageError) as caught, plain_words("place", *settings):
        raise OSError(number, "words")
    assert caught.value.hint == hint
