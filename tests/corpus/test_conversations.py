"""Conversations in the shapes that data sets have them in, and what is none."""

import json

import pytest

from regrow.corpus.conversations import Message, read
from regrow.corpus.documents import Document, Documents
from regrow.corpus.formats import read as read_file
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.engine import phases
from regrow.errors import InputError
from regrow.recipe.kind import Call
from regrow.stages import clean, deduplicate
from regrow.stages.documents import KIND, DocumentsParameters, gathered

ASKED, ANSWERED = Message("user", "Wo liegt Ulm?"), Message("assistant", "An der Donau.")
SOURCE = {"name": "talk", "licence": "CC0-1.0", "availability": "open", "format": "conversations"}


class Silent:
    def emit(self, event, **fields):
        pass

    def stopping(self):
        return False


def found(*rows):
    data = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
    return list(read_file(data, "conversations", Reading(conversations=True)))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Wo liegt Ulm?"}, {"role": "assistant", "content": "An der Donau."}]},
        {"conversations": [{"from": "human", "value": "Wo liegt Ulm?"}, {"from": "gpt", "value": "An der Donau."}]},
        {"id": 3, "prompt": "Wo liegt Ulm?", "completion": "An der Donau."},
        {
            "prompt": [{"role": "user", "content": "Wo liegt Ulm?"}],
            "completion": [{"role": "assistant", "content": "An der Donau."}],
        },
        {"instruction": "Wo liegt Ulm?", "input": "", "output": "An der Donau."},
        {"instruction": "Wo liegt Ulm?", "output": "An der Donau."},
    ],
)
def test_every_common_shape_says_the_same(row):
    [piece] = found(row)
    assert read(piece.text) == ((ASKED, ANSWERED),)


def test_what_stands_beside_a_question_comes_along():
    [piece] = found({"system": "Be brief.", "instruction": "Translate.", "input": "Ulm", "output": "Ulm"})
    assert read(piece.text)[0][:2] == (Message("system", "Be brief."), Message("user", "Translate.\n\nUlm"))


SAID = {"role": "user", "content": "a"}


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({"text": "a"}, "no conversation", "it has `text`, and needs a list of `messages`"),
        ({"messages": "a"}, "no conversation", "`messages` is a string, and no list"),
        ({"messages": ["a"]}, "no conversation", "messages 1 is"),
        ({"messages": [SAID, {"role": "user"}]}, "no conversation", "messages 2 has `role`, and needs"),
        ({"messages": [SAID, {"role": "tool", "content": "a"}]}, "an unknown role", 'messages 2 is said by "tool"'),
        ({"messages": [{"role": None, "content": "a"}]}, "an unknown role", "said by null"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "a message that is no text",
            "a list of obj",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "a message that is no text",
            "what messages 1 says is null",
        ),
        ({"messages": [SAID, {"role": "assistant", "content": " \n"}]}, "an empty message", "messages 2 says nothing"),
        ({"messages": []}, "a conversation without messages", ""),
        ({"messages": [SAID]}, "a conversation without an answer", "`assistant`"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "a conversation that begins with an answer", ""),
        ({"prompt": "a", "completion": 3}, "a message that is no text", "what completion says is a number"),
        ('{"prompt": "a", "completion": "\\ud800"}', "half a character", "completion"),
        ("[1]", "not a JSON object", ""),
    ],
)
def test_what_is_no_conversation_is_named(row, reason, detail):
    [refusal] = found(row)
    assert isinstance(refusal, Refusal) and refusal.reason == reason and detail in refusal.detail


def test_the_file_and_the_line_of_what_is_left_out_are_told(tmp_path):
    lines = [
        json.dumps({"prompt": "a", "completion": "b"}),
        "",
        json.dumps({"prompt": "a"}),
        json.dumps({"messages": []}),
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    documents, tally = gathered(tmp_path, DocumentsParameters(**SOURCE), Silent())
    assert [one.detail.partition(":")[0] for one in documents.excluded] == ["line 3", "line 4"]
    assert "first a.jsonl:" in tally.words() and "line 3" in tally.words()
    assert [one.conversation for one in documents.kept] == [True]
    with pytest.raises(InputError, match="no text can be read from 2 of 3 rows") as error:
        wanted, out = DocumentsParameters(**SOURCE), tmp_path / "out"
        phases.run(KIND, Call("documents", wanted, {"files": (tmp_path,)}, out, tmp_path / "scratch", Silent()))
    assert "line 3: it has `prompt`" in error.value.why


@pytest.mark.parametrize("more", [{"max_characters": 100}, {"field": "body"}, {"group_by": ["id"]}])
def test_what_means_nothing_for_conversations_is_refused(more):
    with pytest.raises(ValueError, match="means nothing for"):
        DocumentsParameters(**SOURCE, **more)


def document(text, place=0, conversation=False):
    return Document(f"{place:064}", "talk", "MIT", "open", "a", place, place + 1, "", "", conversation).with_text(text)


def talk(*said, place=0):
    lines = [{"role": ("user", "assistant")[i % 2], "content": one} for i, one in enumerate(said)]
    [piece] = found({"messages": lines})
    return document(piece.text, place, conversation=True)


def test_there_is_a_column_for_conversations_only_where_there_are_any(tmp_path):
    import pyarrow.parquet as pq

    for name, rows in (("text", [document("a")]), ("both", [document("a"), talk("b", "c", place=1)])):
        (tmp_path / name).mkdir()
        Documents(rows, []).write(tmp_path / name)
        assert list(Documents.open(tmp_path / name).kept) == rows
        assert ("conversation" in pq.read_schema(tmp_path / name / "documents.parquet").names) is (name == "both")


def test_what_is_said_is_cleaned_and_may_be_short(tmp_path):
    given, out = tmp_path / "given", tmp_path / "out"
    for folder in (given, out):
        folder.mkdir()
    Documents([talk("a \r\nb", "c\x07"), talk("d", "\x07", place=1), document("short", 2)], []).write(given)
    wanted = clean.CleanParameters()
    phases.run(clean.KIND, Call("clean", wanted, {"documents": (given,)}, out, tmp_path / "scratch", Silent()))
    left = Documents.open(out)
    [only] = left.kept
    assert read(only.text) == ((Message("user", "a\nb"), Message("assistant", "c")),)
    assert sorted(one.reason for one in left.excluded) == ["empty", "too short"]


def test_conversations_are_alike_by_what_is_said(tmp_path):
    given, out = tmp_path / "given", tmp_path / "out"
    for folder in (given, out):
        folder.mkdir()
    words = [" ".join(f"{letter}{i}" for i in range(40)) for letter in "abc"]
    same = [talk(words[0], "yes", place=0), talk(words[0], "yes indeed", place=1), talk(words[1], words[2], place=2)]
    Documents(same, []).write(given)
    wanted = deduplicate.DeduplicateParameters()
    phases.run(deduplicate.KIND, Call("d", wanted, {"documents": (given,)}, out, tmp_path / "scratch", Silent()))
    assert len(Documents.open(out).kept) == 2


def test_a_conversation_is_a_piece_with_its_place():
    [piece] = found({"prompt": "ä", "completion": "b"})
    assert isinstance(piece, Piece) and (piece.start, piece.end, piece.rows) == (
        0,
        len('{"prompt": "\\u00e4", "completion": "b"}'),
        1,
    )
