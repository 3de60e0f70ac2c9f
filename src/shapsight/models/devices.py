"""Where a model runs: what "auto", "cpu", "cuda:1" and the like mean, everywhere."""

from __future__ import annotations

import torch

from shapsight.errors import ModelError

AUTO = "auto"
AUTOMATIC = (
    "cuda",
    "mps",
)  # on which everything runs, training included; others are taken when they are named


def chosen_device(name: str) -> torch.device:
    """The device of that name; of "auto" a CUDA or Apple GPU where the machine has one, otherwise the CPU.

        chosen_device("auto")       # cuda, mps, or cpu
        chosen_device("cuda:1")

    Raises `ModelError` for a device that this machine does not have, or a name that is none.
    """
    if name == AUTO:
        found = torch.accelerator.current_accelerator(check_available=True)
        return found if found is not None and found.type in AUTOMATIC else torch.device("cpu")
    try:
        device = torch.empty(0, device=name).device
        if device.type == "meta":
            raise RuntimeError("it holds shapes, but no numbers")
        return device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # torch's own words for a name that it does not know are a list of all that it does.
        why = "" if "device type at start" in str(error) else f": {str(error).strip().splitlines()[0]}"
        raise ModelError(
            f"--device {name} is not to be had here{why}. There are auto, cpu, and cuda, cuda:1 or mps where torch "
            "finds them"
        ) from error
