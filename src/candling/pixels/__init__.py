"""Functions on arrays: reading, preparing, cutting, showing; no state."""
