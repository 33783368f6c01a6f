"""Personal data that has a form: e-mail addresses, public IP addresses, telephone numbers.

Found is what is likely to lead to somebody: addresses kept for examples (RFC 2606, RFC 5737, RFC 3849), private and
reserved networks (the registries of IANA), and the numbers that North America keeps for films are passed over. Only
characters of ASCII make an address or a number here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from regrow.evidence.block import Block, Span, such
from regrow.evidence.sorts import EMAIL, IP, PHONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COUNTRIES = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc "
    "cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb "
    "gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke "
    "kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu "
    "mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw "
    "sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz "
    "ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_GENERIC = (
    "com org net edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia post xyz online site "
    "app dev cloud tech store shop blog email live life world today email center systems solutions network digital "
    "agency studio design media academy institute foundation university education community group team works email "
    "engineering software consulting services company international global berlin london paris tokyo nyc"
)
_TOP = frozenset(word.encode() for word in f"{_COUNTRIES} {_GENERIC}".split())
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
_LOCAL = _WORD + b".%+-"
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253
_DOMAIN = re.compile(rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24}))(?![A-Za-z0-9_-])")
_USER_INFO = re.compile(rb"://[^/?#\s\0]*\Z")
_PATH = re.compile(rb":[^\s\0:;,.)>\]\"']|\.[a-z0-9]")  # behind a host, as in `user@host.org:folder`
_FOR_EXAMPLES = re.compile(rb"(?:(?:\A|\.)example\.(?:com|net|org|edu)|\.(?:example|invalid|test|local(?:host)?))\Z")

_IP_BEFORE = re.compile(
    rb"(?:(?<!/)/|[A-Za-z0-9_.+~-]|\b(?:v|ver|vers|version|release|rev|revision|build|update|firmware|kernel)"
    rb"[\s:.=(\"'-]{1,3})\Z",
    re.IGNORECASE,
)
_IP_AFTER = re.compile(rb"[A-Za-z0-9_+~-]|/\d|\.[A-Za-z0-9]")
_SMALL = 10  # most parts of a version are below; of four random bytes, three are so once in four thousand
_V4_SPECIAL = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3"
)
_V4_OTHERS = tuple(IPv4Network(one) for one in _V4_SPECIAL.split())
_V6_PUBLIC = IPv6Network("2000::/3")
_V6_OTHERS = tuple(IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_V6 = re.compile(rb"[0-9A-Fa-f]{4}(?::{1,2}[0-9A-Fa-f]{1,4}){1,7}(?:::)?(?![0-9A-Za-z_:/]|\.\d)")

_CALLING = re.compile(  # what begins a number of each country (ITU-T E.164)
    rb"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-689]\d|3[578]\d|42\d|5[09]\d|6[7-9]\d|8[0578]\d|9[679]\d"
)
_NORTH_AMERICAN = re.compile(rb"1[ .-]?\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}(?![\d-])")
_INTERNATIONAL = re.compile(rb"[1-9](?:(?:[ /()-]{0,2}|\.(?=\d\d))\d){7,14}(?!\d)")
_NATIONAL = re.compile(rb"\d(?:[ ./()-]{0,3}\d){6,14}(?!\d)")
_PLUS = re.compile(rb"(?<![A-Za-z0-9_)\]+-])\+\(?\Z")
_WRITTEN = re.compile(rb"\d{3}(?:\) ?\d{3}[ .-]|([.-])\d{3}\1)\d{4}(?![\w-]|\.\d)")
_AHEAD = re.compile(rb"(?<![\w.+#$/-])(?:1[ .-]?)?\(?\Z")
_CALLED = re.compile(
    rb"(?:\b(?:tele?(?:phone|fon[eo]?|fax)?|phone|mobile?|fax|whatsapp|handy|fon|movil)|t\xc3\xa9l(?:\xc3\xa9phone)?"
    rb"|tel\xc3\xa9fono|m\xc3\xb3vil|\xd1\x82\xd0\xb5\xd0\xbb|\xe7\x94\xb5\xe8\xaf\x9d|\xe9\x9b\xbb\xe8\xa9\xb1)"
    rb"(?:[ -](?:no|nr|num|number|nummer))?[.:=#\s\xef\xbc\x9a]{1,4}[(+]{0,2}\Z",
    re.IGNORECASE,
)
_MOST_DIGITS, _FEWEST_DIGITS = 15, 7
_PLAIN = 10  # digits of a number without anything between them, at least: fewer are a number like others


def personal(block: Block) -> Iterator[Span]:
    """Addresses and numbers in some texts, in no order; some may overlap."""
    yield from emails(block)
    runs = Runs.of(block)
    yield from addresses(block, runs)
    yield from wide_addresses(block)
    yield from phones(block, runs)


def emails(block: Block) -> Iterator[Span]:
    """E-mail addresses, but for those kept for examples; what names a user of a host in a URL or path is none."""
    places = block.places("@")
    likely = _is_word()[block.units[places - 1]] & _is_word()[block.units[places + 1]]
    for place in places[likely].tolist():
        before = block.before(place, _LONGEST_LOCAL + 16)
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(b".%+-")
        start = place - len(local)
        end = host_end(block, place, bracketed=block.data[start - 1 : start] == b"<")
        if not end or not 0 < len(local) <= _LONGEST_LOCAL:
            continue
        if not _USER_INFO.search(before) and not _PATH.match(block.data, end):
            yield Span(start, end, EMAIL)


def host_end(block: Block, place: int, bracketed: bool = False) -> int:
    """Where the name of a host in the public net ends that begins behind an ``@``; 0 if there is none there.

    Args:
        block: the texts.
        place: of the ``@``.
        bracketed: whether a bracket has opened, as in ``<joe@house.club>``, so that any domain is taken for one.
    """
    found = _DOMAIN.match(block.data, place)
    if not found or len(found[1]) > _LONGEST_DOMAIN or _FOR_EXAMPLES.search(found[1].lower()):
        return 0
    is_known = found[2].lower() in _TOP or (bracketed and block.data[found.end()] == ord(">"))
    return found.end() if is_known else 0


@dataclass(frozen=True)
class Runs:
    """Digits that stand together.

    Attributes:
        starts: where each run begins.
        ends: where each ends.
        between: for each run but the last how many bytes there are up to the next one.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    between: NDArray[np.int64]

    @staticmethod
    def of(block: Block) -> Runs:
        """Those of some texts."""
        import numpy as np

        is_digit = block.units - np.uint8(ord("0")) < 10
        edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
        starts, ends = edges[::2], edges[1::2]
        return Runs(starts, ends, starts[1:] - ends[:-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many digits each has."""
        return self.ends - self.starts


def addresses(block: Block, runs: Runs) -> Iterator[Span]:
    """Public IPv4 addresses: four parts, no fewer than two of them above 9, and nothing that speaks of a version."""
    import numpy as np

    parts = len(runs.starts) - 3
    if parts < 1:
        return
    dotted = np.concatenate([[False], (runs.between == 1) & (block.units[runs.ends[:-1]] == ord(".")), [False]])
    short = runs.lengths <= 3
    likely = ~dotted[:parts] & dotted[1 : parts + 1] & dotted[2 : parts + 2] & dotted[3 : parts + 3]
    likely &= ~dotted[4:] & short[:parts] & short[1 : parts + 1] & short[2 : parts + 2] & short[3:]
    for first in np.flatnonzero(likely).tolist():
        start, end = int(runs.starts[first]), int(runs.ends[first + 3])
        if _IP_BEFORE.search(block.before(start, 16)) or _IP_AFTER.match(block.data, end):
            continue
        if _is_public_v4(block.data[start:end]):
            yield Span(start, end, IP, "v4")


def wide_addresses(block: Block) -> Iterator[Span]:
    """Public IPv6 addresses."""
    units, colons = block.units, block.places(":")
    colons = colons[colons > 4]
    colons = colons[(units[colons - 4] == ord("2")) | (units[colons - 4] == ord("3"))]
    for before in (3, 2, 1):
        colons = colons[_is_hex()[units[colons - before]]]
    colons = colons[(_is_hex()[units[colons + 1]] | (units[colons + 1] == ord(":"))) & ~_joins()[units[colons - 5]]]
    for place in (colons - 4).tolist():
        found = _V6.match(block.data, place)
        if found and _is_public_v6(found[0]):
            yield Span(place, found.end(), IP, "v6")


def _is_public_v4(text: bytes) -> bool:
    parts = text.split(b".")
    values = [int(part) for part in parts]
    if max(values) > 255 or not values[-1] or sum(value >= _SMALL for value in values) < 2:
        return False  # one that ends in 0 is a network
    if any(len(part) > 1 and part[:1] == b"0" for part in parts):
        return False
    number = int.from_bytes(bytes(values), "big")
    return not any(number & int(one.netmask) == int(one.network_address) for one in _V4_OTHERS)


def _is_public_v6(text: bytes) -> bool:
    try:
        address = IPv6Address(text.decode())
    except AddressValueError:
        return False
    return address in _V6_PUBLIC and not any(address in one for one in _V6_OTHERS)


def phones(block: Block, runs: Runs) -> Iterator[Span]:
    """Telephone numbers: international ones, North American ones as they are written, and those that are called so."""
    if len(runs.starts):
        yield from _international(block, runs)
        yield from _north_american(block, runs)
        yield from _called(block, runs)


def _international(block: Block, runs: Runs) -> Iterator[Span]:
    units, starts = block.units, runs.starts
    plus = (units[starts - 1] == ord("+")) | ((units[starts - 1] == ord("(")) & (units[starts - 2] == ord("+")))
    for start in starts[plus].tolist():
        ahead = _PLUS.search(block.before(start, 3))
        found = _NORTH_AMERICAN.match(block.data, start) or _INTERNATIONAL.match(block.data, start)
        if found and ahead and _is_international(found[0]):
            yield Span(start - len(ahead[0]), found.end(), PHONE, "international")


def _is_international(text: bytes) -> bool:
    digits = _digits(text)
    country = _CALLING.match(digits)
    if not country or (len(digits) < _PLAIN and text == digits):
        return False
    return country[0] != b"1" or _is_north_american(digits[1:])


def _north_american(block: Block, runs: Runs) -> Iterator[Span]:
    import numpy as np

    lengths, near = runs.lengths, runs.between <= 2
    likely = (lengths[:-2] == 3) & (lengths[1:-1] == 3) & (lengths[2:] == 4) & near[:-1] & near[1:]
    for start in runs.starts[np.flatnonzero(likely)].tolist():
        found, ahead = _WRITTEN.match(block.data, start), _AHEAD.search(block.before(start, 5))
        if found and ahead and _is_north_american(_digits(found[0])) and (b"(" in ahead[0]) == (b")" in found[0]):
            yield Span(start - len(ahead[0]), found.end(), PHONE, "north-american")


def _called(block: Block, runs: Runs) -> Iterator[Span]:
    import numpy as np

    units, ends, joins = block.units, runs.ends[:-1], runs.between <= 3
    for step in range(3):
        joins &= (runs.between <= step) | _separates()[units[np.minimum(ends + step, len(units) - 1)]]
    heads = np.flatnonzero(np.concatenate([[True], ~joins]))
    digits = np.add.reduceat(runs.lengths, heads)
    likely = heads[(digits >= _FEWEST_DIGITS) & (digits <= _MOST_DIGITS)]
    for start in runs.starts[likely].tolist():
        found = _NATIONAL.match(block.data, start)
        if found and _CALLED.search(block.before(start, 28)):
            yield Span(start, found.end(), PHONE, "called")


def _digits(text: bytes) -> bytes:
    return text.translate(None, b" ./()-")


def _is_north_american(digits: bytes) -> bool:
    """Whether ten digits are a number there, and not one with 555, which belong to films and services."""
    area, exchange = digits[:3], digits[3:6]
    return len(digits) == 10 and min(area, exchange) >= b"200" and b"555" not in (area, exchange)


@cache
def _is_word() -> NDArray[np.bool_]:
    return such(_WORD)


@cache
def _joins() -> NDArray[np.bool_]:
    return such(_WORD + b".:")


@cache
def _is_hex() -> NDArray[np.bool_]:
    return such(b"0123456789ABCDEFabcdef")


@cache
def _separates() -> NDArray[np.bool_]:
    return such(b" ./()-")
