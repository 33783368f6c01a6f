// The page: asks, shows what is written as it comes, and where its words stand.

import { Answer, alternatives, chances } from "./answer.js";
import { address, hash, read } from "./link.js";
import { counted, make, percent } from "./make.js";
import * as side from "./side.js";
import { Refused, keep, release as released, trace, written } from "./wire.js";

const form = document.getElementById("ask");
const text = document.getElementById("text");
const said = document.getElementById("said");
const notice = document.getElementById("notice");
const clear = document.getElementById("clear");
const tooltip = document.getElementById("chances");
const NAME = document.querySelector("h1").textContent;
const SLOW = 1500; // milliseconds after which a reader wonders

/** The messages of the conversation so far. */
let messages = [];
/** What stops what is being written; null if nothing is. */
let running = null;
/** What the server says of its release, once. */
let release = null;

async function known() {
  release ??= await withKey(released);
  return release;
}

/** Do something that may need a key, which is asked for if so. */
async function withKey(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      keep(await asKey());
    }
  }
}

function asKey() {
  const dialog = document.getElementById("key");
  const field = dialog.querySelector("input");
  field.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => (field.value ? resolve(field.value) : reject(new Error("without a key, it does not answer"))), { once: true });
  });
}

/** The sampling that the form says. */
function sampling() {
  const fields = [...form.querySelectorAll(".numbers input")];
  return Object.fromEntries(fields.map((one) => [one.name, one.valueAsNumber]));
}

function mode() {
  return form.elements.mode.value;
}

/** Fill in what a link says. */
function fill(asked) {
  for (const one of form.querySelectorAll(".numbers input")) if (one.name in asked) one.value = asked[one.name];
  const wanted = form.querySelector(`[name=mode][value=${asked.mode}]`);
  if (!wanted.disabled) wanted.checked = true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return running.abort();
  if (!text.value.trim() && mode() === "chat") return text.focus();
  if (!text.value) return text.focus();
  const said = text.value;
  const asked = mode() === "chat" ? { messages: [...messages, { role: "user", content: said }] } : { prompt: said };
  text.value = "";
  write({ mode: mode(), ...asked, ...sampling() });
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  if (!tooltip.hidden) hideChances();
  else if (side.isOpen()) side.close();
  else running?.abort();
});
document.getElementById("begin")?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || running) return;
  text.value = button.textContent;
  form.requestSubmit();
});
clear.addEventListener("click", () => {
  running?.abort();
  messages = [];
  said.replaceChildren();
  notice.replaceChildren();
  clear.hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  text.focus();
});

/** Ask, and show what is written; `wanted` is the hash of the answer that a link promises. */
async function write(asked, wanted = "") {
  const turn = new Turn(asked);
  said.append(turn.element);
  clear.hidden = false;
  turn.element.scrollIntoView({ block: "end" });
  const mine = (running = new AbortController());
  document.body.classList.add("running");
  announce("Writing.");
  try {
    await known();
    await withKey(() => turn.write(mine.signal));
  } catch (error) {
    turn.fail(error);
  } finally {
    if (running === mine) running = null;
    document.body.classList.toggle("running", running !== null);
    following(() => turn.end());
  }
  if (!turn.element.isConnected) return; // cleared away meanwhile
  if (asked.mode === "chat") messages = turn.conversation();
  await turn.compare(wanted);
  await turn.trace();
}

/** One question and its answer. */
class Turn {
  constructor(asked) {
    this.asked = asked;
    this.answer = new Answer(asked.mode === "chat" ? "" : asked.prompt, (region, from) => this._open(region, from));
    this.made = {};
    this.reason = "";
    this._spans = [];
    this._untold = "";
    this._meta = make("p.small.soft.how");
    this._where = make("p.small.soft.where");
    this._same = make("p.small", { hidden: true });
    this._copied = make("span.copied.soft");
    this._shades = make("button.quiet", { type: "button", "aria-pressed": "false", click: () => this._shade() }, "Probabilities");
    const does = [
      ["Copy", "Copy the text", () => this._copy(this.answer.before + this.answer.text, "The text")],
      ["Link", "Copy a link by which anybody gets the same answer", () => this._link()],
      ["Another", "Write another answer, with the next seed", () => this._another()],
    ].map(([name, title, click]) => make("button.quiet", { type: "button", title, click }, name));
    const before = asked.mode === "chat" ? [...message(asked.messages.at(-1)), make("p.who", {}, NAME)] : [];
    this.element = make("article.turn.writing", { "aria-busy": "true", "aria-label": asked.mode === "chat" ? "Question and answer" : "Text" },
      ...before, this.answer.element,
      make("footer.made", {}, make("div.do", {}, ...does, this._shades, this._copied), this._same, this._meta, this._where));
  }

