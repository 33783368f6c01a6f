"""The kernels on a CUDA device: ``kernels`` is what runs there, ``launch`` takes and gives torch tensors."""
