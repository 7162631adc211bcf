"""What this machine has, how fast it is, and what that means for a run."""
