"""Text on its way to tokens: documents, their formats, near-duplicates, the tokenizer, and the order of training."""
