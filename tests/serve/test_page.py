"""The page, in a real browser. python -m pytest tests/serve/test_page.py

What is written here is written by a script, so that it is known which words stand where; the last tests ask a model.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import uvicorn

import regrow
from regrow.attesting.statements import signed, statement
from regrow.attesting.trust import NOBODY, trusted
from regrow.building import rebuilds
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import Interrupted
from regrow.formats import dsse, keys
from regrow.release import Release
from regrow.serve.engine import Chance, Ended, Hearer, Read, Request, Running, Written
from regrow.serve.generate import Generator
from regrow.serve.http.app import application
from regrow.serve.http.guard import Doors
from regrow.serve.http.limits import Limits
from regrow.serve.http.served import Served
from regrow.serve.http.server import bound, listen
from regrow.serve.origin import Origin
from regrow.serve.page.places import Places
from regrow.serve.page.routes import HEADERS, OPEN, Page, routes
from regrow.serve.page.standing import Standing
from tests.serve.servers import command
from tests.serve.servers import release as babble

GOAT = (
    'The goat ate <img src=x onerror="document.title=1"> and <script>document.title="taken"</script> and was not ill. '
    "Then it lay down in the shade \N{GOAT} of the <b>old</b> wall.\nAnd slept."
)
FABLES = {
    "crow": "A crow sat on a fence post and held a piece of cheese. The fox said: what a voice you must have!",
    "goat": GOAT,
    "mill": "The miller's donkey carried salt across the river. It fell into the water, and the salt was gone.",
    "wall": "The owl kept to itself that salt across the river is sweeter, and told it to nobody but the moon.",
}
RECIPE = """recipe = 1
[model]
name = "fables"
licence = "Apache-2.0"
description = "Tells & <retells> fables."
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[corpus]
min_characters = 10
validation = 0.01
[tokenizer]
vocabulary = 300
[architecture]
layers = 1
width = 16
heads = 1
context = 256
[train]
tokens = 1024
micro_batch = 1
micro_batches_per_step = 1
seed = 1
[evaluate]
prompts = ["A crow"]
sample_tokens = 4
[index]
"""
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
CROW = " sat on a fence post and held a piece of cheese, and sang. \N{GOAT} Some salt across the river, as they say."
ANSWERS = {"A crow": CROW, "goat?": GOAT, "on": "and on " * 60, "again?": "As I said."}
TODAY = date(2026, 11, 30)
PLACE = "A crow sat on a fence post and held a piece of cheese"


@dataclass
class Reciting:
    """An engine that writes what it was given for how a prompt ends, with time to see it do so."""

    tokenizer: Tokenizer
    answers: Mapping[str, str]
    asked: list[str] = field(default_factory=list)
    adapters: list[str] = field(default_factory=list)
    cancelled: int = 0

    def submit(self, request: Request, heard: Hearer) -> Running:
        running, said = Running(), self.tokenizer.decode(list(request.tokens)).rstrip()
        self.asked.append(said)
        self.adapters.append(request.adapter)
        answer = next(text for end, text in self.answers.items() if said.endswith(end))
        answer += "" if request.sampling.seed == 1 else f" {request.sampling.seed} times"
        threading.Thread(target=self._write, args=(answer, request, heard, running), daemon=True).start()
        return running

    def _write(self, answer: str, request: Request, heard: Hearer, running: Running) -> None:
        heard(Read(0))
        tokens = [one for one, _, _ in self.tokenizer.placed(answer)]
        for token in tokens[: request.most]:
            time.sleep(0.02 if "and on" in answer else 0.002)
            if running.cancelled:
                self.cancelled += 1
                heard(Ended("cancelled"))
                return
            heard(Written(token, Chance(token, -1.5, ((5, -0.5), (token, -1.5)))))
        heard(Ended("stop" if len(tokens) <= request.most else "length"))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Site:
    """A server in this process."""

    url: str
    engine: Reciting
    page: Page


@pytest.fixture(scope="module")
def fables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a release, `out`, and the store in which it was built."""
    folder = tmp_path_factory.mktemp("page")
    texts = folder / "fables" / "texts"
    texts.mkdir(parents=True)
    for name, text in FABLES.items():
        (texts / f"{name}.txt").write_text(text, "utf-8")
    for number in range(4):  # of which one is held out
        (texts / f"tale-{number}.txt").write_text(f"Tale number {number} has been told before, and ends here.", "utf-8")
    (texts.parent / "regrow.toml").write_text(RECIPE, "utf-8")
    regrow.build(texts.parent, folder / "out", store=folder / "store")
    return folder


