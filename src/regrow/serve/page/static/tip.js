// How likely a token was: shown for the one that is pointed at, or has the focus.

import { alternatives, chances } from "./answer.js";

const tip = document.getElementById("chances");

/** Whether it is shown. */
export function isShown() {
  return !tip.hidden;
}

/** Show it for the tokens below an element, which arrow keys go through. */
export function watch(root) {
  for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
    root.addEventListener(begin, (event) => event.target.matches?.(".token") && show(event.target));
    root.addEventListener(end, (event) => event.target.matches?.(".token") && hide());
  }
  root.addEventListener("keydown", (event) => event.target.matches(".token") && move(event));
}

function move(event) {
  const tokens = [...event.target.parentElement.querySelectorAll(".token")];
  const at = tokens.indexOf(event.target);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (next === undefined || !tokens[next]) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  tokens[next].tabIndex = 0;
  tokens[next].focus();
}

function show(token) {
  hide();
  tip.replaceChildren(alternatives(chances.get(token)));
  tip.hidden = false;
  token.setAttribute("aria-describedby", "chances");
  const [at] = token.getClientRects();
  const room = tip.getBoundingClientRect();
  const top = at.bottom + 8 + room.height < innerHeight ? at.bottom + 8 : at.top - 8 - room.height;
  const right = document.documentElement.clientWidth - room.width - 12;
  tip.style.left = `${Math.max(12, Math.min(at.left, right))}px`;
  tip.style.top = `${Math.max(12, top)}px`;
}

/** Hide it. */
export function hide() {
  tip.hidden = true;
  document.querySelector("[aria-describedby=chances]")?.removeAttribute("aria-describedby");
}
