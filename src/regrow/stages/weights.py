"""What kinds that give weights have in common."""

from regrow.recipe.kind import Released

WEIGHTS = tuple(map(Released, ("model*.safetensors*", "config.json", "generation_config.json")))
"""The files of weights that a release holds: one file of tensors, or several and their index."""
