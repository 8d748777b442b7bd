"""One module a step, in their order; ``down_revision`` names the one before."""
