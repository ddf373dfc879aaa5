"""A plain training loop on a simulated GPU, which does not use rnnprof.

    python benchmarks/performance/plain_loop.py '{"cell": "lstm", "native": true, ...}' BATCH...

``plain_loop_truth`` runs it.  It loads the libraries that the environment names, then torch, and
trains each batch in its own process, forked before the first CUDA call.  It prints one line of JSON
for each batch: the training steps that passed, and the error that ended them.
"""

import ctypes
import itertools
import json
import os
import sys
import typing


def train(wanted: dict[str, typing.Any], batch: int, passed: list[int]) -> int:
    """What people write: each variable lives until the next step replaces it."""
    import torch

    torch.backends.cudnn.enabled = not wanted["native"]
    total_bytes = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((wanted["limit_bytes"] + 0.5) / total_bytes)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn-tanh": torch.nn.RNN}[wanted["cell"]]
    model = layer(wanted["input_size"], wanted["hidden_size"]).cuda()
    optimizer = torch.optim.Adam(model.parameters())
    signs = itertools.cycle((1.0, -1.0))
    for _ in range(wanted["training_steps"]):
        x = torch.empty(wanted["time_steps"], batch, wanted["input_size"], device="cuda").uniform_()
        optimizer.zero_grad(set_to_none=True)
        output, state = model(x)  # noqa: RUF059  # the loop holds it
        loss = output.square().mean() * next(signs)
        loss.backward()
        optimizer.step()
        passed.append(torch.cuda.max_memory_reserved())
    return torch.cuda.max_memory_allocated()


def outcome(wanted: dict[str, typing.Any], batch: int) -> dict[str, typing.Any]:
    passed: list[int] = []
    error, allocated_bytes = "", None
    try:
        allocated_bytes = train(wanted, batch, passed)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}".partition("\n")[0]
    return {
        "batch": batch,
        "train_steps_run": len(passed),
        "error": error,
        "reserved_bytes": passed[-1] if passed else None,
        "allocated_bytes": allocated_bytes,
    }


def main() -> None:
    for file in os.environ["RNNPROF_SIMULATED_LIBRARY"].split(os.pathsep):
        ctypes.CDLL(file, ctypes.RTLD_GLOBAL)
    import torch._dynamo  # noqa: F401  # the first step of an optimizer imports it

    for batch in sys.argv[2:]:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            print(json.dumps(outcome(json.loads(sys.argv[1]), int(batch))), flush=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            raise SystemExit(f"batch {batch}: its process ended with {status}")


if __name__ == "__main__":
    main()
