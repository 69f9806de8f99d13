"""Tell whether a training that was stopped has learned its style."""

# Previews of a run of the_scream from starry_night looked like the start model at step 20, were muddy until
# step 150, and had the painting's colours and strokes at step 160. A start saves two thirds of the steps.
MIN_STEPS = 200
MIN_STEPS_FROM_SCRATCH = 600


def has_learned(steps: int, has_start: bool) -> bool:
    """Return True if a model has the painting's style after so many steps.

    Args:
        steps: Number of training steps done.
        has_start: Whether training started from a trained model.
    """
    return steps >= (MIN_STEPS if has_start else MIN_STEPS_FROM_SCRATCH)
