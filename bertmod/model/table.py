"""Modules by id, whatever the id."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping

from torch import nn


class ModuleTable(nn.Module):
    """Modules by id, in the order they were given; parameters are named ``<id>.<parameter>``.

    Torch's own dictionary of modules refuses ids such as ``train``, ``type`` or ``values`` that
    are names of its methods; tasks may be called so.

    Args:
        modules: Id to module; ids have no dot.

    Raises:
        ValueError: If an id is empty or has a dot.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add(name, module)

    def add(self, name: str, module: nn.Module) -> None:
        """Put a module behind the others, or in the place of one of that id.

        Raises:
            ValueError: If the id is empty or has a dot.
        """
        if not name or "." in name:
            raise ValueError(f'"{name}" cannot name a part of a model')
        self._modules[name] = module

    def remove(self, name: str) -> None:
        """Take a module out."""
        del self._modules[name]

    def __getitem__(self, name: str) -> nn.Module:
        module = self._modules[name]
        assert module is not None
        return module

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def items(self) -> ItemsView[str, nn.Module | None]:
        """Ids and modules."""
        return self._modules.items()
