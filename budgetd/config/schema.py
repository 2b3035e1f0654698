"""The JSON schema of the configuration, for editors.

Made from the models, where every description is; docs/config.schema.json is a copy that a test
keeps fresh. A schema checks form only: relations between settings are `checks`' and `budgetd config
check` tells them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from budgetd.config.settings import Settings

FILE = Path("docs/config.schema.json")  # in a checkout
DIALECT = "https://json-schema.org/draft/2020-12/schema"


SHORT_BUDGET = {
    "type": "string",
    "pattern": r"^\$?[\d.]+( per | ?/ ?| (?=total$))\S+$",
    "examples": ["2.00 per 5h", "$10 / week", "50 total", "2.00 per session", "0.50 per agent"],
    "description": "A budget in a line: an amount, per, and a window, or session, or agent.",
}
BUDGET = {"$ref": "#/$defs/BudgetSettings"}
BUDGETS = {"type": "array", "items": BUDGET}
NOTHING = {"type": "null"}
# What a section may be instead of a map: the models' own short forms, which pydantic cannot tell.
SHORT_FORMS: dict[str, list[dict[str, Any]]] = {
    "BudgetSettings": [SHORT_BUDGET],
    "KeySettings": [SHORT_BUDGET, BUDGETS, NOTHING],
    "DefaultKeySettings": [SHORT_BUDGET, BUDGETS],
    "ProviderSettings": [NOTHING],
}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a configuration file."""
    made = Settings.model_json_schema(mode="validation")
    made.pop("title", None)
    for name, forms in SHORT_FORMS.items():
        long = made["$defs"][name]
        made["$defs"][name] = {"description": long.pop("description", ""), "anyOf": [long, *forms]}
    return {"$schema": DIALECT, "title": "budgetd configuration", **_tidy(made)}


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write(path: Path = FILE) -> None:
    """Write the file anew."""
    path.write_text(schema_text(), encoding="utf-8")


def _tidy(value: Any) -> Any:
    """Without the titles that pydantic makes of names, and with one budget for a list of one."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    tidy = {
        name: {field: _tidy(below) for field, below in inner.items()}
        if name in ("properties", "$defs")
        else _tidy(inner)
        for name, inner in value.items()
        if name != "title"
    }
    if "description" in tidy and tidy.get("items") == BUDGET:
        rest = {name: tidy.pop(name) for name in ("description", "default") if name in tidy}
        return {**rest, "anyOf": [tidy, BUDGET]}
    if tidy.get("additionalProperties") == BUDGETS:
        tidy["additionalProperties"] = {"anyOf": [BUDGETS, BUDGET, NOTHING]}
    return tidy


if __name__ == "__main__":
    write()
