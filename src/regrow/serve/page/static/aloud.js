// What a reader notices: what screen readers say, and where the page stands.

const status = document.getElementById("status");

/** Have something said aloud. */
export function announce(words) {
  if (words.trim()) status.textContent = words;
}

/** Say aloud the sentences that are whole, and give what is left. */
export function sentences(unread) {
  const end = unread.search(/[.!?\n](?=\s)(?!.*[.!?\n]\s)/s);
  if (end < 0) return unread;
  announce(unread.slice(0, end + 1));
  return unread.slice(end + 1);
}

/** Change something, and stay at the end of the page if that is where the reader is. */
export function following(change) {
  const page = document.documentElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 60;
  change();
  if (atEnd) scrollTo({ top: page.scrollHeight });
}
