"""Recipes: the JSON file that describes a run, proved before a tensor is made."""
