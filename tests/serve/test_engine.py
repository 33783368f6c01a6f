"""Many texts at once, each with the bits that it has alone. python -m pytest tests/serve/test_engine.py"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.errors import RegrowError
from regrow.exact import compiling
from regrow.exact.random import uniforms
from regrow.model.cache import bytes_of
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.sampling import Sampling, choose, window
from regrow.serve import engine as engines
from regrow.serve.batch import Batch
from regrow.serve.engine import (
    BusyError,
    ClosedError,
    Ended,
    Engine,
    Event,
    Limits,
    Model,
    Read,
    Request,
    RequestError,
    Running,
    Written,
)
from regrow.serve.writing import Text
from tests.independent.evaluation import logprobs

CONFIG = DecoderConfig(vocabulary=50, layers=2, width=24, heads=4, kv_heads=2, hidden=20, context=24)
CONFIGS = {
    "llama": CONFIG,
    "learned": replace(CONFIG, positions="learned", norm="layer", gated=False, activation="gelu", qkv_bias=True),
    "parallel": replace(CONFIG, parallel=True, rope_share=0.5, head_width=8, kv_heads=4, norm="layer"),
    "whole": replace(CONFIG, norm_place="after", head_norm="whole", kv_heads=1, tied_embeddings=False),
    "skipping": replace(CONFIG, layers=3, skips=((0, 2),), head_norm="head", norm_place="both"),
    "dynamic": replace(CONFIG, rope_scaling="dynamic", rope_factor=2.0, rope_original_context=13),
    "yarn": replace(CONFIG, rope_scaling="yarn", rope_factor=3.0, rope_original_context=8),
}
ROOMY = Limits(memory_bytes=1 << 24)


def made(config: DecoderConfig, seed: int = 1) -> Model:
    """A model whose positions matter, and which is not sure of anything."""
    parameters = {n: p * 9.0 if p.dim() > 1 else p + 0.1 for n, p in initialise(config, seed).items()}
    return Model(Decoder(config), parameters)


MODELS = {name: made(config) for name, config in CONFIGS.items()}
LLAMA = MODELS["llama"]
TOKENS = [(i * i * 7 + i) % 50 for i in range(80)]
GREEDY = Sampling(temperature=0.0)


def request(tokens: list[int], most: int, sampling: Sampling = GREEDY, **more: Any) -> Request:
    return Request(tokens, most, sampling, **more)


def told(events: list[Event]) -> list[object]:
    """What was told, every bit of it, but for how much of it was known before."""
    found: list[object] = []
    for event in events:
        if isinstance(event, Read):
            found.append(("read", [_told(chance) for chance in event.chances]))
        elif isinstance(event, Written):
            found.append(("written", event.token, _told(event.chance)))
        else:
            assert event.error is None, event.error
            found.append(("ended", event.reason, _told(event.chance)))
    return found


def _told(chance: engines.Chance | None) -> object:
    if chance is None:
        return None
    return chance.token, chance.logprob.hex(), [(token, value.hex()) for token, value in chance.likeliest]


def alone(model: Model, asked: Request) -> list[object]:
    """The same from the definition: the window of each token read anew, and nothing kept."""
    decoder, context, tokens = model.decoder, model.decoder.config.context, list(asked.tokens)
    events: list[Event] = [Read(0, tuple(_foretold(model, asked)))]
    written = Counter[int]()
    for draw in uniforms(asked.sampling.seed, "sampling", asked.most):
        seen = tokens[window(len(tokens), context) :]
        row = decoder.last_logits(model.parameters, torch.tensor([seen]))[0].numpy()
        token = choose(row, float(draw), asked.sampling, written)
        chance = _chance(row, token, asked.likeliest)
        if token in asked.stops:
            return told([*events, Ended("stop", chance=chance)])
        tokens.append(token)
        written[token] += 1
        events.append(Written(token, chance))
    return told([*events, Ended("length")])


def _foretold(model: Model, asked: Request) -> Iterator[engines.Chance]:
    tokens, context = list(asked.tokens), model.decoder.config.context
    if not asked.echo or asked.likeliest is None:
        return
    for place in range(asked.told_from, len(tokens)):
        first = window(place, context)
        seen = torch.tensor([tokens[first : first + context]])
        row = model.decoder.logits(model.parameters, seen)[0, place - 1 - first].numpy()
        chance = _chance(row, tokens[place], asked.likeliest)
        assert chance is not None
        yield chance


def _chance(row: Any, token: int, likeliest: int | None) -> engines.Chance | None:
    if likeliest is None:
        return None
    all_ = logprobs(row).tolist()
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))[:likeliest]
    return engines.Chance(token, all_[token], tuple((i, all_[i]) for i in order))


class Asking:
    """A batch and what it told."""

    def __init__(self, limits: Limits = ROOMY, model: Model = LLAMA) -> None:
        self.batch, self.model, self.heard = Batch(limits), model, list[list[Event]]()
        self.texts = list[Text]()

    def ask(self, asked: Request, heard: Callable[[Event], None] | None = None) -> Text:
        events: list[Event] = []
        self.heard.append(events)

        def hear(event: Event) -> None:
            events.append(event)
            if heard is not None:
                heard(event)

        text = Text(len(self.texts), asked, hear, Running(), self.model)
        self.texts.append(text)
        self.batch.add(text)
        return text

    def work(self) -> None:
        while self.batch.busy:
            self.batch.step()
            assert self.batch.figures.memory_bytes <= self.batch.figures.most_memory_bytes


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.7, 2.0]),
    top=st.sampled_from([0, 5]),
    seed=st.integers(0, 3),
    top_p=st.sampled_from([1.0, 0.8]),
    presence_penalty=st.sampled_from([0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.2]),
    logit_bias=st.sampled_from([{}, {3: 4.0, 7: -4.0}]),
)
PROMPTS = st.builds(
    lambda start, shared, own: TOKENS[start : start + shared] + own,
    st.sampled_from([0, 20]),
    st.integers(1, 30),
    st.lists(st.integers(0, 49), max_size=4),
)
REQUESTS = st.builds(
    Request,
    tokens=PROMPTS,
    most=st.integers(0, 20),
    sampling=SAMPLINGS,
    stops=st.sampled_from([frozenset(), frozenset({3, 11, 23})]),
    likeliest=st.sampled_from([None, 0, 3]),
    echo=st.booleans(),
    told_from=st.integers(1, 12),
)
LIMITS = st.builds(
    Limits,
    memory_bytes=st.integers(24, 200).map(lambda positions: positions * 3 * bytes_of(CONFIG)),
    together=st.integers(1, 6),
    tokens=st.integers(1, 40),
    block=st.integers(0, 9),
)


def they_write_as_if_alone(
    name: str, requests: list[tuple[Request, int, int | None]], limits: Limits
) -> engines.Figures:
    """Requests, each with the passes before it is asked, and after so many events it is given up."""
    model, asking = MODELS[name], Asking(limits, MODELS[name])
    for asked, passes, patience in requests:
        for _ in range(passes):
            asking.batch.step()
        place = len(asking.texts)

        def heard(_: Event, place: int = place, patience: int | None = patience) -> None:
            if patience is not None and len(asking.heard[place]) > patience:
                asking.texts[place].running.cancel()

        asking.ask(asked, heard)
    asking.work()
    for (asked, _, patience), events in zip(requests, asking.heard, strict=True):
        expected, found = alone(model, asked), told(events)
        if found[-1] == ("ended", "cancelled", None):
            assert patience is not None
            assert found[:-1] == expected[: len(found) - 1]
        else:
            assert found == expected
    return asking.batch.figures


ANY = {
    "name": st.sampled_from(list(CONFIGS)),
    "requests": st.lists(
        st.tuples(REQUESTS, st.integers(0, 3), st.sampled_from([None, None, 0, 1, 5])), min_size=1, max_size=6
    ),
    "limits": LIMITS,
}


@settings(max_examples=12, deadline=None)
@given(**ANY)
def test_any_requests_in_any_company_are_written_as_each_alone(name: str, requests: Any, limits: Limits) -> None:
    they_write_as_if_alone(name, requests, limits)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(**ANY)
def test_very_many_requests_in_any_company_are_written_as_each_alone(name: str, requests: Any, limits: Limits) -> None:
    they_write_as_if_alone(name, requests, limits)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_model_writes_the_same_from_what_is_kept(name: str) -> None:
    """The counter shows that it is: all whole blocks but for the last token, whose logits are asked for."""
    asking, asked = Asking(Limits(1 << 24, block=4), MODELS[name]), request(TOKENS[:12], 30, likeliest=2)
    for expected in (0, 8, 8):
        asking.ask(asked)
        asking.work()
        [read] = [event for event in asking.heard[-1] if isinstance(event, Read)]
        assert read.cached == expected
    assert told(asking.heard[0]) == told(asking.heard[1]) == told(asking.heard[2]) == alone(MODELS[name], asked)
    assert asking.batch.figures.found >= 16


def test_what_several_ask_at_once_is_read_once() -> None:
    asking = Asking(Limits(1 << 24, block=4, tokens=6))
    for last in range(5):
        asking.ask(request([*TOKENS[:20], last], 1))
    asking.work()
    cached = [event.cached for events in asking.heard for event in events if isinstance(event, Read)]
    assert cached == [0, 20, 20, 20, 20]
    assert asking.batch.figures.read == 21 + 4


def test_tokens_that_were_written_are_found_again_as_a_prompt() -> None:
    asking = Asking(Limits(1 << 24, block=4))
    asking.ask(request(TOKENS[:6], 10))
    asking.work()
    answer = [event.token for event in asking.heard[0] if isinstance(event, Written)]
    asked = request([*TOKENS[:6], *answer, 7], 3)
    asking.ask(asked)
    asking.work()
    assert asking.heard[1][0] == Read(12)  # the last token was never read
    assert told(asking.heard[1]) == alone(LLAMA, asked)


def test_the_oldest_text_goes_on_where_memory_is_short() -> None:
    """Room for one text of full length and a little more: the younger ones are dropped, and written all the same."""
    asking = Asking(Limits(memory_bytes=34 * bytes_of(CONFIG), block=4))
    requests = [request(TOKENS[start : start + 4], 20, likeliest=1) for start in range(6)]
    for asked in requests:
        asking.ask(asked)
    ended: list[int] = []
    while asking.batch.busy:
        asking.batch.step()
        ended += [place for place, text in enumerate(asking.texts) if text.ended and place not in ended]
    assert ended == [0, 1, 2, 3, 4, 5]
    assert [told(events) for events in asking.heard] == [alone(LLAMA, asked) for asked in requests]


def test_texts_that_grow_beyond_the_memory_are_read_again() -> None:
    config = replace(CONFIG, context=200)
    model = made(config)
    asking = Asking(Limits(memory_bytes=200 * bytes_of(config), block=0), model)
    requests = [request(TOKENS[start : start + 9], 90) for start in range(4)]
    for asked in requests:
        asking.ask(asked)
    asking.work()
    assert asking.batch.figures.dropped > 0
    cold = Asking(Limits(memory_bytes=1 << 24, block=0), model)
    for asked in requests:
        cold.ask(asked)
        cold.work()
    assert [told(events) for events in asking.heard] == [told(events) for events in cold.heard]


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    asking = Asking(Limits(memory_bytes=(64 + 16) * bytes_of(CONFIG), block=4))
    for start in (0, 20, 0, 40, 0):
        asking.ask(request(TOKENS[start : start + 9], 0))
        asking.work()
    cached = [event.cached for events in asking.heard for event in events if isinstance(event, Read)]
    assert cached == [0, 0, 8, 0, 8]


def test_what_is_given_up_frees_its_memory_at_once() -> None:
    asking = Asking(Limits(1 << 24, block=0, together=2))
    for start in range(3):
        asking.ask(request(TOKENS[start:4], 20))
    asking.batch.step()
    assert asking.batch.figures.memory_bytes > 0
    for text in asking.texts:
        text.running.cancel()
    asking.batch.step()
    assert asking.batch.figures.memory_bytes == asking.batch.figures.running == asking.batch.figures.waiting == 0
    assert [events[-1] for events in asking.heard] == [Ended("cancelled")] * 3


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    model = made(replace(CONFIG, context=600))
    asking = Asking(Limits(1 << 26, tokens=16), model)
    asking.ask(request([i % 50 for i in range(500)], 1))
    asking.ask(request([1, 2, 3], 2))
    for _ in range(2):
        asking.batch.step()
    assert asking.texts[1].ended and not asking.texts[0].ended


def test_a_token_of_each_text_comes_with_each_pass_while_prompts_are_read() -> None:
    model = made(replace(CONFIG, context=600))
    asking = Asking(Limits(1 << 26, tokens=8, block=0), model)
    asking.ask(request([1, 2, 3], 10))
    asking.batch.step()
    asking.ask(request([i % 50 for i in range(300)], 1))
    for passes in range(1, 10):
        asking.batch.step()
        assert len([event for event in asking.heard[0] if isinstance(event, Written)]) == passes + 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_text_that_fails_ends_alone(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """A fault in the pass, whichever text of it is to blame, and after any of its parts."""
    asking, step = Asking(), LLAMA.decoder.step
    requests = [request([TOKENS[i], 5, 6, 7], 6, likeliest=1, echo=True) for i in range(3)]

    def faulty(parameters: Any, texts: Any, caches: Any) -> torch.Tensor:
        found = step(parameters, texts, caches)
        if any(text[0] == TOKENS[place] and len(text) > 1 for text in texts):
            raise MemoryError("no room for the scores")
        return found

    monkeypatch.setattr(LLAMA.decoder, "step", faulty)
    for asked in requests:
        asking.ask(asked)
    asking.work()
    monkeypatch.undo()
    for number, (asked, events) in enumerate(zip(requests, asking.heard, strict=True)):
        if number == place:
            [ended] = events
            assert isinstance(ended, Ended) and ended.reason == "failed" and isinstance(ended.error, MemoryError)
        else:
            assert told(events) == alone(LLAMA, asked)


def test_logits_that_are_no_numbers_are_an_error_of_their_text() -> None:
    model = made(CONFIG)
    model.parameters["embed"][49] = float("nan")  # type: ignore[index]
    asking = Asking(model=replace(model, decoder=Decoder(replace(CONFIG, tied_embeddings=False))))
    asking.model.parameters["head"] = LLAMA.parameters["embed"]  # type: ignore[index]
    asking.ask(request([1, 2, 49], 5))
    asking.ask(request([1, 2, 3], 5))
    asking.work()
    [failed] = asking.heard[0]
    assert isinstance(failed, Ended) and isinstance(failed.error, RegrowError)
    assert failed.error.what == "the model gives no probabilities"
    assert asking.heard[1][-1] == Ended("length")


def test_a_hearer_that_fails_is_the_only_one() -> None:
    asking = Asking()

    def deaf(event: Event) -> None:
        if isinstance(event, Written):
            raise ConnectionResetError("nobody there")

    asking.ask(request([1, 2, 3], 5), deaf)
    other = request([1, 2, 3, 4], 5)
    asking.ask(other)
    asking.work()
    assert [type(event) for event in asking.heard[0]] == [Read, Written, Ended]
    assert told(asking.heard[1]) == alone(LLAMA, other)


@pytest.mark.parametrize("length", [25, 30, 70])
def test_a_prompt_that_is_longer_than_the_context_is_told_of_to_its_end(length: int) -> None:
    asked = request(TOKENS[:length], 3, likeliest=1, echo=True)
    asking = Asking(Limits(1 << 24, tokens=7, block=4))
    asking.ask(asked)
    asking.work()
    [read, *_] = asking.heard[0]
    assert isinstance(read, Read)
    assert [chance.token for chance in read.chances] == TOKENS[1:length]
    assert told(asking.heard[0]) == alone(LLAMA, asked)


def test_one_token_more_than_the_context_is_asked_of_without_reading_it() -> None:
    asking = Asking()
    asking.ask(request(TOKENS[:25], 0, likeliest=0, echo=True))
    asking.work()
    assert asking.batch.figures.read == 24
    assert told(asking.heard[0]) == alone(LLAMA, request(TOKENS[:25], 0, likeliest=0, echo=True))


def test_a_question_that_several_answers_follow_is_read_once() -> None:
    """As evaluations ask: only of the answer's tokens, so that what is before may be taken over."""
    asking = Asking(Limits(1 << 24, block=4))
    requests = [request([*TOKENS[:14], one, 8], 0, likeliest=0, echo=True, told_from=14) for one in range(3)]
    for asked in requests:
        asking.ask(asked)
    asking.work()
    reads = [event for events in asking.heard for event in events if isinstance(event, Read)]
    assert [read.cached for read in reads] == [0, 12, 12]
    assert [len(read.chances) for read in reads] == [2, 2, 2]
    assert [told(events) for events in asking.heard] == [alone(LLAMA, asked) for asked in requests]


