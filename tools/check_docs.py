#!/usr/bin/env python3
"""Holds the documents to the tree: what they name exists.

    tools/check_docs.py [--root DIR] [--bin DIR]

For every Markdown file of the repository:
  * a relative link resolves, and its #anchor is a heading of the target;
  * a path in `code` that starts with a folder of this repository exists;
  * in a fenced block or in `code`, a script, a `make` target and a preset exist;
  * with --bin (the folder of a build's executables), every `kiln <verb> --flag` is in its --help.
"""
import argparse
import functools
import json
import pathlib
import re
import subprocess
import sys

FENCE = re.compile(r"^(```|~~~)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FOLDERS = ("engine", "kernels", "models", "apps", "bench", "tests", "docs", "tools", "scripts",
           "docker", "cmake", ".ci")
PATH = re.compile(r"^(?:\./)?((?:%s)/[\w./+*-]*\w?)(?::\d+)?$" % "|".join(map(re.escape, FOLDERS)))
SCRIPT = re.compile(r"^(?:\./)?((?:scripts|tools|\.ci|bench)/[\w./-]+)$")
SHELL_WORDS = re.compile(r"[^\s|;&()<>]+")


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@functools.lru_cache(maxsize=None)
def anchors(file: pathlib.Path) -> frozenset[str]:
    text = FENCE.sub("", file.read_text("utf-8"))
    explicit = re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)
    return frozenset([slug(h) for h in HEADING.findall(text)] + explicit)


def link_fault(root: pathlib.Path, file: pathlib.Path, target: str) -> str | None:
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    path, _, anchor = target.partition("#")
    goal = (root / path.lstrip("/") if path.startswith("/") else file.parent / path) if path else file
    if not goal.exists():
        return f"link to {target}: no such file"
    if anchor and goal.suffix == ".md" and anchor not in anchors(goal.resolve()):
        return f"link to {target}: no such heading"
    return None


class Commands:
    """What the Makefile, the presets and the executables know."""

    def __init__(self, root: pathlib.Path, binaries: pathlib.Path | None):
        self.root, self.binaries = root, binaries
        self.checked_flags = 0
        makefile = root / "Makefile"
        text = makefile.read_text("utf-8") if makefile.is_file() else ""
        self.make_targets = set(re.findall(r"^([\w-]+):(?!=)", text, re.MULTILINE))
        presets = root / "CMakePresets.json"
        named = json.loads(presets.read_text("utf-8")) if presets.is_file() else {}
        self.presets = {p["name"] for p in named.get("configurePresets", [])}

    @functools.lru_cache(maxsize=None)
    def help_of(self, words: tuple[str, ...]) -> str | None:
        """The --help text of `kiln words...`; None when that is no command."""
        run = subprocess.run([self.binaries / "kiln", *words, "--help"], capture_output=True,
                             text=True, timeout=60, check=False)
        return run.stdout + run.stderr if run.returncode == 0 else None

    def faults(self, command: str) -> list[str]:
        words = SHELL_WORDS.findall(command)
        while words and re.fullmatch(r"\w+=\S*|sudo|time|\$", words[0]):
            words = words[1:]
        if not words:
            return []
        faults = []
        if (script := SCRIPT.match(words[0])) and not (self.root / script[1]).exists():
            faults.append(f"`{command}`: {words[0]} does not exist")
        if words[0] == "make":
            faults += [f"`{command}`: no target {w} in the Makefile" for w in words[1:]
                       if re.fullmatch(r"[a-z][\w-]*", w) and w not in self.make_targets]
        if words[0] in ("cmake", "ctest"):
            named = re.findall(r"--preset[= ](\S+)", command)
            faults += [f"`{command}`: no preset {p}" for p in named if p not in self.presets]
        program = words[0].rsplit("/", 1)[-1]
        if re.fullmatch(r"kiln(-[a-z]+)?", program) and self.binaries:
            verb = [program.removeprefix("kiln-")] if program != "kiln" else []
            faults += self.kiln_faults(command, verb + words[1:])
        return faults

    def kiln_faults(self, command: str, words: list[str]) -> list[str]:
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            return []
        verb = tuple(words[:1])
        text = self.help_of(verb)
        if text is None:
            return [f"`{command}`: `kiln {words[0]}` is no command"]
        if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
            text = text + (self.help_of(tuple(words[:2])) or "")
        faults = []
        for flag in (w.split("=")[0] for w in words if re.match(r"--[a-z]", w)):
            self.checked_flags += 1
            if not re.search(re.escape(flag) + r"(?![\w-])", text):
                faults.append(f"`{command}`: {flag} is not in `kiln {words[0]} --help`")
        return faults


def fenced_commands(block: str) -> list[str]:
    """The lines of a fenced block that may be commands, continuations joined."""
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    lines = [re.sub(r"^\s*\$\s+", "", line).strip() for line in lines]
    return [re.sub(r"\s#\s.*$", "", line) for line in lines if line and not line.startswith("#")]


def path_fault(root: pathlib.Path, code: str) -> str | None:
    match = PATH.match(code)
    if not match:
        return None
    path = match[1].rstrip("/")
    found = any(root.glob(path)) if "*" in path else (root / path).exists()
    return None if found else f"`{code}` does not exist"


def check_file(root: pathlib.Path, file: pathlib.Path, commands: Commands) -> list[str]:
    text = file.read_text("utf-8")
    prose = FENCE.sub("", text)
    faults = [link_fault(root, file, target) for target in LINK.findall(INLINE.sub("", prose))]
    for code in INLINE.findall(prose):
        faults.append(path_fault(root, code))
        faults += commands.faults(code)
    for _, block in FENCE.findall(text):
        for command in fenced_commands(block):
            faults += commands.faults(command)
    return [f"{file.relative_to(root)}: {fault}" for fault in faults if fault]


def documents(root: pathlib.Path) -> list[pathlib.Path]:
    skipped = {"build", ".git", "data", "node_modules"}
    return sorted(file for file in root.rglob("*.md")
                  if not any(part in skipped or part.startswith(".venv")
                             for part in file.relative_to(root).parts[:1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--bin", type=pathlib.Path, help="folder with kiln and kiln-<verb>")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    binaries = arguments.bin.resolve() if arguments.bin else None
    if binaries and not (binaries / "kiln").is_file():
        print(f"check_docs: {binaries}/kiln does not exist")
        return 1
    commands = Commands(root, binaries)
    files = documents(root)
    faults = [fault for file in files for fault in check_file(root, file, commands)]
    for fault in faults:
        print(fault)
    print(f"check_docs: {len(files)} documents, {commands.checked_flags} flags, "
          f"{len(faults)} faults")
    if not files:
        print("check_docs: found no document; wrong --root?")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
