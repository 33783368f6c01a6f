"""The text of tokens while they come: never half a character, and never the beginning of what it is to stop at.

Tokens are bytes and know nothing of characters, and what a text ends at may stand across several of them. What is told,
taken together, is a function of the tokens alone: it does not matter where one ends and the next begins.

Example:
    >>> spelling = Spelling(tokenizer, stops=("\\n\\n",))
    >>> told = [spelling.add(token) for token in tokens if not spelling.stopped] + [spelling.end()]
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from regrow.corpus.tokenizer import Tokenizer


class Spelling:
    """One text that grows by tokens.

    Of several stops counts the one that ends first, and of those that end at one place the longest.

    Attributes:
        stopped: the stop that was found, before which the text ends; empty as long as none was.
        characters: how many there are so far, with those that are held back: where the next token begins.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        """Begin with an empty text.

        Args:
            tokenizer: what made the tokens; what it calls special is no text.
            stops: what the text ends before.

        Raises:
            ValueError: if a stop is empty.
        """
        self.stopped, self.characters = "", 0
        self._bytes, self._special = tokenizer.bytes, frozenset(tokenizer.special.values())
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = [_Stop(stop) for stop in dict.fromkeys(stops)]
        self._held = ""

    def add(self, token: int) -> str:
        """What can be told once a token is there; nothing after a stop."""
        known = token < len(self._bytes) and token not in self._special
        return self._told(self._decoder.decode(self._bytes[token] if known else b""))

    def end(self) -> str:
        """What was held back, as nothing follows: half a character is shown as other engines show it."""
        told = self._told(self._decoder.decode(b"", final=True))
        if not self.stopped:
            told, self._held = told + self._held, ""
        return told

    def _told(self, text: str) -> str:
        if self.stopped:
            return ""
        self.characters += len(text)
        for place, character in enumerate(text, 1):
            if ended := [one.text for one in self._stops if one.ends(character)]:
                self.stopped = max(ended, key=len)
                told, self._held = (self._held + text[:place])[: -len(self.stopped)], ""
                return told
        whole = self._held + text
        keep = max((one.begun for one in self._stops), default=0)
        told, self._held = whole[: len(whole) - keep], whole[len(whole) - keep :]
        return told


class _Stop:
    """Looks for a text in another one that comes character by character (Knuth, Morris and Pratt, 1977).

    Attributes:
        begun: how many characters at the end are the beginning of it.
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("nothing can be stopped at")
        self.text, self.begun = text, 0
        self._shorter = [0, 0]  # of each beginning, the longest shorter one that it ends with
        for character in text[1:]:
            self._shorter.append(self._longer(self._shorter[-1], character))

    def _longer(self, begun: int, character: str) -> int:
        while begun and self.text[begun] != character:
            begun = self._shorter[begun]
        return begun + (self.text[begun] == character)

    def ends(self, character: str) -> bool:
        """Go on by a character; whether the text is whole with it."""
        self.begun = self._longer(self.begun, character)
        return self.begun == len(self.text)
