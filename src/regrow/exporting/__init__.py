"""Models as other programs want them: GGUF files, folders of Hugging Face's libraries, adapters of PEFT's."""
