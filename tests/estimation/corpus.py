"""Content as agents meet it: files, diffs, logs, dumps and texts in many scripts, made from a seed.

A kind of content is a function from a random stream and a length, in characters, to a text of about
that length. Code comes from the standard library of the Python that runs the tests; everything else
is put together here. Knows nothing of requests or tokens.
"""

from __future__ import annotations

import base64
import difflib
import functools
import json
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.estimation.words import ADJECTIVES, NOUNS, SCRIPTS, VERBS

Maker = Callable[[Random, int], str]


@functools.cache
def library() -> tuple[str, ...]:
    """The texts of the standard library's own modules."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted([*folder.glob("*.py"), *folder.glob("asyncio/*.py"), *folder.glob("email/*.py")])
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    return tuple(text for text in texts if len(text) > 4_000)


def repeated(size: int, make: Callable[[int], str], joint: str = "\n") -> str:
    """`make(0)`, `make(1)` and so on, until it is long enough."""
    parts: list[str] = []
    length = 0
    while length < size:
        part = make(len(parts))
        parts.append(part)
        length += len(part) + len(joint)
    return joint.join(parts)[:size]


def name(random: Random) -> str:
    """An identifier in the snake case."""
    return f"{random.choice(VERBS)}_{random.choice(NOUNS)}"


def camel(random: Random) -> str:
    return random.choice(VERBS) + random.choice(NOUNS).title() + random.choice(["", "Id", "s"])


def path(random: Random) -> str:
    folders = "/".join(random.choice(NOUNS) for _ in range(random.randrange(1, 5)))
    return (
        f"{folders}/{name(random)}.{random.choice(['py', 'ts', 'go', 'rs', 'md', 'json', 'tsx'])}"
    )


def stamp(random: Random) -> str:
    day, second = random.randrange(1, 29), random.randrange(86_400)
    return f"2026-03-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{random.randrange(1000):03}Z"


def token(random: Random, length: int) -> str:
    """A string of letters and digits as they are in ids."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(random.choices(alphabet, k=length))


def uuid(random: Random) -> str:
    digits = f"{random.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def sentence(random: Random) -> str:
    pick = random.choice
    forms = (
        f"The {pick(ADJECTIVES)} {pick(NOUNS)} must {pick(VERBS)} the {pick(NOUNS)} before it {pick(VERBS)}s.",
        f"Do not {pick(VERBS)} a {pick(NOUNS)} that another {pick(NOUNS)} still holds; {pick(VERBS)} it instead.",
        f"When a {pick(NOUNS)} is {pick(ADJECTIVES)}, {pick(VERBS)} the {pick(NOUNS)} and {pick(VERBS)} again.",
        f"It looks as if `{name(random)}` never {pick(VERBS)}s the {pick(NOUNS)} (see `{path(random)}`).",
        f"Each {pick(NOUNS)} has at most {random.randrange(2, 90)} {pick(NOUNS)}s, so {pick(VERBS)} them in order.",
        f"I will {pick(VERBS)} the {pick(NOUNS)} first, because the {pick(ADJECTIVES)} {pick(NOUNS)} depends on it.",
    )
    return pick(forms)


def source(random: Random, size: int) -> str:
    text = random.choice(library())
    start = random.randrange(max(len(text) - size, 1))
    return text[start : start + size]


