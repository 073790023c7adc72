"""National policy: 590 agents draft one policy for each of 31 departments, and citizens test them."""
