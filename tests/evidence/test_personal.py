"""Personal data and keys in texts: what is found, what is passed over, and that no text takes long."""

from __future__ import annotations

import random
import string
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.evidence.block import Block, Span
from regrow.evidence.keys import detectors
from regrow.evidence.places import apart, places


def found(*texts: str) -> list[tuple[int, str, str]]:
    """Text, sort and what stands there, of all that is found."""
    block = Block.of(pa.array(texts))
    spans = places(block)
    at = block.characters(spans)
    return [(row, one.sort, texts[row][start:end]) for one, (row, start, end) in zip(spans, at, strict=True)]


def only(text: str) -> tuple[str, str]:
    """The one thing that is found."""
    ((_, sort, what),) = found(text)
    return sort, what


@pytest.mark.parametrize(
    "text, what",
    [
        ("Write to jane.doe@mail-house.net.", "jane.doe@mail-house.net"),
        ("<j+list@a.b.co.uk>", "j+list@a.b.co.uk"),
        ("Jane <jane@house.club>", "jane@house.club"),
        ("mailto:x_y@firma.de?subject=a", "x_y@firma.de"),
        ("von Jürgen (jg@uni-jena.de), é", "jg@uni-jena.de"),
        ("see https://a.net/?to=joe@house.org", "joe@house.org"),
        ("JOE@HOUSE.ORG wrote", "JOE@HOUSE.ORG"),
        ("joe@house.org: hello", "joe@house.org"),
        ("日本 joe@house.jp。", "joe@house.jp"),
    ],
)
def test_addresses_are_found_where_they_stand(text: str, what: str) -> None:
    assert only(text) == ("email", what)


@pytest.mark.parametrize(
    "text",
    [
        "@decorator",
        "@app.route.get",
        "def f(x): return a@b.T",
        "x@y.shape == 3",
        "git clone git@forge.org:folder/project.git",
        "rsync me@host.org:/var/www",
        "https://me@host.org/path",
        "logo@2x.png",
        "jane@example.com and joe@mail.example.org",
        "root@localhost, <root@my.localhost>, <joe@house.invalid>, jane@house.club",
        "joe at house dot org",
        "lodash@4.17.21",
        "getty@tty1.service",
        "..@.. @ @@@ a@ @b.org",
        "x" * 70 + "@house.org",
    ],
)
def test_what_only_looks_like_an_address_is_passed_over(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text, what",
    [
        ("host 93.184.216.34 is up", "93.184.216.34"),
        ("http://93.184.216.34/index", "93.184.216.34"),
        ("93.184.216.34:8080", "93.184.216.34"),
        ("Ping 8.8.44.11.", "8.8.44.11"),
        ("at 2a00:1450:4001:81b::200e now", "2a00:1450:4001:81b::200e"),
        ("[2606:2800:220:1:248:1893:25c8:1946]:80", "2606:2800:220:1:248:1893:25c8:1946"),
    ],
)
def test_public_networks_are_found(text: str, what: str) -> None:
    assert only(text) == ("ip", what)