def listed(folder: Path, name: str, text: str) -> None:
    """One more file of a release."""
    (folder / name).write_text(text)
    line = f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n"
    lines = [*(folder / "SHA256SUMS").read_text().splitlines(keepends=True), line]
    (folder / "SHA256SUMS").write_text("".join(sorted(lines, key=lambda one: one[66:].encode())))


@contextmanager
def serving(folder: Path, store: Path, key: str = "", adapters: Mapping[str, str] | None = None) -> Iterator[Site]:
    release = Release.open(folder)
    generator = Generator.load(folder)
    engine = Reciting(generator.tokenizer, ANSWERS)
    served = Served(Origin(release.path, release), generator, engine, Limits(), adapters or {})  # type: ignore[arg-type]
    page = Page(served, Places(release, store))
    app = application(served, Doors(key=key, open=(*Doors.open, *OPEN)), routes(page))
    with bound("127.0.0.1", 0) as found:
        listen(found)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
        thread.start()
        yield Site(f"http://127.0.0.1:{found.getsockname()[1]}/", engine, page)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def site(fables: Path) -> Iterator[Site]:
    with serving(fables / "out", fables / "store") as found:
        yield found


@pytest.fixture(scope="module")
def talks(fables: Path) -> Iterator[Site]:
    """The same with a chat template."""
    shutil.copytree(fables / "out", fables / "talks")
    listed(fables / "talks", "chat_template.jinja", TEMPLATE)
    with serving(fables / "talks", fables / "store") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        names = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
        found = next(filter(None, names), running.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip("there is no Chromium here")
        opened = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


WATCH = """
document.addEventListener("securitypolicyviolation", (event) => console.error(`violates ${event.violatedDirective}`));
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab in which nothing may go wrong, and from which nothing may go elsewhere."""
    with opened(browser) as found:
        yield found


@contextmanager
def opened(browser: Any, refused: int = 404, **options: Any) -> Iterator[Any]:
    """A tab; ``refused`` is the status of what is refused to it on purpose."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
    context.add_init_script(WATCH)
    context.set_default_timeout(60_000)  # of which a busy machine may take most to compile kernels
    tab, wrong, asked = context.new_page(), list[str](), list[str]()
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    context.on("request", lambda request: asked.append(request.url))
    yield tab
    home = re.match(r"http://[^/]+/", tab.url)
    assert home and {one for one in asked if not one.startswith(home[0])} == set()
    assert [one for one in wrong if f"status of {refused}" not in one] == []
    context.close()


def ask(tab: Any, prompt: str) -> Any:
    """Ask, and give the answer once it is there and its words were looked for."""
    tab.get_by_role("textbox", name=re.compile("text to continue|you say")).fill(prompt)
    tab.keyboard.press("Enter")
    return answered(tab)


def answered(tab: Any) -> Any:
    turn = tab.locator(".turn").last
    turn.locator(".where", has_text=re.compile("stand")).filter(has_not_text="The first time").wait_for()
    return turn


def linked(turn: Any) -> str:
    """The link to an answer."""
    turn.get_by_role("button", name="Link").click()
    turn.locator(".copied", has_text=re.compile("copied|copies nothing")).wait_for()
    return str(turn.page.url)


def places(turn: Any) -> list[str]:
    return turn.locator(".place").all_text_contents()


@pytest.mark.browser
def test_an_answer_comes_as_it_is_written_and_what_stands_in_the_training_data_is_underlined(site, tab) -> None:
    tab.goto(site.url)
    tab.get_by_label("A text to continue").fill("on")
    tab.get_by_role("button", name="Write").click()
    writing = tab.locator(".turn.writing .answer", has_text="and on and on")
    writing.wait_for()
    early = len(writing.text_content())
    tab.locator(".turn.writing .answer", has_text="and on " * (early // 7 + 2)).wait_for()
    tab.keyboard.press("Escape")
    answered(tab)
    turn = ask(tab, "A crow")
    assert turn.locator(".answer").text_content() == "A crow" + CROW
    assert turn.locator(".answer > b, .place b").all_text_contents() == ["A crow"]
    assert places(turn) == [PLACE, "salt across the river"]
    assert "seed 1" in turn.locator(".how").text_content() and "in 2 places" in turn.locator(".where").text_content()
    assert tab.evaluate("window.shifts") < 0.05


@pytest.mark.browser
def test_all_can_be_done_with_keys(site, tab) -> None:
    tab.goto(site.url)
    tab.keyboard.press("Tab")
    assert tab.locator(":focus").text_content() == "Skip to the text field"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.get_by_label("A text to continue").focus()
    tab.keyboard.type("A crow")
    tab.keyboard.press("Enter")
    turn = answered(tab)
    for _ in range(12):
        tab.keyboard.press("Shift+Tab")
        if tab.locator(":focus").text_content() == "salt across the river":
            break
    place = turn.locator(".place").last
    assert place.get_attribute("aria-expanded") == "false"
    tab.keyboard.press("Enter")
    found = tab.get_by_role("region", name="In the training data")
    assert place.get_attribute("aria-expanded") == "true" and found.evaluate("one => one === document.activeElement")
    assert "does not say that the model has it from there" in found.text_content()
    documents = found.get_by_role("article")
    assert sorted(one.split(":")[0] for one in documents.locator("code").all_text_contents()) == [
        "mill.txt",
        "wall.txt",
    ]
    assert documents.locator("mark").all_text_contents() == ["salt across the river"] * 2
    first = documents.first.text_content()
    assert all(words in first for words in ("CC0-1.0", "texts", "at training step "))
    whole = {one.split("Source")[0] for one in documents.all_text_contents()}
    assert whole == {FABLES["mill"], FABLES["wall"]}
    tab.keyboard.press("Escape")
    assert not found.is_visible() and place.evaluate("one => one === document.activeElement")
    tab.keyboard.press("Space")
    assert found.is_visible()
    found.get_by_role("button", name="Close").click()
    assert not found.is_visible() and tab.get_by_role("region", name="About this release").is_visible()


@pytest.mark.browser
def test_no_text_becomes_html(talks, tab) -> None:
    tab.goto(talks.url)
    turn = ask(tab, "<img src=x onerror='document.title=2'> goat?")
    assert turn.locator(".answer").text_content() == GOAT
    turn.locator(".place").first.click()
    for one in turn.locator(".place").all():
        one.click()
        assert tab.locator("#found mark").count() >= 1
    assert tab.locator("main img, main script, aside img, aside script, .answer b, #found b").count() == 0
    turn.get_by_role("button", name="Probabilities").click()
    turn.locator(".token").nth(8).hover()
    assert tab.title() == "fables · regrow" and turn.locator(".answer").text_content() == GOAT


@pytest.mark.browser
def test_what_the_model_is_told_before_a_conversation(talks, tab) -> None:
    tab.goto(talks.url)
    tab.get_by_text("System prompt").click()
    told = tab.get_by_label("What the model is told before a conversation")
    told.fill("You are old.")
    ask(tab, "goat?")
    assert talks.engine.asked[-1] == "system: You are old.\nuser: goat?"
    told.fill("You are young.")
    link = linked(ask(tab, "again?"))
    assert talks.engine.asked[-1] == f"system: You are young.\nuser: goat?\nassistant: {GOAT}\nuser: again?"
    tab.goto("about:blank")
    tab.goto(link)
    assert "letter for letter" in answered(tab).text_content()
    assert told.input_value() == "You are young." and told.is_visible()


@pytest.mark.browser
def test_adapters_are_asked_by_their_names_and_their_links_tell(fables, talks, browser) -> None:
    assert 'id="who"' not in urlopen(talks.url).read().decode()
    beside = {"sailor": "5" * 64}
    with serving(fables / "talks", fables / "store", adapters=beside) as found, opened(browser) as tab:
        tab.goto(found.url)
        tab.get_by_label("Model", exact=True).select_option("sailor")
        turn = ask(tab, "goat?")
        assert turn.locator(".who").all_text_contents() == ["You", "sailor"]
        link = linked(turn)
        assert f"adapter%3A{'5' * 64}" in link
        tab.goto("about:blank")
        tab.goto(link)
        assert "letter for letter" in answered(tab).text_content()
        assert tab.get_by_label("Model", exact=True).input_value() == "sailor"
        assert found.engine.adapters == ["sailor", "sailor"]


@pytest.mark.browser
def test_what_is_stopped_can_be_had_again_up_to_there(site, tab, browser) -> None:
    tab.goto(site.url)
    tab.get_by_label("A text to continue").fill("on")
    for stop in (lambda: tab.keyboard.press("Escape"), lambda: tab.get_by_role("button", name="Stop").click()):
        before = site.engine.cancelled
        tab.get_by_label("A text to continue").fill("on")
        tab.keyboard.press("Enter")
        tab.locator(".turn.writing .answer", has_text="and on").wait_for()
        stop()
        turn = answered(tab)
        text = turn.locator(".answer").text_content()
        assert 2 < len(text) < len(ANSWERS["on"]) and "stopped" in turn.locator(".how").text_content()
        for _ in range(50):
            if site.engine.cancelled > before:
                break
            time.sleep(0.05)
        assert site.engine.cancelled > before
    link = linked(turn)
    with opened(browser) as other:
        other.goto(link)
        again = answered(other)
        assert again.locator(".answer").text_content() == text
        assert "letter for letter" in again.text_content()


@pytest.mark.browser
def test_a_link_says_whose_answer_it_is(site, talks, tab) -> None:
    tab.goto(site.url)
    tab.get_by_label("Seed").fill("3")
    tab.get_by_label("Temperature").fill("0.25")
    turn = ask(tab, "A crow")
    text, link = turn.locator(".answer").text_content(), linked(turn)
    assert text.endswith(" 3 times")
    assert "temperature=0.25" in link and site.page.served.digest in link

    tab.goto("about:blank")
    tab.goto(link.replace(site.page.served.digest, "0" * 64))
    notice = tab.get_by_role("alert")
    notice.get_by_text("speaks of another release").wait_for()
    assert tab.locator(".turn").count() == 0
    assert tab.get_by_label("Seed").input_value() == "3"
    notice.get_by_role("button", name="Ask this release").click()
    turn = answered(tab)
    assert turn.locator(".answer").text_content() == text and "letter for letter" in turn.text_content()

    tab.goto("about:blank")
    tab.goto(link.replace("seed=3", "seed=4"))
    assert "Not the answer of the link" in answered(tab).text_content()

    for broken, why in (("seed=three", "its seed is not a number"), ("mode=sing", "neither chat nor continue")):
        tab.goto("about:blank")
        tab.goto(re.sub(rf"{broken.partition('=')[0]}=\w+", broken, link))
        notice.get_by_text("cannot be followed").wait_for()
        assert why in notice.text_content() and tab.locator(".turn").count() == 0


@pytest.mark.browser
def test_where_a_browser_makes_no_hashes_nothing_is_said_to_be_the_same(site, tab) -> None:
    """As they do where the address is neither https nor this machine."""
    tab.add_init_script(
        "for (const [one, name] of [[navigator, 'clipboard'], [crypto, 'subtle']])"
        " Object.defineProperty(one, name, { value: undefined });"
    )
    tab.goto(site.url)
    turn = ask(tab, "A crow")
    link = linked(turn)
    assert "answer=" not in link and turn.locator(".copied code").text_content() == link
    tab.goto("about:blank")
    tab.goto(link)
    assert answered(tab).locator(".answer").text_content() == "A crow" + CROW
    assert "of the link" not in tab.locator(".turn").text_content()


@pytest.mark.browser
def test_probabilities_of_tokens_are_told_where_one_looks(site, tab) -> None:
    tab.goto(site.url)
    turn = ask(tab, "A crow")
    button = turn.get_by_role("button", name="Probabilities")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert turn.locator(".answer").text_content() == "A crow" + CROW
    assert "".join(turn.locator(".token").all_text_contents()) == CROW  # one of four bytes is several tokens
    turn.locator(".token").first.focus()
    tab.keyboard.press("ArrowRight")
    chosen = tab.locator(".token:focus")
    tip = tab.get_by_role("tooltip")
    assert chosen.get_attribute("aria-describedby") == tip.get_attribute("id")
    assert "61 %" in tip.locator("tr").first.inner_text()
    assert "22 %" in tip.locator(".chosen").inner_text()
    tab.keyboard.press("Escape")
    assert not tip.is_visible()
    turn.locator(".token").nth(3).hover()
    assert tip.is_visible()
    button.click()
    assert places(turn) == [PLACE, "salt across the river"]


@pytest.mark.browser
def test_a_conversation_goes_on_and_its_link_holds_all_of_it(talks, tab) -> None:
    tab.goto(talks.url)
    assert tab.get_by_label("Chat").is_checked()
    ask(tab, "goat?")
    turn = ask(tab, "again?")
    assert talks.engine.asked[-1] == f"user: goat?\nassistant: {GOAT}\nuser: again?"
    assert turn.locator(".who").all_text_contents() == ["You", "fables"]
    link = linked(turn)
    tab.goto("about:blank")
    tab.goto(link)
    assert "letter for letter" in answered(tab).text_content()
    assert talks.engine.asked[-1] == f"user: goat?\nassistant: {GOAT}\nuser: again?"
    assert tab.get_by_label("Earlier").locator(".who").all_text_contents() == [
        "You, as the link has it",
        "fables, as the link has it",
    ]
    tab.get_by_role("button", name="Clear").click()
    assert tab.locator(".turn").count() == 0 and "#" not in tab.url
    tab.get_by_label("Continue", exact=True).check()
    assert ask(tab, "A crow").locator(".answer").text_content() == "A crow" + CROW


@pytest.mark.browser
def test_a_key_is_asked_for_where_one_is_needed(fables, browser) -> None:
    with serving(fables / "out", fables / "store", key="sesame") as locked, opened(browser, 401) as tab:
        tab.goto(locked.url)
        tab.get_by_label("A text to continue").fill("A crow")
        tab.keyboard.press("Enter")
        for word in ("wrong", "sesame"):
            tab.get_by_label("API key").fill(word)
            tab.get_by_role("button", name="Go on").click()
            tab.wait_for_timeout(100)
        assert places(answered(tab)) == [PLACE, "salt across the river"]


@pytest.mark.browser
def test_what_is_refused_is_not_lost_and_what_is_broken_off_is_said_to_be(site, browser) -> None:
    with opened(browser, refused=400) as tab:
        tab.goto(site.url)
        field = tab.get_by_label("A text to continue")
        field.fill("on and " * 200)
        tab.keyboard.press("Enter")
        tab.get_by_role("alert").get_by_text("Not written.").wait_for()
        assert field.input_value() == "on and " * 200
        tab.route("**/v1/completions", lambda route: route.fulfill(body='data: {"choices": [{"text": " a"}]}\n\n'))
        field.fill("on")
        tab.keyboard.press("Enter")
        tab.get_by_text("The connection ended before the answer did.").wait_for()
        assert tab.locator(".answer").last.text_content() == "on a"
        assert "Broken off." in tab.locator(".turn").last.text_content()


@pytest.mark.browser
def test_a_release_whose_text_is_not_here_says_what_to_do(fables, tmp_path, browser) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(fables / "out", bare)
    shutil.rmtree(bare / "index", ignore_errors=True)
    sums = (bare / "SHA256SUMS").read_text().splitlines(True)
    (bare / "SHA256SUMS").write_text("".join(one for one in sums if "  index/" not in one))
    with serving(bare, tmp_path / "nowhere") as site, opened(browser) as tab:
        tab.goto(site.url)
        turn = ask(tab, "A crow")
        said = turn.locator(".where").text_content()
        assert "does not have the training text" in said and "regrow build gets and makes them again" in said
        assert turn.locator(".answer").text_content() == "A crow" + CROW and places(turn) == []


LOOKS = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).map(Number);
    const linear = parts.slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (/^rgb\\(/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.querySelectorAll("main *, aside *, header *")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(".unseen, noscript, label:has(:disabled)")) continue;
    const [one, other] = [getComputedStyle(element).color, behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faint.push([element.outerHTML.slice(0, 80), ratio]);
  }
  return { faint, overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth };
}"""


IN_VIEW = """() => {
  const bar = document.querySelector(".bar").getBoundingClientRect();
  return ["strong", "code", ".licence", ".tag"].filter((part) => {
    const box = document.querySelector(`#about ${part}`).getBoundingClientRect();
    return !(box.width > 20 && box.top >= bar.top && box.bottom <= bar.bottom && box.right <= bar.right);
  });
}"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "scheme"), [(320, "dark"), (360, "light"), (768, "light"), (1200, "light"), (1200, "dark")]
)
def test_it_is_read_at_any_width_by_day_and_by_night(site, browser, width: int, scheme: str) -> None:
    with opened(browser, viewport={"width": width, "height": 740}, color_scheme=scheme) as tab:
        tab.goto(site.url)
        turn = ask(tab, "A crow")
        assert tab.evaluate(LOOKS) == {"faint": [], "overflow": 0}
        turn.locator(".place").first.click()
        tab.wait_for_timeout(300)
        found = tab.locator("#side").bounding_box()
        assert found["x"] >= 0 and found["x"] + found["width"] <= width and found["y"] + found["height"] <= 741
        assert (found["y"] > 150) == (width < 992)  # a sheet at the bottom, or a column beside
        assert tab.evaluate(IN_VIEW) == []
        assert tab.evaluate(LOOKS) == {"faint": [], "overflow": 0}
        tab.keyboard.press("Escape")
        turn.get_by_role("button", name="Probabilities").click()
        turn.locator(".token").last.focus()
        assert tab.evaluate(LOOKS) == {"faint": [], "overflow": 0}
        tip = tab.get_by_role("tooltip").bounding_box()
        assert tip["x"] >= 0 and tip["x"] + tip["width"] <= width
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark == {"light": "rgb(251, 250, 246)", "dark": "rgb(18, 22, 21)"}[scheme]


NAMELESS = """() => {
  const named = (one) => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.labels?.length
    || one.textContent.trim();
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const pointers = ["aria-controls", "aria-labelledby", "aria-describedby", "for"];
  const pointed = [...document.querySelectorAll(pointers.map((name) => `[${name}]`).join())]
    .flatMap((one) => pointers.map((name) => one.getAttribute(name))).filter(Boolean);
  const parts = [...document.querySelectorAll("button, input, textarea, a, dialog, fieldset, section, aside")];
  return {
    nameless: parts.filter((one) => !named(one)).map((one) => one.outerHTML),
    twice: ids.filter((one, at) => ids.indexOf(one) !== at),
    lost: pointed.filter((one) => !document.getElementById(one)),
    headings: document.querySelectorAll("h1").length,
    landmarks: ["main", "body > header", "aside"].map((one) => document.querySelectorAll(one).length),
    language: document.documentElement.lang,
    live: document.querySelector("[role=status]").getAttribute("aria-live"),
    nested: document.querySelectorAll("[role=button] [tabindex], button button, a button").length,
  };
}"""


@pytest.mark.browser
@pytest.mark.parametrize("still", ["reduce", "no-preference"])
def test_whoever_hears_the_page_knows_what_is_what(site, browser, still: str) -> None:
    with opened(browser, reduced_motion=still) as tab:
        tab.goto(site.url)
        turn = ask(tab, "A crow")
        assert tab.evaluate(NAMELESS) == {
            "nameless": [], "twice": [], "lost": [], "headings": 1, "landmarks": [1, 1, 1], "language": "en",
            "live": "polite", "nested": 0,
        }  # fmt: skip
        assert "in 2 places" in tab.get_by_role("status").text_content()
        place = turn.locator(".place").first
        place.focus()
        tab.keyboard.press("Shift+Tab")
        tab.keyboard.press("Tab")
        assert float(place.evaluate("one => getComputedStyle(one).outlineWidth.replace('px', '')")) >= 2
        moves = tab.evaluate("getComputedStyle(document.getElementById('write')).transitionDuration")
        assert moves in ("0s", "0ms")


@pytest.mark.browser
def test_without_scripts_it_says_who_answers_and_how_else_to_ask(site, browser) -> None:
    with opened(browser, java_script_enabled=False) as tab:
        tab.goto(site.url)
        said = tab.locator("body").inner_text()
        assert "Tells & <retells> fables." in said and "regrow chat" in said and "CC0-1.0" in said
        assert site.page.served.digest in re.sub(r"\s", "", said)


@pytest.mark.browser
def test_a_model_writes_the_same_by_a_link(browser, tmp_path) -> None:
    """Of the command, with a release that says next to nothing of itself."""
    with command(babble(tmp_path / "babble")) as server, opened(browser) as tab:
        tab.goto(server.url)
        tab.get_by_label("Tokens").fill("24")
        turn = ask(tab, "Say it")
        text = turn.locator(".answer").text_content()
        assert "not known here" in turn.locator(".where").text_content()
        link = linked(turn)
        tab.goto("about:blank")
        tab.goto(link)
        again = answered(tab)
        assert again.locator(".answer").text_content() == text
        assert "letter for letter" in again.text_content()


# Without a browser


def get(url: str, data: Any = None, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    from urllib.error import HTTPError
    from urllib.request import Request as Asking
    from urllib.request import urlopen

    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    try:
        with urlopen(Asking(url, body, {"content-type": "application/json", **headers})) as said:
            return said.status, said.headers, said.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize("path", ["", *(one.removeprefix("/") for one in OPEN)])
def test_nothing_comes_from_elsewhere(site: Site, path: str) -> None:
    status, headers, body = get(site.url + path)
    assert status == 200 and all(headers[name] == value for name, value in HEADERS.items())
    assert "'unsafe" not in headers["content-security-policy"]
    assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style=\"", body)
    addresses = re.findall(rb"https?://[^\s\"'<]+", body)
    assert all(one.startswith((b"http://www.w3.org/", b"https://spdx.org/licenses/")) for one in addresses)


def test_what_is_no_text_to_look_for(site: Site) -> None:
    url = site.url + "regrow/trace"
    for data, status, words in (
        ({"text": ""}, 400, "no text"),
        ({"text": "a " * 700_000}, 400, "too long"),
        ({"text": 3}, 400, "`text`"),
        ({}, 400, "`text` is missing"),
        ({"text": "a", "deeper": 1}, 400, "no field `deeper`"),
        (b"\xff", 400, "UTF-8"),
        (b'{"text": "\\ud800 a b"}', 400, "half a character"),
    ):
        found, _, body = get(url, data)
        assert (found, words in json.loads(body)["error"]["message"]) == (status, True), body
    assert get(url, b"{}", **{"content-type": "text/plain"})[0] == 415
    assert get(site.url + "page/../routes.py")[0] == get(site.url + "page/%2e%2e/routes.py")[0] == 404


def test_many_who_ask_at_once_get_the_same(site: Site) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        said = {body for _, _, body in pool.map(lambda _: get(site.url + "regrow/trace", {"text": PLACE}), range(16))}
    (only,) = said
    assert json.loads(only)["spans"][0]["text"] == PLACE


def test_a_server_that_stops_does_not_wait_for_an_index(fables: Path, tmp_path: Path) -> None:
    places = Places(Release.open(fables / "out"), tmp_path / "empty")
    places.close()
    with pytest.raises(Interrupted):
        places.of(PLACE)


def test_what_stands_around_words_is_not_shown_of_texts_that_may_not_be_shared(fables: Path, tmp_path: Path) -> None:
    shutil.copytree(fables / "out", tmp_path / "own")
    recipe = tmp_path / "own" / "regrow.toml"
    shared = Places(Release.open(tmp_path / "own"), fables / "store").of(PLACE)["spans"][0]["documents"][0]
    assert shared["after"].startswith(". The fox said") and "withheld" not in shared
    recipe.write_text(recipe.read_text().replace('availability = "open"', 'availability = "unshareable"'))
    held = Places(Release.open(tmp_path / "own"), fables / "store").of(PLACE)["spans"][0]["documents"][0]
    assert (held["before"], held["after"]) == ("", "") and "may not be shared" in held["withheld"]
    assert held["locator"] == shared["locator"]


def test_a_yes_rests_on_what_was_seen(fables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    shutil.copytree(fables / "out", tmp_path / "out")
    release = Release.open(tmp_path / "out")
    digest = release.digest

    def standing(trust: str = "") -> Standing:
        (tmp_path / "trust.toml").write_text(trust)
        return Standing.of(release, digest, trusted(tmp_path / "trust.toml", TODAY) if trust else NOBODY)

    assert (standing().words, standing().shown) == ("Not verified here", False)
    rebuilds.note(digest, "regrow verify build/fables", 2.0)
    assert standing().words == "Rebuilt here" and "regrow verify build/fables" in standing().lines[0]
    keys.new(tmp_path / "alice", "ed25519")
    envelope = dsse.write(signed(statement(release), keys.private_key(tmp_path / "alice")))
    rebuilds.place(digest).unlink()
    (release.path / "attestations").mkdir()
    (release.path / "attestations" / "alice.json").write_bytes(envelope)
    assert (standing().words, standing().shown, standing().strangers) == ("Not verified here", False, 1)
    assert "1 signed statement by nobody who is trusted here" in standing().lines[0]
    alice = '[[rebuilder]]\nname = "alice"\n[[rebuilder.key]]\nfile = "alice.pub"\n'
    assert (standing(alice).words, standing(alice).shown, standing(alice).strangers) == ("Attested by alice", True, 0)
    assert "alice signed: full rebuild" in standing(alice).lines[0]
    elsewhere = Standing.of(release, "0" * 64, trusted(tmp_path / "trust.toml", TODAY))
    assert (elsewhere.words, elsewhere.shown, elsewhere.differ) == ("Disputed", False, ("alice",))
