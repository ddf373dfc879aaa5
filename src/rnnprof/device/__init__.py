"""The machine and its GPUs: NVML, /proc, cgroups, selection and locks, facts for ``doctor``."""
