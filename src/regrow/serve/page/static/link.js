// A link that asks again for what was asked: after the #, which browsers send to nobody.

const NUMBERS = ["temperature", "top_p", "top_k", "seed", "max_tokens"];

/**
 * The address of an answer.
 * @param asked what was asked, as `wire.written` takes it.
 * @param fingerprint release and arithmetic that answered.
 * @param answer the sha256 of the answer; empty where the browser makes none.
 */
export function address(asked, fingerprint, answer) {
  const said = new URLSearchParams({ mode: asked.mode, by: fingerprint });
  if (asked.model) said.set("model", asked.model);
  if (asked.mode === "chat") said.set("messages", JSON.stringify(asked.messages));
  else said.set("prompt", asked.prompt);
  for (const name of NUMBERS) if (asked[name] !== undefined) said.set(name, String(asked[name]));
  if (answer) said.set("answer", answer);
  return new URL(`#${said}`, location.href).href;
}

/**
 * What a link asks for; null if it asks for nothing.
 * @returns {{asked: object, fingerprint: string, answer: string} | null}
 * @throws {Error} if it makes no sense.
 */
export function read(fragment) {
  const said = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!said.has("mode")) return null;
  const asked = { mode: said.get("mode") };
  if (said.get("model")) asked.model = said.get("model");
  if (asked.mode === "chat") asked.messages = messages(said.get("messages"));
  else if (asked.mode === "continue") asked.prompt = said.get("prompt") ?? "";
  else throw new Error("its mode is neither chat nor continue");
  for (const name of NUMBERS) if (said.has(name)) asked[name] = number(name, said.get(name));
  return { asked, fingerprint: said.get("by") ?? "", answer: said.get("answer") ?? "" };
}

/** The sha256 of a text, where the browser makes one: on https, and on this machine. */
export async function hash(text) {
  if (!globalThis.crypto?.subtle) return "";
  const made = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(made, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function messages(text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Error("its messages are no JSON");
  }
  const fits = (one) => one && typeof one.role === "string" && typeof one.content === "string";
  if (!Array.isArray(said) || !said.length || !said.every(fits)) throw new Error("its messages are none");
  return said.map(({ role, content }) => ({ role, content }));
}

function number(name, text) {
  const value = text.trim() ? Number(text) : NaN;
  const whole = name === "seed" || name === "max_tokens" || name === "top_k";
  if (!Number.isFinite(value) || value < 0 || (whole && !Number.isSafeInteger(value))) {
    throw new Error(`its ${name} is not a number that can be used`);
  }
  return value;
}
