"""What a message consists of, as OpenAI's clients write it: a text, or parts of several sorts, of which texts are
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrow.words import shown

_SORTS: Mapping[str, str] = {
    "image_url": "an image",
    "input_image": "an image",
    "input_audio": "sound",
    "video_url": "a video",
    "file": "a file",
    "input_file": "a file",
}

_A_TEXT = '`{"type": "text", "text": "..."}`'
UNREAD = "the model reads text and nothing else"
INSTEAD = "leave it out, or say in words what is in it"


def unread(content: object) -> tuple[int, str] | None:
    """The place of the first part that is no text, from 0, and what it is; None if there is none."""
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        sort = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(sort, str) or (sort == "text" and not isinstance(part.get("text"), str)):
            return place, f"this is no part as {_A_TEXT}"
        if sort != "text":
            return place, f"this is {_SORTS[sort]}" if sort in _SORTS else f"this is of type {shown(sort)}"
    return None


def joined(content: object) -> Any:
    """The texts of parts, one behind the other; what consists of anything else as it is."""
    if not isinstance(content, list | tuple) or not all(map(_is_text, content)):
        return content
    return "".join(part["text"] for part in content)


def _is_text(part: object) -> bool:
    return isinstance(part, Mapping) and part.keys() == {"type", "text"} and isinstance(part["text"], str)
