"""Reference pages made from the code, one module a page."""
