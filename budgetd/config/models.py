"""The model table: how much a model takes and gives, and whether it thinks unseen.

Owns `models.json` beside it, a trimmed copy of LiteLLM's model list (MIT, see models.NOTICE) that
scripts/update-models makes. It covers the direct providers; what it does not name is None, and the
caller's settings decide. Names are found as prices are (`core.names`): exactly. Knows no prices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from budgetd.config.vendors import catalogue_name, prefixes
from budgetd.core.names import NameIndex
from budgetd.core.tariff import ModelLimits


@dataclass(frozen=True, slots=True)
class ModelTable:
    """Limits by provider and model. `source` names the list and its version."""

    source: str
    providers: Mapping[str, NameIndex[ModelLimits]]

    @classmethod
    def load(cls) -> ModelTable:
        """The table that budgetd ships with. Reads one file of the package."""
        return cls.parse((files(__package__) / "models.json").read_bytes())

    @classmethod
    def parse(cls, text: bytes) -> ModelTable:
        """From JSON: {"source": str, "providers": {provider: {model: [context, max_output, 0 or 1]}}}."""
        table = json.loads(text)
        providers = {
            provider: NameIndex(
                (
                    (name, ModelLimits(context, output, bool(thinks)))
                    for name, (context, output, thinks) in models.items()
                ),
                prefixes(provider),
            )
            for provider, models in table["providers"].items()
        }
        return cls(table["source"], providers)

    def limits(self, provider: str, model: str) -> ModelLimits | None:
        """The limits of a model, by the provider's name in the catalogue or an alias of it; None if unknown."""
        index = self.providers.get(catalogue_name(provider))
        return index.find(model) if index else None
