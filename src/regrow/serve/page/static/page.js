// The page: asks, shows what is written as it comes, and where its words stand.

import { announce, following } from "./aloud.js";
import { withKey } from "./key.js";
import { read } from "./link.js";
import { make } from "./make.js";
import * as side from "./side.js";
import * as tip from "./tip.js";
import { Turn, message } from "./turn.js";
import { release } from "./wire.js";

const form = document.getElementById("ask");
const text = document.getElementById("text");
const said = document.getElementById("said");
const notice = document.getElementById("notice");
const clear = document.getElementById("clear");
/** What the model is told before a conversation; null where none can be held. */
const system = document.getElementById("system");

/** The messages of the conversation so far. */
let messages = [];
/** What stops what is being written; null if nothing is. */
let running = null;
/** What the server says of its release, once somebody asked. */
let served = null;

async function known() {
  served ??= await withKey(release);
  return served;
}

/** The sampling that the form says. */
function sampling() {
  const fields = [...form.querySelectorAll(".numbers input")];
  return Object.fromEntries(fields.map((one) => [one.name, one.valueAsNumber]));
}

/** Who is to write: the model, or one of its adapters. */
function model() {
  return form.elements.model ? { model: form.elements.model.value } : {};
}

/** The conversation so far, with one more question. */
function spoken(typed) {
  const told = system?.value.trim() ? [{ role: "system", content: system.value }] : [];
  return [...told, ...messages.filter((one) => one.role !== "system"), { role: "user", content: typed }];
}

function mode() {
  return form.elements.mode.value;
}

/** Fill in what a link says. */
function fill(asked) {
  for (const one of form.querySelectorAll(".numbers input")) if (one.name in asked) one.value = asked[one.name];
  const wanted = form.querySelector(`[name=mode][value=${asked.mode}]`);
  if (!wanted.disabled) wanted.checked = true;
  const who = [...(form.elements.model?.options ?? [])].find((one) => one.value === asked.model);
  if (who) who.selected = true;
  if (!system || !asked.messages) return;
  system.value = asked.messages[0].role === "system" ? asked.messages[0].content : "";
  system.parentElement.open = system.value !== "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const typed = text.value;
  if (!typed.trim()) return text.focus();
  const asked = mode() === "chat" ? { messages: spoken(typed) } : { prompt: typed };
  text.value = "";
  write({ mode: mode(), ...asked, ...model(), ...sampling() });
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  if (tip.isShown()) tip.hide();
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
  const turn = new Turn(asked, again);
  said.append(turn.element);
  clear.hidden = false;
  turn.element.scrollIntoView({ block: "end" });
  const mine = (running = new AbortController());
  document.body.classList.add("running");
  announce("Writing.");
  try {
    const by = await known();
    await withKey(() => turn.write(by, mine.signal));
  } catch (error) {
    turn.fail(error);
  } finally {
    if (running === mine) running = null;
    document.body.classList.toggle("running", running !== null);
    following(() => turn.end());
  }
  if (!turn.element.isConnected) return; // cleared away meanwhile
  if (turn.reason === "failed" && !turn.answer.text && !text.value) text.value = turn.question; // to be mended
  if (asked.mode === "chat") messages = turn.conversation();
  await turn.compare(wanted);
  await turn.trace();
}

/** Ask the same in another way. */
function again(asked) {
  if (running) return;
  fill(asked);
  write(asked);
}

tip.watch(said);

/** Write what a link asks for, if this is the release that it speaks of; or else say so, and wait. */
async function follow() {
  let link, by;
  try {
    link = read(location.hash);
    if (!link) return;
    by = await known();
  } catch (error) {
    return warn("This link cannot be followed: ", error.message);
  }
  const { chat } = by;
  if (!(link.asked.model in by.adapters)) delete link.asked.model; // which the fingerprint tells of
  const fingerprint = by.adapters[link.asked.model] ?? by.fingerprint;
  running?.abort();
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
  warn("This link speaks of another release. ", why, button);
}

function warn(what, why, button = null) {
  notice.replaceChildren(make("div.notice", {}, make("p", {}, make("strong", {}, what), why), button));
}

/** Release and arithmetic in a few letters. */
function short(fingerprint) {
  const [digest, arithmetic] = fingerprint.replace("sha256:", "").split("+");
  if (!digest) return "a release that it does not name";
  return `${digest.slice(0, 12)}\u2026 with the arithmetic ${arithmetic ?? "that it does not name"}`;
}

addEventListener("hashchange", follow);
follow();
