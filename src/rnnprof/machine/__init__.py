"""Facts of the machine without torch: psutil, /proc, cgroups."""