def test_the_likeliest_token_has_the_very_number_that_it_is_told_with() -> None:
    asking = Asking()
    asking.ask(request(TOKENS[:5], 8, likeliest=1))
    asking.work()
    chances = [event.chance for event in asking.heard[0] if isinstance(event, Written)]
    assert [(chance.token, chance.logprob) for chance in chances if chance] == [
        chance.likeliest[0] for chance in chances if chance
    ]


def test_models_that_share_a_base_write_side_by_side() -> None:
    base = MODELS["llama"]
    narrow = {"layers.000.mlp.down.lora_a": torch.ones(2, 20) * 0.3, "layers.000.mlp.down.lora_b": torch.ones(24, 2)}
    other = Model(base.decoder, {**base.parameters, **narrow})
    engine = Engine(base.decoder, base.parameters, Limits(1 << 24, block=4), {"other": other})
    heard: list[list[Event]] = [[] for _ in range(4)]
    asked = request(TOKENS[:9], 6, likeliest=1)
    for events, adapter in zip(heard, ("", "other", "", "other"), strict=True):
        engine.submit(replace(asked, adapter=adapter), events.append)
    engine.close()
    assert told(heard[0]) == told(heard[2]) == alone(base, asked)
    assert told(heard[1]) == told(heard[3]) == alone(other, asked) != told(heard[0])
    assert engine.figures.found == 16


