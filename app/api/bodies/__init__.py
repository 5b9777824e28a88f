"""Bodies, parsed strictly: JSON or a form becomes plain values, in which faults are marked."""
