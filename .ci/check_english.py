"""Check that docstrings open with an imperative verb, and that texts use the project's vocabulary.

Usage: python .ci/check_english.py [FILE OR FOLDER ...]
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("faststyle", "benchmarks", "docs", "tests", ".ci")
# First words of a function's docstring that are no imperative verb.
OPENERS = """
a all also an and any as at because before below beside both but by each either every few for from her
his how i if into it its last less many most my neither next no none nor not nothing of on once one or
other our out over per second some such than that the their them then there these they this those to two
under until up we what when where whether which while who whose with without you
"""
WORDS = {
    r"pictures?": "image",
    r"(?<!gradient )clips?(?! gradients)": "video",
    r"films?": "video",
    r"ready styles?": "built-in style",
    r"flags?": "option",
    r"mend(s|ed|ing)?": "fix",
    r"told|talks?": "printed, logged or reported",
    r"a person|somebody|whoever": "the user or the caller",
    r"strips?": "band or chunk",
    r"steadiness|steadier": "temporal consistency",
    r"rooms?|houses?|doors?": "module or package",
}
VOCABULARY = re.compile(rf"\b({'|'.join(f'(?:{word})' for word in WORDS)})\b", re.IGNORECASE)
NAMES = re.compile(r"\b(MOST|LEAST|LARGEST|SMALLEST)(_\w+)?\b")
CODE = re.compile(r"(?m)^ *[\w, ]+:|``.*?``|`.*?`|\S*[_/.=<>(){}\[\]]\S+|--?[a-z]\S*|[A-Za-z]+\w*[A-Z]\w*")
SENTENCE = re.compile(r"\w+ \w+ \w+")


def main() -> None:
    places = [Path(name) for name in sys.argv[1:] or FOLDERS]
    files = [
        file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]
    found = [f"{file}:{line}" for file in files for line in faults(file)]
    print("\n".join(found) or f"{len(files)} files, no faults")
    sys.exit(bool(found))


def faults(file: Path) -> Iterator[str]:
    """Yield a file's faults, each with its line."""
    source = file.read_text()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from opener_faults(node)
    for line, text in texts(source, tree):
        for match in VOCABULARY.finditer(CODE.sub(" ", text)):
            word = next(plain for word, plain in WORDS.items() if re.fullmatch(word, match[0], re.IGNORECASE))
            yield f"{line}: {match[0]!r}: write {word}"
    for number, line in enumerate(source.splitlines(), start=1):
        if file.name != "check_english.py" and (match := NAMES.search(line)):
            yield f"{number}: {match[0]}: name a bound MAX_ or MIN_, with its unit"


def opener_faults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield a fault where a docstring opens with no verb; properties and fixtures are named by nouns."""
    decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
    docstring = ast.get_docstring(node)
    if docstring is None or "property" in decorators or "fixture" in decorators:
        return
    first = re.match(r"[A-Za-z'-]*", docstring)
    if first is None or not first[0] or first[0].lower() in OPENERS.split():
        yield f"{node.lineno}: {node.name}: open the docstring with an imperative verb"


def texts(source: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and strings that are sentences, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SENTENCE.search(node.value):
            yield node.lineno, node.value


if __name__ == "__main__":
    main()
