// What stands beside: the release, or the documents in which words stand. At the bottom where there is no room beside.

import { counted, make } from "./make.js";

const beside = matchMedia("(min-width: 62rem)");
const found = document.getElementById("found");
const release = document.getElementById("release");
const about = document.getElementById("about");
let opener = null;

/** Show the documents of spans, the rarest first. */
export function show(spans, untold, from) {
  opened(from);
  const ranked = [...spans].sort((one, other) => one.rank - other.rank);
  document.getElementById("spans").replaceChildren(...ranked.map((span) => section(span, untold)));
  turn("found");
  const side = document.getElementById("side");
  side.scrollTop = 0;
  found.focus({ preventScroll: true });
  const covered = innerHeight - side.offsetHeight;
  if (!beside.matches && from.getBoundingClientRect().bottom > covered) from.scrollIntoView({ block: "start" });
}

/** Go back to what was read before; the focus goes to what was chosen there. */
export function close() {
  const from = opener;
  opened(null);
  turn("");
  (from?.isConnected ? from : document.getElementById("text")).focus();
}

/** Whether there is anything to close. */
export function isOpen() {
  return document.body.dataset.side !== undefined;
}

about.addEventListener("click", () => {
  if (document.body.dataset.side === "release") return close();
  opened(about);
  turn("release");
  document.getElementById("side").scrollTop = 0;
  release.focus({ preventScroll: true });
});
for (const button of document.querySelectorAll("#side .close")) button.addEventListener("click", close);
document.addEventListener("pointerdown", (event) => {
  if (isOpen() && !beside.matches && !event.target.closest("#side, #about, .place")) {
    opened(null);
    turn("");
  }
});

function opened(by) {
  opener?.setAttribute("aria-expanded", "false");
  opener = by;
  opener?.setAttribute("aria-expanded", "true");
}

function turn(side) {
  if (side) document.body.dataset.side = side;
  else delete document.body.dataset.side;
  found.hidden = side !== "found";
}

function section(span, untold) {
  const times = span.count === 1 ? "once" : `${span.count.toLocaleString("en")} times`;
  const more = span.count > span.documents.length ? `; ${counted(span.documents.length, "document")} shown` : "";
  return make("section.span", {},
    make("h3", {}, `\u201c${span.text.trim()}\u201d`),
    make("p.small.soft", {}, `Stands there ${times}${more}`),
    ...span.documents.map((one) => drawn(one, untold)));
}

/** A document in which a span stands. */
function drawn(one, untold) {
  const facts = {
    Source: one.source,
    Licence: one.licence,
    Place: make("code", {}, one.locator),
    Seen: seen(one, untold),
  };
  return make("article.document", { "aria-label": `${one.source}, ${one.locator}` },
    one.withheld ? make("p.small.soft", {}, one.withheld) : quote(one),
    make("dl.pairs", {}, ...Object.entries(facts).flatMap(([name, value]) =>
      [make("dt", {}, name), make("dd", {}, value)])));
}

/** A span with what stands around it there. */
function quote({ before, text, after }) {
  const start = (before + blank(text)).trimStart();
  return make("blockquote", {}, start, make("mark", {}, text.trimStart()), after.trimEnd());
}

/** The blanks that a text begins with. */
function blank(text) {
  return text.slice(0, text.length - text.trimStart().length);
}

/** Which steps of the training saw it. */
function seen(one, untold) {
  if (one.seen === null) return `not known here: ${untold}`;
  if (!one.seen) return "at no step of the training";
  const more = one.seen > one.steps.length ? ` and ${(one.seen - one.steps.length).toLocaleString("en")} more` : "";
  return `at training step ${one.steps.map((step) => step.toLocaleString("en")).join(", ")}${more}`;
}
