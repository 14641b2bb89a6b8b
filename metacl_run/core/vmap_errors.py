"""What torch's messages about code that it cannot map over seeds mean for the author of a method or a model."""

from __future__ import annotations

AT_ONCE = "which torch.vmap cannot do for all seeds at once"

MEANINGS = (
    (
        ("calling .item()",),
        "the code reads the value of a tensor, as .item(), float(), int(), and within a gradient F.one_hot, do, "
        f"{AT_ONCE}. Keep it a tensor",
    ),
    (
        ("data-dependent control flow",),
        f"the code branches on the value of a tensor, as `if tensor:` does, {AT_ONCE}. Compute both sides, and choose with "
        "torch.where",
    ),
    (
        ("Tensor that doesn't have storage",),
        f"the code takes the numbers out of a tensor, as .numpy() and .tolist() do, {AT_ONCE}. Keep them a tensor",
    ),
    (
        ("support dynamic shape",),
        f"the code makes a tensor whose size depends on values, as a boolean mask, nonzero and unique do, {AT_ONCE}. Keep "
        "every element, and give those that do not count the weight 0",
    ),
    (
        ("called random operation",),
        "the code draws random numbers, so that a run could not be continued or repeated. What a method may draw comes with "
        "the data of the unit: an episode, samples from the replay buffer, and under online uniform numbers "
        "(ReplaySpec.uniforms)",
    ),
    (
        (
            "backward() called inside a functorch",
            "does not require grad and does not have a grad_fn",
            "Tensor.requires_grad_()",
        ),
        "the code takes a gradient by backward(), torch.autograd.grad or requires_grad_(). Take torch.func.grad of a function "
        "of the parameters",
    ),
    (
        ("inplace arithmetic", "is being used in an in-place operation"),
        "the code changes a tensor in place, as add_() and `x[0] = y` do. Compute a new one, as by torch.where or torch.stack",
    ),
    (
        ("must only return Tensors",),
        "the code returns something else than tensors. Return a number as a tensor without dimensions",
    ),
)
"""Parts of torch's messages, and what they mean."""


INSTEAD = (("one_hot", "In place of F.one_hot(y, ways), `y[:, None] == torch.arange(ways, device=y.device)` does the same"),)
"""Functions that torch cannot map, by a word in the line of code, and what to take for them."""


def meaning(message: str, code: str = "") -> str | None:
    """Returns in plain words what a message of torch.vmap or torch.func asks for; None for any other message.

    Args:
        code: the line that it comes from, "" if that is not known.
    """
    plain = next((plain for parts, plain in MEANINGS if any(part in message for part in parts)), None)
    if plain is None:
        return None
    return ". ".join([plain, *(advice for word, advice in INSTEAD if word in code)])
