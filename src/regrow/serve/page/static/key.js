// The key of a server that asks for one.

import { Refused, keep } from "./wire.js";

/** Do something that may need a key, which is asked for if so. */
export async function withKey(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      keep(await asked());
    }
  }
}

function asked() {
  const dialog = document.getElementById("key");
  const field = dialog.querySelector("input");
  field.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const closed = () => (field.value ? resolve(field.value) : reject(new Refused("A key is needed.", 0)));
    dialog.addEventListener("close", closed, { once: true });
  });
}
