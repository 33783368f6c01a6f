"""What llama.cpp makes of a file, asked in a process of its own: whatever it does there, the tests go on.

``python -m tests.exporting.ask_llama QUESTION ANSWER``: two JSON files. The cache of keys and values is F32 and flash
attention off; the matrices stay as they are in the file, since what is packed anew for a processor is computed in
another arithmetic.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_F32 = 0
_AS_THE_FILE_SAYS = -1.0
_ROOT = Path(__file__).parents[2]


def ask(
    model: Path, folder: Path, prompts: list[list[int]], texts: list[str], more: int, lora: Path | None = None
) -> dict[str, Any]:
    """What it computes for prompts, with so many tokens more, and how it cuts texts; files go into the folder."""
    question = {"model": str(model), "context": 96, "prompts": prompts, "texts": texts, "more": more}
    (folder / "question").write_text(json.dumps({**question, **({"lora": str(lora)} if lora else {})}))
    command = [sys.executable, "-m", "tests.exporting.ask_llama", str(folder / "question"), str(folder / "answer")]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "answer").read_text())
    return found


def main(question: str, answer: str) -> None:
    """Answer."""
    import llama_cpp
    import numpy as np
    from llama_cpp import llama_cpp as low

    usual = low.llama_model_default_params

    def unpacked() -> Any:
        parameters = usual()
        parameters.use_extra_bufts = False
        return parameters

    low.llama_model_default_params = unpacked
    asked = json.loads(Path(question).read_text())
    model = llama_cpp.Llama(
        asked["model"], n_ctx=asked["context"], type_k=_F32, type_v=_F32, flash_attn=False, logits_all=True,
        yarn_beta_fast=_AS_THE_FILE_SAYS, yarn_beta_slow=_AS_THE_FILE_SAYS,
        n_gpu_layers=0, n_threads=2, verbose=False, lora_path=asked.get("lora"),
    )  # fmt: skip
    texts = [model.tokenize(text.encode(), add_bos=True, special=False) for text in asked["texts"]]
    rows = []
    for prompt in asked["prompts"]:
        model.reset()
        model.eval(prompt)
        logits, said = np.array(model.scores[: len(prompt)]), list[int]()
        for _ in range(asked["more"]):
            said.append(int(np.argmax(model.scores[model.n_tokens - 1])))
            model.eval(said[-1:])
        rows.append({"logits": logits.tolist(), "said": said})
    end = [model.token_bos(), model.token_eos()]
    Path(answer).write_text(json.dumps({"texts": texts, "rows": rows, "ends": end, "metadata": model.metadata}))


if __name__ == "__main__":
    main(*sys.argv[1:])