@pytest.mark.parametrize(
    "text",
    [
        "version 12.34.56.78",
        "v12.34.56.78, release 12.34.56.78",
        "Chrome/72.12.14.33",
        "libfoo-12.34.56.78.tar.gz",
        "12.34.56.78-1+deb12u1",
        "1.3.6.1.4.1.311",
        "1.2.3.4 and 10.11.12.13 and 192.168.10.20 and 172.16.55.44 and 127.11.22.33",
        "192.0.2.33, 198.51.100.77, 203.0.113.99, 224.11.22.33, 255.255.255.0, 169.254.11.22",
        "256.11.22.33 and 093.184.216.34 and 93.184.216.340",
        "193.11.0.0/16 and 193.11.20.0",
        "2001:db8::1 and fe80::1 and ::1 and 3fff::12",
        "at 12:34:56 on 2023:10:11 std::vector a::b 2001::",
        "2345:6789",
    ],
)
def test_versions_and_networks_that_are_not_public_are_passed_over(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text, what",
    [
        ("call +49 30 901820 now", "+49 30 901820"),
        ("(+44) 20 7946 0958", "+44) 20 7946 0958"),
        ("+442079460958", "+442079460958"),
        ("+1 (212) 736-5000", "+1 (212) 736-5000"),
        ("+1 212 736 5000 23 times", "+1 212 736 5000"),
        ("(212) 736-5000", "(212) 736-5000"),
        ("212-736-5000 or", "212-736-5000"),
        ("1-800-736-5000", "1-800-736-5000"),
        ("212.736.5000", "212.736.5000"),
        ("Tel.: 030 / 901820", "030 / 901820"),
        ("Phone: 020 7946 0958", "020 7946 0958"),
        ("fax 01 44 27 44 27", "01 44 27 44 27"),
        ("Tél. 01 44 27 44 27", "01 44 27 44 27"),
        ("telephone number: 7365000", "7365000"),
    ],
)
def test_numbers_are_found(text: str, what: str) -> None:
    sort, it = only(text)
    assert sort == "phone"
    assert it.strip("(") == what.strip("(")


@pytest.mark.parametrize(
    "text",
    [
        "ISBN 978-3-16-148410-0",
        "ISBN 0-306-40615-2",
        "on 2023-10-11 12:13:14 +0200",
        "2023-10-11T12:13:14+00:00",
        "1900-2000, 1234567890, 123-456-7890",
        "(212) 555-0123, which is kept for films, +1 555 736 5000",
        "Clause 252.227-7013 of DFARS",
        "Decimal('+35236450.6')",
        "x = a+1234567890",
        "12 34 56 78 90 12 34 56 78 90",
        "@@ -1234,5678 +1234,5678 @@",
        "part 212-736-5000-77",
        "hotel 1234567",
        "1,234,567,890",
        "+12345",
        "3.14159265358979",
    ],
)
def test_dates_books_and_other_numbers_are_passed_over(text: str) -> None:
    assert found(text) == []


def chance(letters: str, count: int, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices(letters, k=count))


MIXED, LOWER, UPPER = (
    string.ascii_letters + string.digits,
    string.ascii_lowercase + string.digits,
    string.ascii_uppercase,
)
HEX = "0123456789abcdef"
PEM = "\n".join(chance(MIXED, 64, seed) for seed in range(4))
KEYS = {
    "anthropic": "sk-ant-" + chance(MIXED, 80),
    "artifactory": "AKC" + chance(MIXED, 70),
    "aws": "AKIA" + chance(UPPER, 16),
    "azure": chance(MIXED, 86) + "==",
    "discord": "M" + chance(MIXED, 23) + "." + chance(MIXED, 6) + "." + chance(MIXED, 27),
    "github": "gh" + "p_" + chance(MIXED, 36),
    "gitlab": "gl" + "pat-" + chance(MIXED, 20),
    "google": "AI" + "za" + chance(MIXED, 35),
    "hugging-face": "h" + "f_" + chance(string.ascii_letters, 34),
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0aGUgcmVkIGZveCJ9." + chance(MIXED, 43),
    "mailchimp": chance(HEX, 32) + "-us12",
    "npm": "n" + "pm_" + chance(MIXED, 36),
    "openai": "sk-" + chance(MIXED, 20) + "T3Blbk" + "FJ" + chance(MIXED, 20),
    "pypi": "pyp" + "i-AgEIcHlwaS5vcmc" + chance(MIXED, 80),
    "sendgrid": "SG" + "." + chance(MIXED, 22) + "." + chance(MIXED, 43),
    "slack": "xo" + "xb-" + chance("0123456789", 12) + "-" + chance("0123456789", 12) + "-" + chance(MIXED, 24),
    "square-oauth": "sq" + "0csp-" + chance(MIXED, 43),
    "stripe": "sk_" + "live_" + chance(MIXED, 24),
    "telegram": chance("0123456789", 10) + ":" + chance(MIXED, 35),
    "twilio": "AC" + chance(HEX, 32),
}
AROUND = {"azure": "AccountKey={};x", "npm": "//registry.house.org/:_authToken={}"}