def test_more_than_may_wait_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    engine = Engine(LLAMA.decoder, LLAMA.parameters, Limits(1 << 24, waiting=2, together=1))

    def slow(event: Event) -> None:
        if isinstance(event, Read):
            entered.set()
            leave.wait(20)

    engine.submit(request([1], 3), slow)
    assert entered.wait(20)
    heard: list[list[Event]] = [[], []]
    for events in heard:
        engine.submit(request([2], 3), events.append)
    with pytest.raises(BusyError, match="2 requests are waiting already"):
        engine.submit(request([3], 3), slow)
    leave.set()
    engine.close()
    assert [events[-1] for events in heard] == [Ended("length")] * 2


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        (request([], 1), "tokens"),
        (request([1, 50], 1), "tokens"),
        (request([-1], 1), "tokens"),
        (request([1], -1), "most"),
        (request([1], 1, likeliest=-1), "likeliest"),
        (request([1], 1, told_from=0), "told_from"),
        (request([1], 1, adapter="none"), "adapter"),
        (request([1], 1, Sampling(temperature=-0.1)), "temperature"),
        (request([1], 1, Sampling(temperature=float("nan"))), "temperature"),
        (request([1], 1, Sampling(top=-1)), "top"),
        (request([1], 1, Sampling(seed=2**64)), "seed"),
        (request([1], 1, Sampling(top_p=0.0)), "top_p"),
        (request([1], 1, Sampling(top_p=float("nan"))), "top_p"),
        (request([1], 1, Sampling(presence_penalty=float("inf"))), "presence_penalty"),
        (request([1], 1, Sampling(frequency_penalty=float("nan"))), "frequency_penalty"),
        (request([1], 1, Sampling(logit_bias={50: 1.0})), "logit_bias"),
        (request([1], 1, Sampling(logit_bias={5: float("nan")})), "logit_bias"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(asked: Request, where: str) -> None:
    engine = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY)
    with pytest.raises(RequestError) as caught:
        engine.submit(asked, print)
    assert caught.value.where == where
    assert engine._thread is None


