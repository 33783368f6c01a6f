"""What was read for earlier requests, to be found again by those that begin with the same tokens.

Positions are kept in blocks. A block belongs to all tokens up to its end, token by token: nothing is found by a hash
that two texts might share. Whoever goes on with a block gets a copy of it, so that any block may be dropped at any
time; those go first that were not used for longest, and none before those that follow it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from regrow.model.cache import Kept


@dataclass(eq=False)
class Block:
    """Some positions that follow others.

    Attributes:
        kept: what a cache holds of them; nothing at the beginning of all texts.
        before: the block that they follow; None at the beginning.
        after: those that follow, by their tokens.
        tokens: their own.
    """

    kept: Kept = field(default_factory=dict)
    before: Block | None = None
    tokens: tuple[int, ...] = ()
    after: dict[tuple[int, ...], Block] = field(default_factory=dict)


class Prefixes:
    """Blocks of many texts, each by what comes before it.

    Attributes:
        size: positions of a block.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._beginnings: dict[str, Block] = {}
        # By when they were last used: a block always stands before the one that it follows.
        self._used: OrderedDict[Block, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def find(self, model: str, tokens: Sequence[int], most: int) -> list[Block]:
        """The blocks with which a text begins, as far as they are there, and hold no more than ``most`` positions."""
        blocks, block = list[Block](), self._beginnings.get(model)
        while block is not None and (len(blocks) + 1) * self.size <= most:
            if (block := block.after.get(self._tokens(tokens, len(blocks)))) is not None:
                blocks.append(block)
        self._touch(blocks)
        return blocks

    def can_add(self, model: str, tokens: Sequence[int]) -> bool:
        """Whether the last block of some tokens, which are whole blocks, is not there and those before it are."""
        count = len(tokens) // self.size
        found = len(self.find(model, tokens, len(tokens)))
        return found == count - 1

    def add(self, model: str, tokens: Sequence[int], kept: Kept) -> None:
        """Keep the last block of some tokens, for which :meth:`can_add` holds."""
        blocks = self.find(model, tokens, len(tokens))
        before = blocks[-1] if blocks else self._beginnings.setdefault(model, Block())
        own = self._tokens(tokens, len(blocks))
        before.after[own] = block = Block(kept, before, own)
        self._touch([*blocks, block])

    def drop(self, but: Sequence[int] = (), model: str = "") -> bool:
        """Forget the block that was not used for longest; whether there was one.

        Args:
            but: tokens whose blocks are to stay.
            model: whose these are.
        """
        spared = self.find(model, but, len(but)) if but else []
        oldest = next(iter(self._used), None)
        if oldest is None or oldest in spared:
            return False
        del self._used[oldest]
        if oldest.before is not None:
            del oldest.before.after[oldest.tokens]
        return True

    def _tokens(self, tokens: Sequence[int], number: int) -> tuple[int, ...]:
        return tuple(tokens[number * self.size : (number + 1) * self.size])

    def _touch(self, blocks: Sequence[Block]) -> None:
        for block in reversed(blocks):
            self._used[block] = None
            self._used.move_to_end(block)
