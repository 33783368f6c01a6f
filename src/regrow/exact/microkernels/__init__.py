"""Products of whole operands on the processor's own units for small integers."""
