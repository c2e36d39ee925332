"""Words: mail, nudges, escalations, and how they are handed over."""
