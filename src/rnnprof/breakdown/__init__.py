"""The memory breakdown at the peak, the memory model over B and T, and the FLOPs of a step."""
