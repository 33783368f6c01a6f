// Talking with the server: OpenAI's endpoints for what is written, ours for where it stands.

const LIKELIEST = 5;
const KEY = "regrow-key";
const BROKEN = "The connection ended before the answer did.";

/** What the server refused, in its words. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Remember a key for as long as the tab is open. */
export function keep(key) {
  sessionStorage.setItem(KEY, key);
}

/** What the server says of its release. */
export async function release() {
  return (await asked("regrow/release")).json();
}

/** Which spans of a text stand in the training data. */
export async function trace(text, signal) {
  return (await asked("regrow/trace", { text }, signal)).json();
}

/**
 * What the model writes, piece by piece: `{text, tokens, reason, made}`, of which each may be missing.
 * @param model its name.
 * @param question `{mode, prompt or messages, temperature, top_p, seed, max_tokens}`.
 */
export async function* written(model, question, signal) {
  const { mode, ...rest } = question;
  const chat = mode === "chat";
  const logprobs = chat ? { logprobs: true, top_logprobs: LIKELIEST } : { logprobs: LIKELIEST };
  const body = { model, ...rest, ...logprobs, stream: true, stream_options: { include_usage: true } };
  const response = await asked(chat ? "v1/chat/completions" : "v1/completions", body, signal);
  for await (const data of events(response)) {
    if (data === "[DONE]") return;
    const said = JSON.parse(data);
    if (said.error) throw new Refused(said.error.message, 500);
    const choice = said.choices?.[0];
    yield {
      text: (chat ? choice?.delta?.content : choice?.text) ?? "",
      tokens: choice?.logprobs ? (chat ? spoken(choice.logprobs) : continued(choice.logprobs)) : [],
      reason: choice?.finish_reason,
      made: { fingerprint: said.system_fingerprint, usage: said.usage, sampling: said.regrow?.sampling },
    };
  }
  throw new Refused(BROKEN, 0);
}

/** Tokens as chats tell them. */
function spoken(logprobs) {
  return (logprobs.content ?? []).map((one) => ({
    text: one.token,
    bytes: one.bytes ?? bytes(one.token),
    logprob: one.logprob,
    likeliest: one.top_logprobs.map((other) => [other.token, other.logprob]),
  }));
}

/** Tokens as completions tell them. */
function continued(logprobs) {
  return logprobs.tokens.map((text, at) => ({
    text,
    bytes: bytes(text),
    logprob: logprobs.token_logprobs[at],
    likeliest: Object.entries(logprobs.top_logprobs?.[at] ?? {}),
  }));
}

/** The bytes of a token, which is written `bytes:\\xe2\\x80` where they are no whole characters. */
function bytes(text) {
  if (/^bytes:(\\x[0-9a-f]{2})+$/.test(text)) return text.match(/[0-9a-f]{2}(?=\\|$)/g).map((one) => parseInt(one, 16));
  return [...new TextEncoder().encode(text)];
}

async function asked(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const how = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
  let response;
  try {
    response = await fetch(path, how);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is `regrow serve` still running?", 0);
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Refused(said.error?.message ?? `the server answers ${response.status}`, response.status);
}

/** The data of server-sent events. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Refused(BROKEN, 0);
    });
    if (done) return;
    const blocks = (kept + value.replaceAll("\r", "")).split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}
