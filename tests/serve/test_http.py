"""Serving over HTTP, as clients meet it. python -m pytest tests/serve/test_http.py"""

from __future__ import annotations

import itertools
import json
import queue
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from regrow.model.sampling import Sampling
from regrow.release import Release
from regrow.serve.engine import Engine, Request, Written
from regrow.serve.generate import Generator
from regrow.serve.http.app import application
from regrow.serve.http.served import Served
from tests.serve import servers
from tests.serve.servers import CONTEXT, Server

PROMPT = "Say it now, and"
MESSAGES: list[Any] = [{"role": "user", "content": "Say it"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.release(tmp_path_factory.mktemp("serve") / "babble")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with servers.command(folder, "--max-tokens", "64", "--max-texts", "40") as running:
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def ask(server: Server, path: str = "/v1/completions", **fields: Any) -> Any:
    answer = requests.post(server.url + path, json=fields, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counted(server: Server, name: str) -> float:
    """A number of /metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def events(text: str) -> list[Any]:
    """What a stream of events holds."""
    *told, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(one) for one in told]


def test_a_client_gets_a_text_and_how_it_was_made(client: openai.OpenAI, folder: Path) -> None:
    made = client.completions.create(model="babble", prompt=PROMPT, max_tokens=9, seed=5)
    digest = Release.open(folder).digest
    assert made.choices[0].finish_reason == "length" and made.usage and made.usage.completion_tokens == 9
    assert made.system_fingerprint and digest in made.system_fingerprint
    told = made.to_dict()["regrow"]
    assert told["release"] == f"sha256:{digest}" and told["seeds"] == [5] and told["max_tokens"] == [9]
    assert told["sampling"]["temperature"] == 0.8  # of the release, as nobody said another
    assert "temperature" in told["usual"] and "seed" not in told["usual"]


def test_the_same_request_gives_the_same_answer_and_another_seed_another(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "babble", "prompt": PROMPT, "max_tokens": 12}
    texts = [client.completions.create(**asked, seed=seed).choices[0].text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert client.completions.create(**asked).choices[0].text == texts[0]


def test_a_stream_says_what_a_whole_answer_says_and_what_was_used(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "babble", "prompt": [PROMPT, "Say"], "max_tokens": 12, "n": 2, "logprobs": 1}
    whole = client.completions.create(**asked)
    parts = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert len({part.id for part in parts}) == len({part.created for part in parts}) == 1
    *others, last = parts
    assert all(part.usage is None and len(part.choices) == 1 for part in others)
    assert last.choices == [] and last.usage and whole.usage
    assert last.usage.total_tokens == whole.usage.total_tokens
    assert last.to_dict()["regrow"] == whole.to_dict()["regrow"]
    for choice in whole.choices:
        of_it = [part.choices[0] for part in others if part.choices[0].index == choice.index]
        assert "".join(one.text for one in of_it) == choice.text
        assert [one.finish_reason for one in of_it if one.finish_reason] == [choice.finish_reason]
        tokens = [token for one in of_it if one.logprobs for token in one.logprobs.tokens or ()]
        assert choice.logprobs and tokens == choice.logprobs.tokens


def test_each_of_several_texts_is_what_it_is_alone(server: Server) -> None:
    prompts = ["Say", PROMPT, "old"]
    several = ask(server, prompt=prompts, n=2, seed=7, max_tokens=8)
    assert [one["index"] for one in several["choices"]] == list(range(6))
    alone = [ask(server, prompt=one, seed=seed, max_tokens=8) for one in prompts for seed in (7, 8)]
    assert [one["text"] for one in several["choices"]] == [one["choices"][0]["text"] for one in alone]
    assert several["regrow"]["seeds"] == [7, 8]
    assert several["usage"]["prompt_tokens"] == sum(one["usage"]["prompt_tokens"] for one in alone[::2])


def test_a_prompt_may_be_given_as_tokens(server: Server) -> None:
    tokens = ask(server, "/tokenize", prompt=PROMPT)["tokens"]
    text = ask(server, prompt=PROMPT, max_tokens=8)["choices"][0]["text"]
    for prompt in (tokens, [tokens], [tokens, tokens]):
        found = ask(server, prompt=prompt, max_tokens=8)["choices"]
        assert [one["text"] for one in found] == [text] * len(found)


def test_tokens_and_text_lead_to_each_other(server: Server) -> None:
    with_start, without = (ask(server, "/tokenize", prompt=PROMPT, add_special_tokens=one) for one in (True, False))
    assert with_start["tokens"] == [0, *without["tokens"]] and with_start["max_model_len"] == CONTEXT
    assert ask(server, "/detokenize", tokens=without["tokens"])["prompt"] == PROMPT
    told = requests.get(f"{server.url}/tokenizer_info").json()
    assert told["eos_token"] == told["bos_token"] == "<|endoftext|>" and "raise_exception" in told["chat_template"]
    messages = ask(server, "/tokenize", messages=MESSAGES)["tokens"]
    assert ask(server, "/detokenize", tokens=messages)["prompt"] == "user: Say it\nassistant:"


def test_a_conversation_goes_through_the_template(client: openai.OpenAI, server: Server) -> None:
    whole = client.chat.completions.create(model="babble", messages=MESSAGES, max_completion_tokens=10)
    text = ask(server, prompt="user: Say it\nassistant:", add_special_tokens=False, max_tokens=10)["choices"][0]["text"]
    assert whole.choices[0].message.content == text and whole.choices[0].message.role == "assistant"
    parts = list(client.chat.completions.create(model="babble", messages=MESSAGES, max_tokens=10, stream=True))
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content or "" for part in parts) == text
    assert parts[-1].to_dict()["regrow"] == whole.to_dict()["regrow"]


def test_a_conversation_tells_how_likely_its_tokens_are(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "babble", "messages": MESSAGES, "max_tokens": 6}
    made = client.chat.completions.create(**asked, temperature=0, logprobs=True, top_logprobs=3)
    assert made.choices[0].logprobs and made.choices[0].logprobs.content and made.usage
    places = made.choices[0].logprobs.content
    assert len(places) == made.usage.completion_tokens
    for place in places:
        assert [one.logprob for one in place.top_logprobs] == sorted(x.logprob for x in place.top_logprobs)[::-1]
        assert len(place.top_logprobs) == 3 and place.top_logprobs[0].logprob == place.logprob
        assert place.bytes is not None
    said = b"".join(bytes(place.bytes or ()) for place in places)
    assert made.choices[0].message.content == said.decode(errors="replace")


def test_who_speaks_may_have_a_name_for_templates_that_ask_for_it(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.name if m.name is defined else m.role }}: {{ m.content }}\n{% endfor %}"
    served = Served.load(servers.release(tmp_path / "named", template))
    client = TestClient(application(served), "http://localhost")
    said = [{"role": "user", "content": "Say", "name": "Ada"}, {"role": "user", "content": "it", "name": None}]
    tokens = client.post("/tokenize", json={"messages": said}).json()["tokens"]
    assert client.post("/detokenize", json={"tokens": tokens}).json() == {"prompt": "Ada: Say\nuser: it\n"}
    served.close()


def test_parts_of_messages_and_what_clients_send_back_are_read(client: openai.OpenAI) -> None:
    plain: list[Any] = [{"role": "system", "content": "Be"}, *MESSAGES, {"role": "assistant", "content": "it"}]
    parts: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": "e"}]},
        *MESSAGES,
        {"role": "assistant", "content": "it", "refusal": None, "tool_calls": None, "annotations": []},
    ]
    made = [client.chat.completions.create(model="babble", messages=one, max_tokens=6) for one in (plain, parts)]
    assert made[0].choices[0].message.content == made[1].choices[0].message.content


def test_an_echo_begins_with_the_prompt_and_tells_of_all_tokens_but_the_first(server: Server) -> None:
    made = ask(server, prompt=PROMPT, echo=True, max_tokens=4, logprobs=2)
    text, told = made["choices"][0]["text"], made["choices"][0]["logprobs"]
    assert text.startswith(PROMPT)
    assert len(told["tokens"]) == len(told["token_logprobs"]) == made["usage"]["total_tokens"]
    assert told["tokens"][0] == "<|endoftext|>" and told["text_offset"][:2] == [0, 0]
    assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
    assert told["text_offset"] == sorted(told["text_offset"]) and told["text_offset"][-1] <= len(text)
    for token, offset in zip(told["tokens"][1:], told["text_offset"][1:], strict=True):
        assert offset >= len(PROMPT) or text.startswith(token, offset)
    for logprob, top in zip(told["token_logprobs"][1:], told["top_logprobs"][1:], strict=True):
        assert 2 <= len(top) <= 3 and logprob in top.values() and max(top.values()) >= logprob


def test_an_echo_needs_no_logprobs_and_no_answer(server: Server) -> None:
    echoed = ask(server, prompt=PROMPT, echo=True, max_tokens=0)
    assert echoed["choices"][0]["text"] == PROMPT and echoed["usage"]["completion_tokens"] == 0
    assert echoed["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_are_as_likely_when_they_are_read_as_when_they_are_written(
    server: Server, folder: Path, temperature: float
) -> None:
    """What evaluation programs rely on, to the last bit."""
    generator = Generator.load(folder)
    prompt, heard = generator.tokenizer.prompt(PROMPT), queue.SimpleQueue[Any]()
    engine = Engine(generator.decoder, generator.parameters)
    engine.submit(Request(prompt, 6, Sampling(temperature), likeliest=1), heard.put)
    engine.close()  # once it is written
    written = [one.chance for _ in range(heard.qsize()) if isinstance(one := heard.get(), Written)]
    tokens = [*prompt, *(chance.token for chance in written)]
    made = ask(server, prompt=[tokens], max_tokens=1, logprobs=1, echo=True, temperature=0)
    told = made["choices"][0]["logprobs"]
    assert told["token_logprobs"][len(prompt) : -1] == [chance.logprob for chance in written]
    if temperature == 0:
        tops = told["top_logprobs"][len(prompt) : -1]
        assert [max(top.values()) for top in tops] == [chance.logprob for chance in written]


def test_the_token_that_ends_a_text_is_counted_and_told(server: Server) -> None:
    """Or whoever reads all places but that of the one token asked for would leave out one of the prompt."""
    for seed in range(40):
        made = ask(server, prompt=PROMPT, max_tokens=40, temperature=3, seed=seed)
        if made["choices"][0]["finish_reason"] == "stop":
            break
    told = ask(server, prompt=PROMPT, max_tokens=40, temperature=3, seed=seed, logprobs=0)
    assert told["choices"][0]["text"] == made["choices"][0]["text"]
    assert told["usage"]["completion_tokens"] == made["usage"]["completion_tokens"]
    assert len(told["choices"][0]["logprobs"]["tokens"]) == made["usage"]["completion_tokens"]
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["choices"][0]["logprobs"]["tokens"][-1] == "<|endoftext|>"


@settings(max_examples=12)
@given(
    st.integers(0, 9),
    st.lists(st.text("aeins .é“", min_size=1, max_size=3), max_size=3),
    st.booleans(),
)
@example(3, ["e"], True)
def test_a_text_ends_before_the_first_stop_streamed_or_not(
    server: Server, seed: int, stops: list[str], likely: bool
) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 20, "seed": seed, "temperature": 1}
    asked |= {"logprobs": 0} if likely else {}
    free = ask(server, **asked)["choices"][0]
    made = ask(server, **asked, stop=stops)["choices"][0]
    places = [place for stop in stops if (place := free["text"].find(stop)) >= 0]
    ends = [place + len(stop) for stop in stops if (place := free["text"].find(stop)) >= 0]
    assert not any(stop in made["text"] for stop in stops)
    assert free["text"].startswith(made["text"])
    if places:
        assert made["finish_reason"] == "stop" and min(places) <= len(made["text"]) <= min(ends)
    else:
        assert made == free
    streamed = requests.post(f"{server.url}/v1/completions", json={**asked, "stop": stops, "stream": True})
    streamed.encoding = "utf-8"
    parts = [part["choices"][0] for part in events(streamed.text)]
    assert "".join(part["text"] for part in parts) == made["text"]
    assert parts[-1]["finish_reason"] == made["finish_reason"]
    if likely:
        assert [one for part in parts for one in part["logprobs"]["tokens"]] == made["logprobs"]["tokens"]


def test_a_prompt_that_is_too_long_is_refused_and_cut_only_if_that_is_asked_for(
    server: Server, client: openai.OpenAI
) -> None:
    prompt = "say it " * CONTEXT
    with pytest.raises(
        openai.BadRequestError, match=rf"reads {CONTEXT} tokens at once.*truncate_prompt_tokens"
    ) as told:
        client.completions.create(model="babble", prompt=prompt)
    assert told.value.code == "context_length_exceeded" and told.value.param == "prompt"
    tokens = ask(server, "/tokenize", prompt=prompt)["tokens"]
    cut = ask(server, prompt=prompt, truncate_prompt_tokens=20, max_tokens=5)
    assert cut["usage"]["prompt_tokens"] == 20 and cut["regrow"]["dropped_prompt_tokens"] == [len(tokens) - 20]
    assert cut["choices"][0]["text"] == ask(server, prompt=tokens[-20:], max_tokens=5)["choices"][0]["text"]


def test_a_text_ends_where_the_context_does(server: Server) -> None:
    tokens = ask(server, "/tokenize", prompt="say it " * CONTEXT)["tokens"][:CONTEXT]
    for length, most in ((CONTEXT, 1), (CONTEXT - 3, 4)):
        made = ask(server, prompt=tokens[:length], max_tokens=30, temperature=0)
        assert made["usage"]["completion_tokens"] == most and made["regrow"]["max_tokens"] == [most]
        assert made["choices"][0]["finish_reason"] == "length"


def test_models_are_known_by_name_and_by_digest(client: openai.OpenAI, folder: Path) -> None:
    [model] = client.models.list()
    told: Any = model.to_dict()["regrow"]
    assert model.id == "babble" and told["pinned"] == f"babble@{Release.open(folder).digest}"
    assert client.models.retrieve(told["pinned"]).id == "babble"
    assert client.completions.create(model=told["pinned"], prompt="Say", max_tokens=1).model == "babble"
    for name in ("gpt-4o", f"babble@{'0' * 64}"):
        with pytest.raises(openai.NotFoundError, match="there is no model") as error:
            client.completions.create(model=name, prompt="Say")
        assert error.value.code == "model_not_found"


def test_every_answer_is_one_of_the_interface(server: Server) -> None:
    """The client takes whatever comes; its types say what should come."""
    from openai.types import Completion, Model
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    def strictly(sort: Any, answer: Any) -> Any:
        return sort.model_validate(answer, strict=True)

    def finished(choice: dict[str, Any]) -> dict[str, Any]:  # of completions, the types have whole ones only
        return {**choice, "finish_reason": choice["finish_reason"] or "stop"}

    told: dict[str, Any] = {"max_tokens": 4, "n": 2, "seed": 3}
    usage: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    strictly(Completion, ask(server, prompt=["Say", "it"], logprobs=2, **told))
    strictly(ChatCompletion, ask(server, "/v1/chat/completions", messages=MESSAGES, logprobs=True, **told))
    for path, sort, fields in (
        ("/v1/completions", Completion, {"prompt": "Say"}),
        ("/v1/chat/completions", ChatCompletionChunk, {"messages": MESSAGES}),
    ):
        parts = events(requests.post(server.url + path, json={**fields, **told, **usage}).text)
        assert len({strictly(sort, {**part, "choices": [*map(finished, part["choices"])]}).id for part in parts}) == 1
        assert [part["usage"] is None for part in parts] == [True] * (len(parts) - 1) + [False]
        assert parts[-1]["choices"] == []
    strictly(Model, requests.get(f"{server.url}/v1/models/babble").json())


def test_embeddings_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="has no embeddings"):
        client.embeddings.create(model="babble", input="Say")


def test_curl_gets_answers_and_errors_that_can_be_read(server: Server) -> None:
    def curl(*args: str) -> Any:
        done = subprocess.run(["curl", "--silent", "--no-buffer", *args], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0
        return done.stdout

    completions, data = f"{server.url}/v1/completions", json.dumps({"prompt": "Say", "max_tokens": 3})
    sort = ("--header", "Content-Type: application/json")
    assert json.loads(curl(*sort, "--data", data, completions))["object"] == "text_completion"
    assert "Content-Type: application/json" in json.loads(curl("--data", data, completions))["error"]["message"]
    streamed = curl(*sort, "--data", json.dumps({"prompt": "Say", "max_tokens": 3, "stream": True}), completions)
    assert events(streamed)[-1]["choices"][0]["finish_reason"] == "length"
    assert json.loads(curl(f"{server.url}/health"))["status"] == "ok"
    assert "# TYPE regrow_requests_total counter" in curl(f"{server.url}/metrics")


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_is_written_for_no_longer(server: Server, stream: bool) -> None:
    name = 'regrow_cancelled_texts_total{why="disconnect"}'
    before, written = counted(server, name), counted(server, "regrow_written_tokens_total")
    fields = {"prompt": ["Say", PROMPT] * 10, "n": 2, "max_tokens": 64, "temperature": 0, "logprobs": 20}
    post = requests.Session().post
    with suppress(requests.Timeout):  # somebody reads nothing in time, or reads a little and leaves
        post(f"{server.url}/v1/completions", json=fields | {"stream": stream}, stream=True, timeout=0.4).close()
    until = time.monotonic() + 60
    while counted(server, "regrow_texts") and time.monotonic() < until:
        time.sleep(0.05)
    assert counted(server, "regrow_texts") == 0
    assert counted(server, name) > before
    assert counted(server, "regrow_written_tokens_total") - written < 40 * 64
    assert ask(server, prompt="Say", max_tokens=1)["choices"]


def test_what_does_not_fit_in_the_queue_is_refused_for_now_or_for_good(server: Server) -> None:
    with pytest.raises(AssertionError, match="40 are written; ask for fewer"):
        ask(server, prompt="Say", n=41)
    with ThreadPoolExecutor(4) as pool:
        fields = {"prompt": PROMPT, "n": 30, "max_tokens": 64, "temperature": 0}
        asked = [pool.submit(requests.post, f"{server.url}/v1/completions", json=fields) for _ in range(4)]
        answers = [one.result() for one in asked]
    found = sorted(answer.status_code for answer in answers)
    assert set(found) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["type"] == "rate_limit_error" and refused.headers["retry-after"] == "1"


KINDS: tuple[dict[str, Any], ...] = (
    {"prompt": PROMPT, "max_tokens": 9, "seed": 3},
    {"prompt": "Say", "max_tokens": 20, "temperature": 0, "logprobs": 2},
    {"prompt": "say it " * 20, "max_tokens": 5, "n": 2},
    {"prompt": "say it " * 20 + "again", "max_tokens": 12, "echo": True, "logprobs": 1},
    {"prompt": ["Say", PROMPT, "Say it"], "max_tokens": 7, "top_p": 0.7, "frequency_penalty": 1.5},
    {"prompt": "old man", "max_tokens": 30, "stop": ["e", "s"], "top_k": 20},
)


PLACES = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def texts(server: Server, kind: int) -> Any:
    return ask(server, **KINDS[kind])["choices"]


@pytest.fixture(scope="module")
def alone(server: Server) -> list[Any]:
    """What is answered to requests of each kind when nobody else asks."""
    return [texts(server, kind) for kind in range(len(KINDS))]


def streamed(server: Server, kind: int) -> Any:
    """The same in pieces, put together again."""
    found: dict[int, dict[str, Any]] = {}
    answer = requests.post(f"{server.url}/v1/completions", json={**KINDS[kind], "stream": True}, timeout=120)
    for part in (part for event in events(answer.text) for part in event["choices"]):
        whole = found.setdefault(part["index"], part)
        if whole is not part:
            lists = whole["logprobs"] and {name: [*whole["logprobs"][name], *part["logprobs"][name]] for name in PLACES}
            whole |= {"text": whole["text"] + part["text"], "logprobs": lists, "finish_reason": part["finish_reason"]}
    return [found[index] for index in sorted(found)]


def leave(server: Server, kind: int) -> None:
    """Ask, and hang up at some time."""
    with suppress(requests.Timeout):
        fields = {**KINDS[kind], "max_tokens": 60, "stream": True}
        requests.post(f"{server.url}/v1/completions", json=fields, stream=True, timeout=0.01 * (1 + kind)).close()


@settings(max_examples=8)
@given(
    asked=st.lists(
        st.tuples(st.integers(0, len(KINDS) - 1), st.sampled_from([texts, streamed, leave])), min_size=1, max_size=10
    ),
    clients=st.integers(1, 6),
)
def test_answers_are_what_they_are_alone_streamed_or_not_whoever_else_asks_and_leaves(
    server: Server, alone: list[Any], asked: list[tuple[int, Callable[[Server, int], Any]]], clients: int
) -> None:
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda one: one[1](server, one[0]), asked))
    assert found == [None if how is leave else alone[kind] for kind, how in asked]


def test_what_was_read_before_is_not_read_again_and_changes_nothing(server: Server) -> None:
    prompt = ask(server, "/tokenize", prompt="the old man said it again, say it now and then")["tokens"] * 2
    asked: dict[str, Any] = {"prompt": prompt[:64], "max_tokens": 8, "logprobs": 3}
    cold, warm = ask(server, **asked), ask(server, **asked)
    assert cold["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert warm["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert warm["choices"] == cold["choices"] and warm["system_fingerprint"] == cold["system_fingerprint"]
    assert counted(server, "regrow_found_tokens_total") > 0 and counted(server, "regrow_kept_cache_bytes") > 0


@pytest.mark.slow
def test_a_thousand_requests_take_no_more_memory_than_some(folder: Path) -> None:
    def memory(server: Server) -> int:
        said = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s*(\d+) kB", said)[0]) // 1024

    with servers.command(folder) as server, ThreadPoolExecutor(32) as pool:
        first = list(pool.map(texts, [server] * 100, itertools.cycle(range(len(KINDS)))))
        before = memory(server)
        rest = list(pool.map(texts, [server] * 1000, itertools.cycle(range(len(KINDS)))))
        assert memory(server) < before + 50  # MiB
    assert all(one == first[number % len(KINDS)] for number, one in enumerate(rest))


def test_a_server_that_was_killed_answers_the_same_when_it_is_back(folder: Path, server: Server) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 20, "logprobs": 3, "echo": True}
    before = ask(server, **asked)["choices"]
    with servers.command(folder) as first, busy(first):
        first.process.kill()
        assert first.process.wait(60) == -signal.SIGKILL
    with servers.command(folder) as second, busy(second):
        assert ask(second, **asked)["choices"] == before
        second.process.send_signal(signal.SIGINT)  # which ends it, even while it writes
        assert second.process.wait(60) == 0
        assert second.process.stderr is not None
        assert "Traceback" not in second.process.stderr.read()


@pytest.mark.slow
def test_programs_are_told_where_a_server_listens(folder: Path) -> None:
    found = servers.told(folder)
    assert found["url"].startswith("http://127.0.0.1:") and found["limits"]["answer"] == 4096
    assert Release.open(folder).digest in found["models"]["babble"]


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """Somebody asks for much."""

    def much() -> None:
        with suppress(requests.ConnectionError):
            requests.post(f"{server.url}/v1/completions", json={"prompt": ["Say"] * 200, "max_tokens": 90})

    with ThreadPoolExecutor(1) as pool:
        pool.submit(much)
        while not counted(server, "regrow_texts"):
            time.sleep(0.05)
        yield
