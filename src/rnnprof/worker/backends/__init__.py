"""The devices on which training steps run."""
