"""A task for bertmod that reads a folder of labelled text files."""
