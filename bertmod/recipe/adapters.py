"""What adapters and the rest of a recipe must agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bertmod.contracts.encoder import EncoderShape
from bertmod.recipe.draft import Draft, Half, names_in
from bertmod.recipe.layers import layer_numbers, layer_problem
from bertmod.wording import did_you_mean, listed


def check_adapters(draft: Draft) -> None:
    """Adapters name tasks that train, layers and sites that the encoder has, and fit it."""
    for index, half in enumerate(draft.adapters):
        _check_adapter_tasks(draft, half)
        if draft.shape is None:
            continue
        layers = chosen_layers(half, draft.shape.num_hidden_layers)
        if what := layer_problem(half.keys.layers, draft.shape.num_hidden_layers):
            draft.add((*half.path, "layers"), what)
        elif half.ready() and _check_sites(draft, half, layers):
            _check_needs(draft, half, draft.adapters[:index], layers)
        else:
            half.config = None


def chosen_layers(half: Half, depth: int) -> tuple[int, ...]:
    """The layers that an adapter's slot chooses of an encoder with ``depth`` layers."""
    return layer_numbers(half.keys.layers, depth)


def chosen_tasks(draft: Draft, half: Half) -> tuple[str, ...]:
    """The tasks that get an adapter, in the recipe's order."""
    tasks = half.keys.tasks
    return tuple(id for id in draft.trained_ids() if tasks == "all" or id in tasks)


def _check_adapter_tasks(draft: Draft, half: Half) -> None:
    if half.keys.tasks == "all":
        return
    trained = draft.trained_ids()
    borrowers = {task.id: task.keys.uses for task in draft.tasks if task.keys.uses is not None}
    for index, name in enumerate(half.keys.tasks):
        at = (*half.path, "tasks", index)
        if name in borrowers:
            draft.add(at, f'"{name}" borrows the adapters of "{borrowers[name]}"', "leave it out")
        elif name not in trained:
            what = f'no task "{name}"{did_you_mean(name, trained)}'
            draft.add(at, what, f"tasks: {names_in(trained)}")
        elif name in half.keys.tasks[:index]:
            draft.add(at, f'"{name}" is named twice', "leave one of the two")


def _check_sites(draft: Draft, half: Half, layers: tuple[int, ...]) -> bool:
    """Whether an adapter's options fit the encoder and its sites are there."""
    assert draft.shape is not None
    right = draft.check_options(half, draft.shape, layers)
    sites = half.ask(half.spec.sites, half.config, draft.shape, layers)
    if not isinstance(sites, Mapping):
        raise half.broken(f"sites gives {type(sites).__name__}, not a mapping of sites to layers")
    missing = [site for site in sites if site not in draft.shape.sites]
    if missing:
        what = f"{half.label} acts at {listed(missing)}, which {draft.encoder.label} does not have"
        what += did_you_mean(missing[0], draft.shape.sites)
        draft.add(half.path, what, f"its sites: {listed(draft.shape.sites)}")
    if right and not missing:
        _check_answers(draft.shape, half, sites, layers)
    return right and not missing


def _check_answers(
    shape: EncoderShape, half: Half, sites: Mapping[str, Sequence[int]], layers: tuple[int, ...]
) -> None:
    """What a spec says of an adapter can be: layers that the slot chose, a whole count.

    Raises:
        PluginError: If it cannot; everything that follows goes by it.
    """
    for site, at in sites.items():
        allowed = {0} if site in shape.end_sites else set(layers)
        if beyond := sorted(set(at) - allowed):
            accepted = listed(map(str, sorted(allowed)))
            raise half.broken(f'sites names layer {beyond[0]} at "{site}", of {accepted}')
    count = half.ask(half.spec.num_parameters, half.config, shape, layers)
    if type(count) is not int or count < 0:
        given = count if isinstance(count, int | float) else type(count).__name__
        raise half.broken(f"num_parameters gives {given}, not a whole number from 0")


def _check_needs(draft: Draft, half: Half, before: list[Half], layers: tuple[int, ...]) -> None:
    """Where an adapter changes what is at a delta site, an earlier one puts something there."""
    shape = draft.shape
    assert shape is not None
    acts = half.ask(half.spec.sites, half.config, shape, layers)
    for site in sorted(half.ask(half.spec.needs_output, half.config, shape)):
        if site in acts and shape.sites[site].kind == "delta":
            _check_before(draft, half, before, site, frozenset(acts[site]))


def _check_before(
    draft: Draft, half: Half, before: list[Half], site: str, layers: frozenset[int]
) -> None:
    """For each task and layer an adapter acts at a site before this one."""
    lacking: dict[tuple[int, ...], list[str]] = {}
    for task in chosen_tasks(draft, half):
        own = [each for each in before if task in chosen_tasks(draft, each)]
        if left := layers.difference(*(_acting(draft, each, site) for each in own)):
            lacking.setdefault(tuple(sorted(left)), []).append(task)
    for unserved, tasks in lacking.items():
        where = f"layer{'s' if len(unserved) > 1 else ''} {listed(map(str, unserved))}"
        draft.add(
            half.path,
            f"{half.label} changes what adapters before it add at {site}, and none adds anything "
            f"in {where} for {names_in(tasks)}",
            f"list an adapter that acts at {site} before it, with the same tasks and layers, "
            "or choose another site",
        )


def _acting(draft: Draft, half: Half, site: str) -> set[int]:
    """Layers at which an adapter acts at a site; all, if it has problems of its own."""
    assert draft.shape is not None
    depth = draft.shape.num_hidden_layers
    if not half.ready():
        return set(range(depth))
    sites = half.ask(half.spec.sites, half.config, draft.shape, chosen_layers(half, depth))
    return set(sites.get(site, ()))