  async write(signal) {
    let unread = "";
    for await (const piece of written(release.model, this.asked, signal)) {
      following(() => this.answer.add(piece.text, piece.tokens));
      unread = sentences(unread + piece.text);
      this.reason = piece.reason ?? this.reason;
      for (const [name, value] of Object.entries(piece.made)) if (value) this.made[name] = value;
    }
    announce(unread);
  }

  fail(error) {
    if (error.name === "AbortError") {
      this.reason = "stopped";
      return;
    }
    this.reason = "failed";
    this._failed = make("div.notice", { role: "alert" }, make("p", {}, make("strong", {}, "Not written. "), error.message));
    this.element.insertBefore(this._failed, this.element.lastChild);
  }

  end() {
    this.element.classList.remove("writing");
    this.element.setAttribute("aria-busy", "false");
    this.answer.draw();
    const { temperature, top_p: top, seed } = this.asked;
    const count = this.made.usage?.completion_tokens ?? this.answer.tokens.length;
    const how = { stop: "ended by itself", length: "as long as was asked", stopped: "stopped", failed: "broken off" }[this.reason];
    const used = this.made.sampling ?? {};
    this._meta.textContent = [
      counted(count, "token"), `temperature ${used.temperature ?? temperature}`, `top p ${used.top_p ?? top}`,
      used.top_k ? `top k ${used.top_k}` : "", `seed ${used.seed ?? seed}`, how,
    ].filter(Boolean).join(" · ");
  }

  /** The conversation with this answer; without it, if there is none. */
  conversation() {
    const { messages } = this.asked;
    return this.answer.text ? [...messages, { role: "assistant", content: this.answer.text }] : messages.slice(0, -1);
  }

  /** Say whether it is what a link promised. */
  async compare(wanted) {
    if (!wanted || this.reason === "failed" || this.reason === "stopped") return;
    const found = await hash(this.answer.text);
    if (!found) return;
    this._same.hidden = false;
    this._same.append(found === wanted
      ? make("span.tag", {}, "The answer of the link, letter for letter")
      : make("span.tag.other", {}, "Not the answer of the link"));
    announce(this._same.textContent);
  }

  /** Underline what stands in the training data. */
  async trace() {
    if (!this.answer.text.trim()) return;
    const slow = setTimeout(() => {
      this._where.textContent = "Looking where its words stand. The first time, an index of the training text is made.";
    }, SLOW);
    try {
      const found = await withKey(() => trace(this.answer.before + this.answer.text));
      const first = Array.from(this.answer.before).length;
      const own = found.regions.filter((one) => one.end > first);
      this._spans = found.spans;
      this._untold = found.untold;
      clearTimeout(slow);
      following(() => {
        this._where.textContent = told(own, first, this.answer.text);
        this.answer.mark(own);
      });
    } catch (error) {
      clearTimeout(slow);
      this._where.textContent = `Where its words stand is not known here: ${error.message}`;
    }
    announce(this._where.textContent);
  }

  _open(region, from) {
    const ranks = new Set(region.spans);
    side.show(this._spans.filter((one) => ranks.has(one.rank)), this._untold, from);
  }

  _shade() {
    this.answer.shade(!this.answer.shaded);
    this._shades.setAttribute("aria-pressed", String(this.answer.shaded));
  }

  async _link() {
    const { mode, ...asked } = this.asked;
    if (this.reason === "stopped") asked.max_tokens = Math.max(1, this.answer.tokens.length);
    const link = address({ mode, ...asked }, this.made.fingerprint ?? release.fingerprint, await hash(this.answer.text));
    history.replaceState(null, "", link);
    await this._copy(link, "A link by which this release writes the same again");
  }

  async _copy(words, what) {
    try {
      await navigator.clipboard.writeText(words);
      this._copied.replaceChildren(`${what} is copied.`);
    } catch {
      this._copied.replaceChildren(`${what}: `, make("code", {}, words));
    }
    announce(this._copied.textContent);
  }

