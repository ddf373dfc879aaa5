"""A GPU that is described, not present: torch's CUDA build runs on a small C library of rnnprof.

The library answers the documented calls of the CUDA runtime and driver, cuBLAS, cuDNN's recurrent
layers and NVML that torch imports.  It returns addresses, charges memory against the size of the
described GPU, and runs no kernel: torch's allocator is the real one, there are no times, and every
value reads as zero.  Nothing here imports torch.
"""