def test_what_could_never_fit_is_refused() -> None:
    engine = Engine(LLAMA.decoder, LLAMA.parameters, Limits(memory_bytes=20 * bytes_of(CONFIG)))
    with pytest.raises(RequestError, match="21 positions need 4,032 bytes") as caught:
        engine.submit(request([1], 20), print)
    assert (caught.value.where, caught.value.why) == ("most", "there may be 3,840")
    heard: list[Event] = []
    engine.submit(request([1], 19), heard.append)
    engine.close()
    assert heard[-1] == Ended("length")


def test_a_closed_engine_ends_what_it_has_and_takes_no_more() -> None:
    engine, heard = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY), list[Event]()
    engine.submit(request([1, 2], 5), heard.append)
    engine.close()
    assert told(heard) == alone(LLAMA, request([1, 2], 5))
    with pytest.raises(ClosedError):
        engine.submit(request([1], 1), heard.append)


def test_an_engine_that_is_closed_now_gives_up_what_it_has() -> None:
    engine, heard = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY), queue.SimpleQueue[Event]()
    engine.submit(request([1, 2], 10**6), heard.put)
    assert isinstance(heard.get(timeout=20), Read)
    engine.close(now=True)
    events = [heard.get() for _ in range(heard.qsize())]
    assert events[-1] == Ended("cancelled")
    assert engine.figures.running == 0


