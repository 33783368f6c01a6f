"""Addresses in the place of models. python -m pytest tests/audit/collectors/test_targets.py"""

from pathlib import Path

import pytest

from regrow.auditing.collectors.targets import target
from regrow.errors import RecipeError


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("https://huggingface.co/cats/kitten", "hf:cats/kitten"),
        ("https://huggingface.co/cats/kitten/", "hf:cats/kitten"),
        ("HTTP://WWW.HuggingFace.co/cats/Kitten-7B", "hf:cats/Kitten-7B"),
        ("https://hf.co/cats/kitten?library=x#use", "hf:cats/kitten"),
        ("huggingface.co/cats/kitten", "hf:cats/kitten"),
        ("https://huggingface.co/cats/kitten/tree/v1.0", "hf:cats/kitten@v1.0"),
        ("https://huggingface.co/cats/kitten/tree/main/", "hf:cats/kitten@main"),
        ("https://huggingface.co/cats/kitten/blob/main/a/README.md", "hf:cats/kitten@main"),
        ("https://huggingface.co/cats/kitten/resolve/abc/model.gguf?download=true", "hf:cats/kitten@abc"),
        ("https://huggingface.co/cats/kitten/commit/" + "a" * 40, "hf:cats/kitten@" + "a" * 40),
        ("https://huggingface.co/cats/kitten/tree/refs%2Fpr%2F7", "hf:cats/kitten@refs/pr/7"),
        ("https://huggingface.co/cats/kitten/tree/refs/pr/7/x", "hf:cats/kitten@refs/pr/7"),
        ("https://huggingface.co/cats/kitten/discussions/3", "hf:cats/kitten"),
        ("https://huggingface.co/api/models/cats/kitten/revision/v2", "hf:cats/kitten@v2"),
        ("https://huggingface.co/kitten", "hf:kitten"),
        ("https://mirror.example:8080/hub/cats/kitten/tree/v1", "hf:cats/kitten@v1"),
        ("hf:cats/kitten@v1", "hf:cats/kitten@v1"),
        ("cats/kitten", "cats/kitten"),
        ("./a/b.gguf", "./a/b.gguf"),
    ],
)
def test_the_address_of_a_model_is_taken_for_it(address: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example:8080/hub/")
    assert target(address) == model


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://huggingface.co/datasets/cats/purrs", "is a data set, not a model"),
        ("https://hf.co/spaces/cats/chat/", "is an application, not a model"),
        ("https://huggingface.co/", "is a page of the hub itself"),
        ("https://huggingface.co/models?search=x", "is a page of the hub itself"),
        ("https://huggingface.co/cats/kit ten", "is not the address of a model"),
        ("https://github.com/cats/kitten", "is no model of the hub"),
        ("https://huggingface.co.example.org/cats/kitten", "is no model of the hub"),
        ("https://mirror.example/other/cats/kitten", "is no model of the hub"),
        ("ftp://huggingface.co/cats/kitten", "is no model of the hub"),
        ("file:///models/kitten", "is no model of the hub"),
        ("https://[", "makes no sense"),
    ],
)
def test_any_other_address_is_refused_with_what_can_be_audited(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub")
    with pytest.raises(RecipeError, match=said) as caught:
        target(address)
    assert "hf:ORGANISATION/NAME" in f"{caught.value.why}{caught.value.hint}" and caught.value.hint


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(RecipeError) as caught:
        target("https://me:hush@example.org/x?token=hush")
    assert "hush" not in str(caught.value)


def test_a_folder_that_is_called_like_the_hub_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf.co" / "cats" / "kitten").mkdir(parents=True)
    assert target("hf.co/cats/kitten") == "hf.co/cats/kitten"
