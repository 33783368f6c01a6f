"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re

from regrow.corpus.reading import Refusal
from regrow.formats.pointer import pointer, remedy

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"\x1f\x8b\x08", "gzip data"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard data"),
    (rb"BZh[1-9]1AY&SY", "bzip2 data"),
    (rb"\xfd7zXZ\0", "xz data"),
    (rb"\x04\x22\x4d\x18", "LZ4 data"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb"PK\x03\x04", "a Zip archive, as .docx, .xlsx and .epub files are"),
    (rb"%PDF-\d", "a PDF document"),
    (rb"\{\\rtf\d", "an RTF document"),
    (rb"%!PS-Adobe", "a PostScript document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image"),
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"(?:II\*\0|MM\0\*)", "a TIFF image"),
    (rb"RIFF.{4}(?:WEBP|WAVE|AVI )", "an image, sound or film"),
    (rb"OggS\0", "an Ogg file"),
    (rb".{4}ftyp[a-zA-Z0-9 ]{4}", "a film in MP4"),
    (rb"ARROW1\0\0", "an Arrow file"),
    (rb"Obj\x01", "an Avro file"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"\x93NUMPY", "an array of NumPy"),
    (rb"SQLite format 3\0", "an SQLite database"),
    (rb"\x7fELF|MZ.\0", "a program"),
    (rb"WARC/\d\.\d\r\n", "a WARC archive of web pages"),
)


def stand_in(data: bytes) -> Refusal | None:
    """A refusal of what stands for a file that was not brought along."""
    if not (kind := pointer(data)):
        return None
    return Refusal(0, len(data), f"a {kind} pointer", f"`{remedy(kind)}` brings the file that it stands for")


def is_parquet(data: bytes) -> bool:
    """True for what begins and ends as a Parquet file does."""
    return len(data) >= 12 and data[:4] == data[-4:] and data[:4] in (b"PAR1", b"PARE")


def kind_of(data: bytes) -> str:
    """What a file that is no text is, by the signature at its beginning; empty for what has none."""
    if is_parquet(data):
        return "a Parquet file"
    head = data[:64]
    return next((words for signature, words in _SIGNATURES if re.match(signature, head, re.DOTALL)), "")