def test_the_thread_is_there_while_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_LINGER", 0.01)
    engine = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY)
    for _ in range(2):
        assert engine._thread is None
        heard: list[Event] = []
        engine.submit(request([1, 2], 2), heard.append)
        thread = engine._thread
        assert thread is not None
        thread.join(20)
        assert not thread.is_alive() and heard[-1] == Ended("length")


def test_a_fault_of_the_engine_itself_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, heard = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY), list[Event]()
    monkeypatch.setattr(engine._batch, "_shares", lambda: 1 // 0)
    engine.submit(request([1, 2], 2), heard.append)
    engine.close()
    [ended] = heard
    assert isinstance(ended, Ended) and isinstance(ended.error, ZeroDivisionError)


@pytest.mark.parametrize(
    ("clients", "each"), [(4, 8), pytest.param(32, 32, marks=pytest.mark.slow)], ids=["few", "a thousand"]
)
def test_many_clients_at_once_get_what_each_would_alone(clients: int, each: int) -> None:
    limits = Limits(memory_bytes=120 * bytes_of(CONFIG), waiting=clients, together=12, tokens=30, block=4)
    engine = Engine(LLAMA.decoder, LLAMA.parameters, limits)
    expected: dict[int, list[object]] = {}
    requests = [
        request(TOKENS[i % 3 : i % 3 + 6 + i % 5], 6 + i % 4, Sampling(seed=i % 4), likeliest=i % 3) for i in range(60)
    ]
    for number, asked in enumerate(requests):
        expected[number] = alone(LLAMA, asked)
    wrong: list[object] = []
    most: list[int] = []

    def client(number: int) -> None:
        for turn in range(each):
            mine, heard = (number * 7 + turn) % 60, queue.SimpleQueue[Event]()
            running = engine.submit(requests[mine], heard.put)
            events = [heard.get(timeout=60)]
            while not isinstance(events[-1], Ended):
                if turn % 5 == 4 and len(events) == 3:
                    running.cancel()
                events.append(heard.get(timeout=60))
            most.append(engine.figures.memory_bytes)
            found = told(events)
            if found != expected[mine] and found[-1] != ("ended", "cancelled", None):
                wrong.append((mine, found))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert not wrong
    assert max(most) <= limits.memory_bytes
    assert engine.figures.found > 0


THREADS = """
import hashlib
from dataclasses import replace
from tests.serve.test_engine import CONFIG, Asking, made, request, told
from regrow.serve.engine import Limits

model = made(replace(CONFIG, width=512, hidden=600, heads=8, kv_heads=4, context=64))
asking = Asking(Limits(1 << 26, tokens=30, block=8), model)
for turn in range(2):
    for last in range(4):
        asking.ask(request([*range(20), last], 8, likeliest=2, echo=last % 2 == 0))
    asking.work()
assert asking.batch.figures.found
print(hashlib.sha256(repr([told(events) for events in asking.heard]).encode()).hexdigest())
"""


@pytest.mark.slow
def test_any_number_of_threads_writes_the_same() -> None:
    found = set()
    for count in ("1", "2", "3"):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), count)
        command = [sys.executable, "-c", THREADS]
        found.add(subprocess.run(command, env={**os.environ, **threads}, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_whoever_asks_hears_of_the_kernels_that_are_compiled_for_it():
    engine, kernels, ended = Engine(LLAMA.decoder, LLAMA.parameters, ROOMY), list[str](), threading.Event()

    def heard(event: Event) -> None:
        with compiling.announced("a kernel that is not kept"):
            pass
        if isinstance(event, Ended):
            ended.set()

    with compiling.heard(lambda one: kernels.append(one.kernel)):
        engine.submit(Request([1, 2], 1, Sampling()), heard)
        assert ended.wait(60)
    engine.close()
    assert "a kernel that is not kept" in kernels
