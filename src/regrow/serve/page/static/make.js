// Making elements. Whatever a model or a document says becomes text here, never HTML.

/**
 * An element.
 * @param name of the element, with classes: `p.small.soft`.
 * @param attributes by name; what is undefined, null or false is left out, and a function hears the event of its name.
 * @param inside texts and elements.
 */
export function make(name, attributes = {}, ...inside) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...inside.filter((one) => one !== null && one !== undefined));
  return made;
}

/** A text in which what stands between backticks is code. */
export function quoted(text) {
  return text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

/** A number of things: `1 token`, `2,000 tokens`. */
export function counted(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}

/** A share in percent; small ones are not rounded to nothing. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
