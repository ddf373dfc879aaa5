"""A GPU that is described, not present: torch's CUDA build runs on a small C library of ours.

The library answers the documented calls of the CUDA runtime and driver, cuBLAS, cuDNN's recurrent
layers and NVML that torch imports.  It gives out addresses, charges memory against the size of
the described GPU, and runs no kernel: memory is torch's own, times do not exist, and every value
reads as zero.  Nothing here imports torch.
"""
