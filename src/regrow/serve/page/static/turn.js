// A question and its answer, with what can be done with it.

import { announce, following, sentences } from "./aloud.js";
import { Answer } from "./answer.js";
import { withKey } from "./key.js";
import { address, hash } from "./link.js";
import { counted, make, percent, quoted } from "./make.js";
import * as side from "./side.js";
import { trace, written } from "./wire.js";

const NAME = document.querySelector("h1").textContent;
const SLOW = 1500; // milliseconds after which a reader wonders
const LOOKING = "Looking where its words stand. The first time, an index of the training text is made.";
const NOWHERE = "Nothing of it stands in the training data, as far as three whole words in a row are looked for.";
const ENDS = { stop: "ended by itself", length: "as long as was asked", stopped: "stopped", failed: "broken off" };

/** One question and its answer. */
export class Turn {
  /**
   * @param asked what is asked, as `wire.written` takes it.
   * @param again hears what to ask instead, if somebody wants another answer.
   */
  constructor(asked, again) {
    this.asked = asked;
    this.answer = new Answer(asked.mode === "chat" ? "" : asked.prompt, (region, from) => this._open(region, from));
    this.reason = "";
    this._again = again;
    this._served = null;
    this._made = {};
    this._spans = [];
    this._untold = "";
    this.element = this._drawn();
  }

  _drawn() {
    const chat = this.asked.mode === "chat";
    this._how = make("p.small.soft.how");
    this._where = make("p.small.soft.where");
    this._same = make("p.small", { hidden: true });
    this._copied = make("span.copied.soft");
    this._shades = make("button.quiet", { type: "button", "aria-pressed": "false", click: () => this._shade() });
    this._shades.append("Probabilities");
    const does = [
      ["Copy", "Copy the text", () => this._copy(this.answer.before + this.answer.text, "Copied.")],
      ["Link", "Copy a link by which anybody gets the same answer", () => this._link()],
      ["Another", "Write another answer, with the next seed", () => this._another()],
    ].map(([name, title, click]) => make("button.quiet", { type: "button", title, click }, name));
    this._footer = make("footer.made", {},
      make("div.do", {}, ...does, this._shades, this._copied), this._same, this._how, this._where);
    const before = chat ? [...message(this.asked.messages.at(-1)), make("p.who", {}, this.asked.model ?? NAME)] : [];
    const attributes = { "aria-busy": "true", "aria-label": chat ? "Question and answer" : "Text" };
    return make("article.turn.writing", attributes, ...before, this.answer.element, this._footer);
  }

  /** Have it written by what is served, until a signal says to stop. */
  async write(served, signal) {
    this._served = served;
    let unread = "";
    for await (const piece of written(served.model, this.asked, signal)) {
      following(() => this.answer.add(piece.text, piece.tokens));
      unread = sentences(unread + piece.text);
      this.reason = piece.reason ?? this.reason;
      for (const [name, value] of Object.entries(piece.made)) if (value) this._made[name] = value;
    }
    announce(unread);
  }

  /** Say why it is not written, or no further. */
  fail(error) {
    this.reason = error.name === "AbortError" ? "stopped" : "failed";
    if (this.reason === "stopped") return;
    const what = make("strong", {}, this.answer.text ? "Broken off. " : "Not written. ");
    this._footer.before(make("div.notice", { role: "alert" }, make("p", {}, what, ...quoted(error.message))));
  }

  /** Say how it was written. */
  end() {
    this.element.classList.remove("writing");
    this.element.setAttribute("aria-busy", "false");
    this._footer.hidden = !this.answer.text && this.reason === "failed";
    this.answer.draw();
    const used = { ...this.asked, ...this._made.sampling };
    this._how.textContent = [
      this.asked.mode === "continue" && this.asked.model,
      counted(this._made.usage?.completion_tokens ?? this.answer.tokens.length, "token"),
      `temperature ${used.temperature}`,
      `top p ${used.top_p}`,
      used.top_k && `top k ${used.top_k}`,
      `seed ${used.seed}`,
      ENDS[this.reason],
    ].filter(Boolean).join(" \u00b7 ");
  }

  /** What was asked. */
  get question() {
    return this.asked.mode === "chat" ? this.asked.messages.at(-1).content : this.asked.prompt;
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
    const slow = setTimeout(() => (this._where.textContent = LOOKING), SLOW);
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
      this._where.replaceChildren("Where its words stand is not known here: ", ...quoted(error.message), ".");
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
    const fingerprint = this._made.fingerprint ?? this._served.fingerprint;
    const link = address({ mode, ...asked }, fingerprint, await hash(this.answer.text));
    history.replaceState(null, "", link);
    await this._copy(link, "The link is copied.");
  }

  async _copy(words, done) {
    let shown;
    try {
      await navigator.clipboard.writeText(words);
      shown = [done];
    } catch {
      shown = ["This browser copies nothing: ", make("code", {}, words)];
    }
    following(() => this._copied.replaceChildren(...shown));
    announce(this._copied.textContent);
  }

  _another() {
    this._again({ ...this.asked, seed: this.asked.seed + 1 });
  }
}

/** What somebody said, and who. */
export function message({ role, content }, more = "") {
  const who = { user: "You", assistant: NAME }[role] ?? role;
  return [make("p.who", {}, who + more), make("p.asked", {}, content)];
}

/** How much of an answer stands in the training data. */
function told(regions, first, text) {
  if (!regions.length) return NOWHERE;
  const covered = regions.reduce((sum, one) => sum + one.end - Math.max(one.start, first), 0);
  const share = percent(covered / Array.from(text).length);
  const where = counted(regions.length, "place");
  return `${share} of it stands in the training data word for word, in ${where}. Choose one to see the documents.`;
}
