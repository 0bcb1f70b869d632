"""From numbers to verdicts: limits and policy."""
