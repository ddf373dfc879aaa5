"""What the peak is made of, the law it follows over B and T, and the work of a step."""
