"""Tasks that classify or grade a text or a pair of texts."""
