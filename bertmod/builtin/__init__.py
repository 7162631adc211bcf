"""The components that bertmod ships: plugins like any other, behind the same hooks."""