@pytest.mark.parametrize("sort", KEYS)
def test_keys_of_each_sort_are_found_whole(sort: str) -> None:
    text = f"é set it to {AROUND.get(sort, '{}').format(KEYS[sort])} and go on"
    block = Block.of(pa.array(["x", text]))
    (one,) = places(block)
    ((row, start, end),) = block.characters([one])
    assert (row, one.sort, one.value) == (1, "key", sort)
    assert KEYS[sort] in text[start:end]
    assert len(text[start:end]) <= len(text) - 5


def test_every_detector_is_tried() -> None:
    assert {detector.sort for detector in detectors()} == {*KEYS}


def test_private_keys_and_passwords_in_addresses_are_found() -> None:
    body = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM}\n-----END RSA PRIVATE KEY-----"
    assert only(f"a\n{body}\nb") == ("key", body)
    assert only("postgres://me:hunter22zx@db.house.org/x") == ("key", "hunter22zx")


@pytest.mark.parametrize(
    "text",
    [
        "It begins with -----BEGIN RSA PRIVATE KEY----- and ends with -----END RSA PRIVATE KEY-----.",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "https://user:password@host.org and https://user:pass@host.org and ftp://a:${PW}@host.org",
        "mysql://scott:tiger@localhost/test, scott:tiger@db80, mysql://scott:tiger@127.0.0.1, a://b:cdefg@example.com",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "data:image/png;base64," + chance(MIXED + "+/", 500),
        "arn:aws:ec2::320805250157:ipam-resource-discovery-association/x",
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "550e8400-e29b-41d4-a716-446655440000",
        "a_very_long_name_of_a_function_in_some_library()",
    ],
)
def test_what_stands_for_a_key_is_passed_over(text: str) -> None:
    assert found(text) == []


def test_texts_do_not_reach_into_each_other() -> None:
    assert found("jane@hou", "se.org", "93.184.", "216.34", "+49 30", "901820", "") == []
    assert found("", "jane@house.org", "93.184.216.34") == [(1, "email", "jane@house.org"), (2, "ip", "93.184.216.34")]
    assert found("93.1", "84.216.34") == []


def test_zeros_and_other_scripts_do_no_harm() -> None:
    text = "\0joe@house.org\0 ١٢٣٤٥٦٧٨٩٠ \U0001f600 +49 30 901820"
    assert [(sort, what) for _, sort, what in found(text)] == [("email", "joe@house.org"), ("phone", "+49 30 901820")]
    assert found("\0" * 10, "\0@\0.\0:\0+\0") == []


def test_where_places_overlap_one_covers_all() -> None:
    spans = [Span(0, 9, "email"), Span(4, 12, "key", "x"), Span(12, 14, "ip"), Span(12, 13, "phone")]
    assert apart(spans) == [Span(0, 12, "key", "x"), Span(12, 14, "ip")]


@given(st.lists(st.text("a1@.:+-( )/2é\0\n-_", max_size=60), max_size=8))
def test_places_are_the_same_whatever_stands_beside_a_text(texts: list[str]) -> None:
    together = found(*texts)
    assert together == [(row, sort, what) for row, text in enumerate(texts) for _, sort, what in found(text)]


@pytest.mark.parametrize(
    "piece",
    ["@", "a@b.", "1.1.1.1.", "2001:", "+1 ", "1 ", "://a:b", "-----BEGIN PRIVATE KEY-----", "eyJa.", "A" * 21 + " "],
)
def test_no_text_takes_long(piece: str) -> None:
    """A million characters of what is looked at closely; what is quadratic would take minutes."""
    text = piece * (1_000_000 // len(piece))
    begun = time.process_time()
    found(text)
    assert time.process_time() - begun < 8
