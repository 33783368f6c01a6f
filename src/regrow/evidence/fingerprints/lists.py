"""Lists of fingerprints: a file that a holder of rights can hand over, with which nobody can read the works.

The file begins with a line of JSON, filled up with blanks so that it has a multiple of eight bytes: the format, how
many words a window has, how many rows there are, the SHA-256 of all that comes behind the line, and the works with
their names and lengths. Then come the numbers of the windows (:mod:`regrow.evidence.fingerprints.windows`), 64 bits
each, ascending; and then, 32 bits each, which work each belongs to, counted from 0. All are little-endian. Where
several works have a window, there is a row for each; a work has a row once. A list is mapped into memory, not read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.evidence.fingerprints.windows import WORDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "regrow/fingerprints/1"
SUFFIX = ".fingerprints"
_HEAD = 1 << 28  # bytes of the first line, at most
_HINT = "get the list again, or have it made anew with `regrow fingerprint`"
_CHECKED = 1 << 20  # rows that are looked at together


class FingerprintError(InputError):
    """A list that is not one, or is damaged."""


@dataclass(frozen=True)
class Work:
    """A work of a list.

    Attributes:
        name: what it is called.
        words: how many it has.
        windows: how many different ones it has.
    """

    name: str
    words: int
    windows: int


@dataclass(frozen=True)
class Fingerprints:
    """A list.

    Attributes:
        works: in their order.
        hashes: of the windows, ascending.
        work: of each, the number of its work.
    """

    works: tuple[Work, ...]
    hashes: NDArray[np.uint64]
    work: NDArray[np.uint32]

    @staticmethod
    def of(
        names: Sequence[str], words: Sequence[int], hashes: NDArray[np.uint64], work: NDArray[np.uint32]
    ) -> Fingerprints:
        """A list of windows in any order, each perhaps several times."""
        import numpy as np

        order = np.lexsort((work, hashes))
        hashes, work = hashes[order], work[order]
        new = np.ones(len(hashes), np.bool_)
        new[1:] = (hashes[1:] != hashes[:-1]) | (work[1:] != work[:-1])
        hashes, work = hashes[new], work[new]
        counts = np.bincount(work, minlength=len(names)).tolist()
        told = tuple(Work(name, length, count) for name, length, count in zip(names, words, counts, strict=True))
        return Fingerprints(told, hashes, work)

    @staticmethod
    def together(lists: Sequence[Fingerprints]) -> Fingerprints:
        """Several lists as one."""
        import numpy as np

        if len(lists) == 1:
            return lists[0]
        starts = np.cumsum([0, *(len(one.works) for one in lists)]).tolist()
        hashes = np.concatenate([np.empty(0, np.uint64), *(one.hashes for one in lists)])
        numbers = [one.work + np.uint32(start) for one, start in zip(lists, starts[:-1], strict=True)]
        work = np.concatenate([np.empty(0, np.uint32), *numbers])
        order = np.lexsort((work, hashes))
        return Fingerprints(tuple(work for one in lists for work in one.works), hashes[order], work[order])

    def write(self, path: Path) -> None:
        """Write the list, whole or not at all."""
        works = [asdict(one) for one in self.works]
        numbers = self.hashes.astype("<u8", copy=False), self.work.astype("<u4", copy=False)
        told = {"format": FORMAT, "words": WORDS, "rows": len(self.hashes), "sha256": _sha256(*numbers), "works": works}
        head = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        head += b" " * (-(len(head) + 1) % 8) + b"\n"
        beside = path.with_name(f"{path.name}.part")
        try:
            with beside.open("wb") as file:
                file.write(head)
                for some in numbers:
                    some.tofile(file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @staticmethod
    def open(path: Path, name: str = "") -> Fingerprints:
        """A list, mapped from the disk.

        Args:
            path: of the file.
            name: what to call it in errors.

        Raises:
            FingerprintError: if it is no such list, or damaged.
        """
        import numpy as np

        where = name or str(path)
        works, rows, told, start = _head(path, where)
        size, wanted = path.stat().st_size, start + 12 * rows
        if size != wanted:
            raise _damaged(where, f"it has {size:,} bytes, and says of itself that it has {wanted:,}")
        if not rows:
            return Fingerprints(works, np.empty(0, np.uint64), np.empty(0, np.uint32))
        hashes = np.memmap(path, "<u8", "r", start, (rows,))
        work = np.memmap(path, "<u4", "r", start + 8 * rows, (rows,))
        _require_order(hashes, work, len(works), where)
        if _sha256(hashes, work) != told:
            raise _damaged(where, "its numbers do not have the sha256 that its first line says")
        return Fingerprints(works, hashes, work)


def _sha256(*numbers: NDArray[Any]) -> str:
    """Of all numbers, some at a time: they may be mapped from the disk."""
    seen = sha256()
    for some in numbers:
        for first in range(0, len(some), _CHECKED):
            seen.update(some[first : first + _CHECKED].tobytes())
    return seen.hexdigest()


def _head(path: Path, where: str) -> tuple[tuple[Work, ...], int, str, int]:
    """What the first line says: the works, how many rows there are, their hash, and where they begin."""
    with path.open("rb") as file:
        line = file.readline(_HEAD)
    try:
        told: Any = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _damaged(where, "its first line is not JSON") from None
    try:
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise ValueError(f"its first line does not say `{FORMAT}`")
        if told["words"] != WORDS:
            raise ValueError(f"its windows have {told['words']} words; those that are looked for have {WORDS}")
        works = tuple(Work(str(one["name"]), int(one["words"]), int(one["windows"])) for one in told["works"])
        rows, digest = int(told["rows"]), str(told["sha256"])
        if rows < 0 or len(line) % 8:
            raise ValueError("its first line has no length of eight, or a negative number of rows")
    except KeyError as error:
        raise _damaged(where, f"its first line does not say `{error.args[0]}`") from None
    except (ValueError, TypeError) as error:
        raise _damaged(where, str(error)) from None
    return works, rows, digest, len(line)


def _require_order(hashes: NDArray[np.uint64], work: NDArray[np.uint32], works: int, where: str) -> None:
    """Look once at all rows, some at a time.

    Raises:
        FingerprintError: if they are out of order, or of works that the list does not name.
    """
    for first in range(0, len(hashes), _CHECKED):
        some = hashes[first : first + _CHECKED + 1]
        if (some[1:] < some[:-1]).any():
            raise _damaged(where, "its rows are not in ascending order")
        if (work[first : first + _CHECKED] >= works).any():
            raise _damaged(where, "a row belongs to a work that the first line does not name")


def _damaged(where: str, why: str) -> FingerprintError:
    return FingerprintError("this is no list of fingerprints", where=where, why=why, hint=_HINT)
