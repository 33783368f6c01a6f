"""What an address may hold, and what of it others may see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow import words
from regrow.sources.addresses import has_password, secrets, shown

WITH_PASSWORD = [
    "https://user:TOKEN@localhost:9/a.txt",
    "https://TOKEN@example.org/a.txt",
    "https://user:TO/KEN@localhost:9/a.txt",
    "https://user:TO?KEN@example.org/a.txt",
    "https://user:TO#KEN@example.org/a.txt",
    "https://user:12/TOKEN@example.org/a.txt",
    "https://TO/KEN@example.org/a.txt",
    "https:/user:TOKEN@example.org/a.txt",
    "https:user:TOKEN@example.org/a.txt",
    "https:\\\\user:TOKEN@example.org\\a.txt",
    "https://me@corp.example:TO/KEN@example.org/a.txt",
]
WITHOUT = [
    "https://example.org/@user/a.txt",
    "https://localhost:8443/npm/x@1.0/a.txt",
    "https://[::1]:8443/x@1.0/a.txt",
    "https://example.org:443/a.txt?mail=me@example.org",
    "https://bücher.example/a@b.txt",
]


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_a_password_is_found_and_not_shown(url: str) -> None:
    assert has_password(url)
    assert not {"TO", "KEN", "user"} & set(shown(url).replace("/", " ").replace(":", " ").split())
    assert "TOKEN" not in shown(url)


@pytest.mark.parametrize("url", WITHOUT)
def test_an_at_elsewhere_is_no_password(url: str) -> None:
    assert not has_password(url)
    assert shown(url) == url.partition("?")[0]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?access_token=x&page=2", ("access_token",)),
        ("?X-Amz-Signature=x&X-Amz-Credential=y&X-Amz-Date=z", ("X-Amz-Signature", "X-Amz-Credential")),
        ("?sv=2020&sig=x", ("sig",)),
        ("?AWSAccessKeyId=x&Expires=1", ("AWSAccessKeyId",)),
        ("?api-key=x", ("api-key",)),
        ("?APIKEY=x", ("APIKEY",)),
        ("?key=x;v=1", ("key",)),
        ("?Key-Pair-Id=x&Policy=y", ("Key-Pair-Id",)),
        ("?download=hf_abcdef", ("download",)),
        ("?a=1#access_token=x", ("access_token",)),
        ("?a=1?token=x", ("token",)),
        ("?password=", ()),
        ("?author=me&monkey=1&version=2&signed=no&tokens=100", ("tokens",)),  # rather once too often
        ("", ()),
    ],
)
def test_what_looks_like_a_credential(query: str, names: tuple[str, ...]) -> None:
    assert secrets(f"https://example.org/a.txt{query}") == names
    assert shown(f"https://example.org/a.txt{query}") == "https://example.org/a.txt"


@given(st.text())
def test_no_address_is_a_fault(text: str) -> None:
    for url in (text, f"https://{text}"):
        has_password(url), secrets(url)
        assert len(shown(url)) <= len(url)


@pytest.mark.parametrize("url", [url for url in WITH_PASSWORD if "//" in url])
def test_no_error_about_a_value_shows_a_password(url: str) -> None:
    for value in (url, [url], f"file:{url}"):
        assert "KEN@" not in words.shown(value)
        assert "//...@" in words.shown(value)
