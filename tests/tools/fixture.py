"""A tree of files in a temporary folder, and a tool run on it."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, encoding="utf-8")

    def run_tool(self, name: str, *arguments, env=None) -> tuple[int, str]:
        command = [sys.executable, "-B", str(TOOLS / name), *map(str, arguments)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        return run.returncode, run.stdout + run.stderr
