"""Several instances that act as one: who leads, for which domains, and what they know in common (spec 9)."""