  _another() {
    if (running) return;
    const seed = this.asked.seed + 1;
    form.elements.seed.value = seed;
    write({ ...this.asked, seed });
  }
}

/** What somebody said, and who. */
function message({ role, content }, more = "") {
  const who = { user: "You", assistant: NAME }[role] ?? role;
  return [make("p.who", {}, who + more), make("p.asked", {}, content)];
}

/** Say aloud the sentences that are whole, and give what is left. */
function sentences(unread) {
  const end = unread.search(/[.!?\n](?=\s)(?!.*[.!?\n]\s)/s);
  if (end < 0) return unread;
  announce(unread.slice(0, end + 1));
  return unread.slice(end + 1);
}

function told(regions, first, text) {
  if (!regions.length) return "Nothing of it stands in the training data, as far as three whole words in a row are looked for.";
  const covered = regions.reduce((sum, one) => sum + one.end - Math.max(one.start, first), 0);
  return `${percent(covered / Array.from(text).length)} of it stands in the training data word for word, in ${counted(regions.length, "place")}. Choose one to see the documents.`;
}

function announce(words) {
  if (words.trim()) document.getElementById("status").textContent = words;
}

/** Change something, and stay at the end of the page if that is where the reader is. */
function following(change) {
  const page = document.documentElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 60;
  change();
  if (atEnd) scrollTo({ top: page.scrollHeight });
}

// Chances of tokens: shown for the one that is pointed at or has the focus.
for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
  said.addEventListener(begin, (event) => event.target.matches?.(".token") && showChances(event.target));
  said.addEventListener(end, (event) => event.target.matches?.(".token") && hideChances());
}
said.addEventListener("keydown", (event) => {
  if (!event.target.matches(".token")) return;
  const tokens = [...event.target.parentElement.querySelectorAll(".token")];
  const at = tokens.indexOf(event.target);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (next === undefined || !tokens[next]) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  tokens[next].tabIndex = 0;
  tokens[next].focus();
});

function showChances(token) {
  tooltip.replaceChildren(alternatives(chances.get(token)));
  tooltip.hidden = false;
  token.setAttribute("aria-describedby", "chances");
  const [at] = token.getClientRects();
  const room = tooltip.getBoundingClientRect();
  const top = at.bottom + 8 + room.height < innerHeight ? at.bottom + 8 : at.top - 8 - room.height;
  tooltip.style.left = `${Math.max(12, Math.min(at.left, document.documentElement.clientWidth - room.width - 12))}px`;
  tooltip.style.top = `${Math.max(12, top)}px`;
}

function hideChances() {
  tooltip.hidden = true;
  said.querySelector("[aria-describedby=chances]")?.removeAttribute("aria-describedby");
}

/** Write what a link asks for, if this is the release that it speaks of; or else say so, and wait. */
async function follow() {
  let link;
  running?.abort();
  try {
    link = read(location.hash);
  } catch (error) {
    notice.replaceChildren(make("div.notice", {}, make("strong", {}, "This link cannot be followed: "), error.message));
    return;
  }
  if (!link) return;
  const { chat, fingerprint } = await known();
  fill(link.asked);
  const go = () => {
    notice.replaceChildren();
    const earlier = (link.asked.messages ?? []).slice(0, -1).flatMap((one) => message(one, ", as the link has it"));
    said.replaceChildren(...(earlier.length ? [make("article.turn", { "aria-label": "Earlier" }, ...earlier)] : []));
    write({ ...sampling(), ...link.asked }, link.answer);
  };
  const refused = link.asked.mode === "chat" && !chat;
  if (link.fingerprint === fingerprint && !refused) return go();
  const why = refused
    ? "It asks in a conversation, and this release has no chat template."
    : `The answer is of ${short(link.fingerprint)}, and here answers ${short(fingerprint)}: the words may be others.`;
  const button = refused ? null : make("button", { type: "button", click: go }, "Ask this release");
  const what = make("strong", {}, "This link speaks of another release. ");
  notice.replaceChildren(make("div.notice", {}, make("p", {}, what, why), button));
}

/** Release and arithmetic in a few letters. */
function short(fingerprint) {
  const [digest, arithmetic] = fingerprint.replace("sha256:", "").split("+");
  return digest ? `${digest.slice(0, 12)}… with the arithmetic ${arithmetic ?? "that it does not name"}` : "a release that it does not name";
}

addEventListener("hashchange", follow);
follow();
