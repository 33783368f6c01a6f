// What the model wrote, as the reader sees it: plain while it is written, then with what stands in the training data
// underlined, or with each token shaded by how unlikely it was.

import { make, percent } from "./make.js";

const SHADES = [0.5, 0.2, 0.05, 0.01];

/** A text that grows. */
export class Answer {
  /**
   * @param before what it continues, which is shown with it; empty in a conversation.
   * @param onPlace hears the regions that are chosen, and the element that was.
   */
  constructor(before, onPlace) {
    this.before = before;
    this.text = "";
    this.tokens = [];
    this.regions = [];
    this.shaded = false;
    this._onPlace = onPlace;
    this._end = document.createTextNode("");
    this.element = make("p.answer");
    this.draw();
  }

  /** Write on. */
  add(text, tokens) {
    this.text += text;
    this.tokens.push(...tokens);
    this._end.appendData(text);
  }

  /** Underline what stands in the training data: regions with places in characters of `before` and `text`. */
  mark(regions) {
    this.regions = regions;
    this.draw();
  }

  /** Shade tokens, or underline regions. */
  shade(on) {
    this.shaded = on;
    this.draw();
  }

  draw() {
    this._end = document.createTextNode("");
    this.element.removeAttribute("role");
    this.element.removeAttribute("aria-label");
    this.element.replaceChildren(...(this.shaded ? this._shaded() : this._underlined()), this._end);
  }

  /** The text in pieces that are within one region or none, and of one writer. */
  _underlined() {
    const characters = Array.from(this.before + this.text);
    const first = Array.from(this.before).length;
    const drawn = (start, end) =>
      [
        [start, Math.min(end, first), (text) => make("b", {}, text)],
        [Math.max(start, first), end, (text) => document.createTextNode(text)],
      ].flatMap(([from, to, draw]) => (from < to ? [draw(characters.slice(from, to).join(""))] : []));
    const found = [];
    let at = 0;
    for (const region of this.regions) {
      found.push(...drawn(at, region.start), this._place(region, drawn(region.start, region.end)));
      at = region.end;
    }
    return [...found, ...drawn(at, characters.length)];
  }

  _place(region, inside) {
    const open = (event) => this._onPlace(region, event.currentTarget);
    return make("span.place", {
      role: "button", tabindex: "0", "aria-expanded": "false", "aria-controls": "found",
      click: (event) => getSelection()?.isCollapsed !== false && open(event), // whoever marks it wants to copy it
      keydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open(event);
      },
    }, ...inside);
  }

  /** Tokens, of which the tab key reaches one and arrows the others. */
  _shaded() {
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", "Tokens of the answer. Arrow keys go from one to the next.");
    const spans = [];
    let rest = this.text;
    for (const unit of units(this.tokens)) {
      if (!rest.startsWith(unit.text)) break;
      rest = rest.slice(unit.text.length);
      const attributes = { tabindex: spans.length ? "-1" : "0", "data-doubt": doubt(unit.logprob) };
      spans.push(make("span.token", attributes, unit.text));
      chances.set(spans.at(-1), unit);
    }
    return [...(this.before ? [make("b", {}, this.before)] : []), ...spans, document.createTextNode(rest)];
  }
}

/** Element of a token -> how likely it was, and what else was. */
export const chances = new WeakMap();

/** Tokens that are whole characters together: tokens are bytes, which know nothing of characters. */
function* units(tokens) {
  const decoder = new TextDecoder();
  let first = null;
  for (const token of tokens) {
    first ??= token;
    const text = decoder.decode(new Uint8Array(token.bytes), { stream: true });
    if (!text) continue;
    yield { ...first, text, chosen: first.text };
    first = null;
  }
}

function doubt(logprob) {
  const likely = Math.exp(logprob ?? 0);
  return String(SHADES.filter((bound) => likely < bound).length);
}

/** The other tokens that might have been, as a table. */
export function alternatives(unit) {
  const listed = new Map([...unit.likeliest, [unit.chosen, unit.logprob]]);
  const rows = [...listed].sort((one, other) => other[1] - one[1]);
  return make("table", {},
    make("caption", {}, "Likeliest before temperature"),
    ...rows.map(([text, logprob]) =>
      make(`tr${text === unit.chosen ? ".chosen" : ""}`, {},
        make("th", { scope: "row" }, visible(text)),
        make("td", {}, percent(Math.exp(logprob))),
        make("td.share", { "aria-hidden": "true" }, bar(Math.exp(logprob))))));
}

function bar(share) {
  const made = make("i");
  made.style.width = `${100 * share}%`;
  return made;
}

/** A token as one can see it. */
function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "(nothing)";
}
