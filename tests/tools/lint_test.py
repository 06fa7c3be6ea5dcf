"""tools/lint reports every planted fault, and what clang-tidy reports without the plug-in."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from fixture import TOOLS, ToolTest

HOME = TOOLS.parent
PLANTED = HOME / "tests/tools/planted"
REPORT = re.compile(r"(\w+\.(?:h|cpp)):(\d+):\d+: \w+: .*\[([\w.-]+)")


def planted_faults() -> set[tuple[str, int, str]]:
    return {(path.name, number, line.split("// fault: ")[1])
            for path in PLANTED.iterdir()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if "// fault: " in line}


def reported_faults(output: str) -> set[tuple[str, int, str]]:
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return {(name, int(line), check) for name, line, check in REPORT.findall(output)}


class Lint(ToolTest):
    def write_commands(self, source: pathlib.Path, *flags: str) -> None:
        """One command for the source with each of the flags."""
        commands = [{"directory": str(self.root), "file": str(source),
                     "command": f"clang++ -std=c++20 -I{HOME} {flag} -c {source}"}
                    for flag in flags]
        self.write({"build/compile_commands.json": json.dumps(commands)})
        self.build = self.root / "build"

    def test_every_planted_fault_is_reported(self):
        self.write_commands(PLANTED / "planted.cpp", "")
        code, output = self.run_tool("lint", "--build", self.build)
        self.assertEqual(code, 1, output)
        self.assertGreater(len(planted_faults()), 15)
        self.assertEqual(reported_faults(output), planted_faults(), output)
        plain = subprocess.run(
            ["clang-tidy-14", "-quiet", "-p", str(self.build), str(PLANTED / "planted.cpp")],
            capture_output=True, text=True, check=False)
        self.assertEqual(reported_faults(plain.stdout), planted_faults(), plain.stdout)

    def test_commands_and_mistakes(self):
        self.write({"good.cpp": "int main() {}\n"})
        source = self.root / "good.cpp"
        for flags, code, words in [
                (["-DA", "-DB", "-DKILN_ISA=avx2", "-DC -DKILN_ISA=avx2", "-DKILN_ISA=avx512"], 0,
                 "clang-tidy: 1 sources, 3 commands"),
                (["-include no_such_file.h"], 1, "'no_such_file.h' file not found")]:
            with self.subTest(words):
                self.write_commands(source, *flags)
                status, output = self.run_tool("lint", "--build", self.build)
                self.assertEqual(status, code, output)
                self.assertIn(words, output)
        status, output = self.run_tool("lint", "--build", self.build, "no_such_path")
        self.assertEqual(status, 1, output)
        self.assertIn("no source matched", output)

    def test_what_the_build_wrote_is_not_checked(self):
        self.write({"good.cpp": "int main() {}\n", "build/faulty.cpp": "int Main(int* a) {}\n"})
        self.write_commands(self.root / "good.cpp", "")
        commands = self.build / "compile_commands.json"
        written = commands.read_text(encoding="utf-8")
        both = json.loads(written) + json.loads(written.replace("good.cpp", "build/faulty.cpp"))
        commands.write_text(json.dumps(both), encoding="utf-8")
        status, output = self.run_tool("lint", "--build", self.build)
        self.assertEqual(status, 0, output)
        self.assertIn("clang-tidy: 1 sources, 1 commands", output)

    def test_recent_changes_alone(self):
        """Three sources with the same fault; the last commit changed one, and a header of another."""
        for name in ("lint", "own_sources.cpp"):
            self.write({f"tools/{name}": (TOOLS / name).read_text(encoding="utf-8")})
        (self.root / "tools/lint").chmod(0o755)
        self.write({".clang-tidy": (HOME / ".clang-tidy").read_text(encoding="utf-8"),
                    ".gitignore": "/build/\n", "part.h": "#pragma once\n"})
        fault = "int* nothing() { return 0; }\n"
        for name in ("old", "new", "part"):
            self.write({f"{name}.cpp": ('#include "part.h"\n' if name == "part" else "") + fault})
        self.write({"build/compile_commands.json": json.dumps(
            [{"directory": str(self.root), "file": str(self.root / f"{name}.cpp"),
              "command": f"clang++ -std=c++20 -I{self.root} -c {self.root}/{name}.cpp"}
             for name in ("old", "new", "part")])})
        git = ["git", "-C", str(self.root), "-c", "user.name=test", "-c", "user.email=test@test"]

        def lint(*options: str) -> tuple[set[str], str]:
            done = subprocess.run([self.root / "tools/lint", "--build", self.root / "build", *options],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            return {name for name, _, _ in reported_faults(done.stdout)}, done.stdout

        subprocess.run([*git, "init", "-q"], check=True)
        for more in ("", "// changed\n"):
            for name in ("new.cpp", "part.h"):
                with open(self.root / name, "a", encoding="utf-8") as file:
                    file.write(more)
            subprocess.run([*git, "add", "-A"], check=True)
            subprocess.run([*git, "commit", "-qm", "next"], check=True)
        self.assertEqual(lint("--recent", "1")[0], {"new.cpp", "part.cpp"})
        faults, output = lint("--recent", "2")
        self.assertEqual(faults, {"old.cpp", "new.cpp", "part.cpp"})
        self.assertIn("everything is read", output)


if __name__ == "__main__":
    probe = subprocess.run([sys.executable, TOOLS / "lint", "--build", "no_such_folder"],
                           capture_output=True, text=True, check=False)
    if probe.stderr.startswith("lint: no clang-tidy-14"):
        print("SKIPPED: " + probe.stderr)
        sys.exit(77)
    unittest.main()