def numbered(random: Random, size: int) -> str:
    """A file as reading tools show it, every line with its number."""
    lines = source(random, size * 4 // 5).split("\n")
    first = random.randrange(1, 900)
    return "\n".join(f"{number:6}→{line}" for number, line in enumerate(lines, first))


def diff(random: Random, size: int) -> str:
    old = source(random, size * 2).split("\n")
    new = list(old)
    for _ in range(max(len(old) // 12, 1)):
        place = random.randrange(len(new))
        new[place : place + random.randrange(2)] = [f"    {name(random)} = {name(random)}()"]
    file = path(random)
    changes = difflib.unified_diff(old, new, f"a/{file}", f"b/{file}", lineterm="")
    return f"diff --git a/{file} b/{file}\n" + "\n".join(changes)[:size]


FOREIGN = (
    (
        "export async function {c}({n}: {N}[], limit = {d}): Promise<{N}> {{\n  const {m} = await {n}.{c}();\n"
        "  if (!{m} || {m}.length > limit) throw Error(`{n}: ${{{m}.length}}`);\n  return {{ ...{m}[0], {n} }};\n}}\n"
    ),
    (
        "func (s *{N}) {M}(ctx context.Context, {n} []byte) (int, error) {{\n\tif err := s.{c}(ctx); err != nil {{\n"
        '\t\treturn {d}, fmt.Errorf("{n}: %w", err)\n\t}}\n\treturn len({n}), nil\n}}\n'
    ),
    (
        "impl<'a> {N} for {M}<'a> {{\n    fn {s}(&mut self, {n}: &'a [u8]) -> Result<usize, {N}Error> {{\n"
        "        self.{n}.iter().filter(|x| x.{s}() >= {d}).map(Into::into).collect()\n    }}\n}}\n"
    ),
    (
        "public final class {M} extends {N}<String> {{\n    private final Map<String, {N}> {n} = new HashMap<>({d});\n"
        '    @Override public void {c}(@NonNull {N} {m}) {{ this.{n}.put("{n}", {m}); }}\n}}\n'
    ),
    (
        "static int {s}(struct {n} *p, size_t len)\n{{\n\tfor (size_t i = 0; i < len; i++)\n\t\tif (p[i].{n} & 0x{x})\n"
        "\t\t\treturn -E{U};\n\treturn {d};\n}}\n"
    ),
    (
        "SELECT t.{n}_id, COUNT(*) AS {m} FROM {n}s t LEFT JOIN {m}s m ON m.id = t.{m}_id\n"
        "WHERE t.{n} IN ({d}, {d}) AND m.created_at >= '2026-01-01' GROUP BY 1 HAVING COUNT(*) > {d};\n"
    ),
)


def foreign(random: Random, size: int) -> str:
    form = random.choice(FOREIGN)

    def block(_: int) -> str:
        noun, other = random.choice(NOUNS), random.choice(NOUNS)
        words = {"n": noun, "m": other, "N": noun.title(), "M": other.title(), "U": noun.upper()}
        figures = {"d": random.randrange(4_000), "x": f"{random.getrandbits(16):x}"}
        return form.format(c=camel(random), s=name(random), **words, **figures)

    return repeated(size, block)


def markup(random: Random, size: int) -> str:
    def block(_: int) -> str:
        one, two = random.choice(NOUNS), random.choice(NOUNS)
        return (
            f'<div class="{one}-{two} px-{random.randrange(9)}" onClick={{() => {camel(random)}("{uuid(random)}")}}>\n'
            f'  <span data-{one}="{random.randrange(999)}">{sentence(random)}</span>\n</div>'
        )

    return repeated(size, block)


def minified(random: Random, size: int) -> str:
    def block(_: int) -> str:
        a, b, c = random.choices("abcdefghijklmnopqrstuvwxyz", k=3)
        forms = (
            f"function {a}{b}({c}){{return {c}&&{c}.{camel(random)}?{a}({c},{random.randrange(99)}):void 0}}",
            f"var {a}={{{b}:!0,{c}:[{random.randrange(9)},{random.randrange(9)}],t:/^[\\w-]+$/g}};",
            f'{a}.exports={b}=>({{..."{random.choice(NOUNS)}",{c}:{b}??[]}}),',
        )
        return random.choice(forms)

    return repeated(size, block, "")


def log(random: Random, size: int) -> str:
    def line(_: int) -> str:
        level = random.choice(["INFO ", "INFO ", "DEBUG", "WARN ", "ERROR"])
        about = f"{random.choice(NOUNS)}={token(random, 8)} took={random.randrange(9000)}ms"
        return f"{stamp(random)} {level} [{random.choice(NOUNS)}-{random.randrange(64)}] {sentence(random)} {about}"

    return repeated(size, line)


def trace(random: Random, size: int) -> str:
    def frame(_: int) -> str:
        where = f'  File "/srv/{path(random)}", line {random.randrange(2000)}, in {name(random)}'
        return f"{where}\n    {name(random)}({name(random)})"

    text = "Traceback (most recent call last):\n" + repeated(size, frame)
    return f"{text}\n{random.choice(NOUNS).title()}Error: {sentence(random)}"


def value(random: Random, depth: int) -> object:
    """Any JSON value, nested at most so deep."""
    kind = random.randrange(8) if depth else random.randrange(5)
    if kind < 5:
        plain: list[object] = [
            random.randrange(10**6),
            random.random(),
            uuid(random),
            sentence(random),
            None,
        ]
        return plain[kind]
    if kind == 5:
        return [value(random, depth - 1) for _ in range(random.randrange(5))]
    return {name(random): value(random, depth - 1) for _ in range(random.randrange(1, 6))}


def json_text(random: Random, size: int) -> str:
    indent = random.choice([None, 2, 4])
    return repeated(size, lambda _: json.dumps(value(random, 3), indent=indent))


def yaml_text(random: Random, size: int) -> str:
    def block(_: int) -> str:
        rows = [
            f"{'  ' * random.randrange(1, 4)}{random.choice(NOUNS)}: {random.choice(ADJECTIVES)}"
            for _ in range(4)
        ]
        return f"{name(random)}:\n" + "\n".join(rows) + f"\n  - {path(random)}"

    return repeated(size, block)


def table(random: Random, size: int) -> str:
    return repeated(
        size,
        lambda _: ",".join(
            f"{random.uniform(-999, 9999):.{random.randrange(5)}f}" for _ in range(9)
        ),
    )


def encoded(random: Random, size: int) -> str:
    text = base64.b64encode(random.randbytes(size * 3 // 4)).decode()
    return text if random.random() < 0.5 else textwrap.fill(text, 76)


def hexes(random: Random, size: int) -> str:
    if random.random() < 0.5:
        return random.randbytes(size // 2).hex()
    return repeated(
        size,
        lambda n: (
            f"{n * 16:08x}  {random.randbytes(8).hex(' ')}  {random.randbytes(8).hex(' ')}  |................|"
        ),
    )


def uuids(random: Random, size: int) -> str:
    return repeated(size, lambda _: uuid(random))


def lock(random: Random, size: int) -> str:
    def entry(_: int) -> str:
        version = ".".join(str(random.randrange(30)) for _ in range(3))
        return f'name = "{random.choice(NOUNS)}"\nversion = "{version}"\nchecksum = "{random.randbytes(32).hex()}"'

    return repeated(size, entry)


def matches(random: Random, size: int) -> str:
    """What searching for a word in a tree shows."""
    return repeated(
        size,
        lambda _: (
            f"{path(random)}:{random.randrange(900)}:    {name(random)}({random.choice(NOUNS)})"
        ),
    )


def listing(random: Random, size: int) -> str:
    return repeated(
        size,
        lambda _: (
            f"-rw-r--r-- 1 dev dev {random.randrange(10**6):7} Mar {random.randrange(1, 31):2} 10:42 {path(random)}"
        ),
    )


def tests(random: Random, size: int) -> str:
    def line(_: int) -> str:
        verdict = random.choice(["PASSED", "PASSED", "FAILED"])
        return f"tests/{path(random)}::test_{name(random)} {verdict} [{random.randrange(100):3}%]"

    return (
        repeated(size, line)
        + f"\n===== {random.randrange(90)} passed in {random.random() * 90:.2f}s ====="
    )


def prose(random: Random, size: int) -> str:
    def part(number: int) -> str:
        if number % 5 == 0:
            return f"## {random.choice(ADJECTIVES).title()} {random.choice(NOUNS)}s"
        return " ".join(sentence(random) for _ in range(random.randrange(1, 5)))

    return repeated(size, part, "\n\n")


def script(random: Random, size: int) -> str:
    """Text in one of the scripts that are not Latin, some words of code among it."""
    phrases = random.choice(list(SCRIPTS.values()))
    return repeated(
        size,
        lambda n: random.choice(phrases) + (f"`{name(random)}`" if n % 7 == 6 else ""),
        random.choice(["", "\n"]),
    )


def one_line(random: Random, size: int) -> str:
    """A terminal's output that was never broken: progress, colours, carriage returns."""
    return repeated(
        size,
        lambda n: (
            f"\x1b[2K\r\x1b[32m{'#' * (n % 40)}\x1b[0m {n % 101}% {random.uniform(0, 99):.1f}MB/s"
        ),
        "",
    )


def garbage(random: Random, size: int) -> str:
    """A binary file, read as text."""
    return random.randbytes(size // 2).decode("utf-8", "replace").replace("\x00", "\ufffd")


def quoted(random: Random, size: int) -> str:
    """What needs escaping in JSON: Windows paths, regular expressions, JSON in strings."""

    def line(_: int) -> str:
        inner = json.dumps({name(random): f'C:\\{random.choice(NOUNS)}\\"{random.choice(NOUNS)}"'})
        return f'"{json.dumps(inner)}" =~ ^\\s*\\[\\d+\\]\\t(?:"|\\\\")$'

    return repeated(size, line)


# How often agents meet each of them.
KINDS: dict[Maker, int] = {
    numbered: 26, source: 12, foreign: 8, diff: 5, markup: 3, minified: 1, log: 6, trace: 4, tests: 5,
    json_text: 7, yaml_text: 3, table: 3, encoded: 2, hexes: 2, uuids: 1, lock: 2, matches: 10,
    listing: 6, prose: 6, script: 4, one_line: 1, garbage: 1, quoted: 1,
}  # fmt: skip  # a table


def some(random: Random, size: int) -> str:
    """Content of about so many characters, of any kind."""
    maker = random.choices(list(KINDS), list(KINDS.values()))[0]
    return maker(random, size)


def length(random: Random) -> int:
    """How long a tool's result is, in characters: half under 2,800, some cut at 30,000."""
    return min(int(random.lognormvariate(7.9, 1.15)), 30_000)
