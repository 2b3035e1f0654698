"""A simulated LLM provider that keeps its own bill: for `budgetd demo` and for the tests.

It speaks OpenAI's and Anthropic's dialects over real sockets, misbehaves on request, and writes
down what a provider would have charged, with its own prices and its own token counts. It is an
independent witness and imports nothing else of budgetd.
"""

from budgetd.simulator.bill import Bill, BillLine, read_bill
from budgetd.simulator.front import Clocks, RecordedRequest
from budgetd.simulator.prices import MODELS, Model, Rate, Tokens, rate
from budgetd.simulator.script import Script, ScriptError
from budgetd.simulator.server import Simulator

__all__ = [
    "MODELS",
    "Bill",
    "BillLine",
    "Clocks",
    "Model",
    "Rate",
    "RecordedRequest",
    "Script",
    "ScriptError",
    "Simulator",
    "Tokens",
    "rate",
    "read_bill",
]
