"""Fused products on the processor's own units for small integers, AMX and AVX512-VNNI."""
