"""One agent: its conversation, its prompts, what its recruiter must tell it."""
