"""Parameters of a built model that a recipe freezes."""

from __future__ import annotations

from fnmatch import fnmatchcase

from bertmod.errors import Problem, RecipeError
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.freezing import is_frozen
from bertmod.recipe.parameters import Parameter, declared
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.schema import FreezeKeys


def freeze_parameters(recipe: ResolvedRecipe, model: MultiTaskModel) -> None:
    """Switch off the gradients of all that the recipe freezes.

    Raises:
        RecipeError: If a pattern matches no parameter, or a task has nothing left to train:
            what could not be told before adapters and heads were built.
    """
    rows = recipe.encoder.spec.names(recipe.encoder.config)
    known = {parameter.name: parameter for parameter in declared("encoder.", rows)}
    for name, tensor in model.named_parameters():
        parameter = known.get(name, Parameter(name))
        if is_frozen(recipe.freeze, parameter, recipe.shape.num_hidden_layers):
            tensor.requires_grad_(False)
    problems = [*_unmatched(recipe, model), *_left_without(model)]
    if problems:
        raise RecipeError(recipe.title, problems)


def _unmatched(recipe: ResolvedRecipe, model: MultiTaskModel) -> list[Problem]:
    patterns = recipe.freeze.patterns if isinstance(recipe.freeze, FreezeKeys) else ()
    names = [name for name, _ in model.named_parameters()]
    return [
        Problem(f"freeze.patterns[{index}]", "no parameter has a name that matches")
        for index, pattern in enumerate(patterns)
        if not any(fnmatchcase(name, pattern) for name in names)
    ]


def _left_without(model: MultiTaskModel) -> list[Problem]:
    trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    return [
        Problem("freeze", f'task "{task}" has nothing left to train: all that it uses is frozen')
        for task in model.tasks
        if not model.active(task) & trained
    ]
