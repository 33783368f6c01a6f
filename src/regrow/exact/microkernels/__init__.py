"""Fused products on the processor's own units for small integers: AMX, VNNI, or those of words."""
