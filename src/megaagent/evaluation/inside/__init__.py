"""What runs inside sandboxes when a program is judged. Standard library only: each sandbox gets these files as text."""
