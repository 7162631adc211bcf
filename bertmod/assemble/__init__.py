"""From a resolved recipe to objects: the only caller of builders."""
