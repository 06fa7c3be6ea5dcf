import unittest

from fixture import ToolTest

KILN = """#!/bin/sh
case "$1" in
  train) echo "--epochs N   --batch-size N" ;;
  data) case "$2" in synth) echo "--images N" ;; *) echo "synth info" ;; esac ;;
  *) exit 2 ;;
esac
"""
GOOD = {
    "README.md": """# Kiln
See [the mathematics](docs/math.md#the-soft-max), [home](https://example.org), [top](#kiln).
The check is `scripts/check`; cases lie in `tests/a.cpp:3` and `tests/*.cpp`.
```
$ scripts/check --all   # everything
make build
cmake --preset release
kiln train --epochs 3 \\
    --batch-size=4
kiln data synth DIR --images 3
[link](in/a/fence.md)
```
""",
    "docs/math.md": "# Mathematics\n## The `soft-max`\n",
    "scripts/check": "\n",
    "tests/a.cpp": "\n",
    "Makefile": "build:\n\ttrue\n",
    "CMakePresets.json": '{"configurePresets": [{"name": "release"}]}',
}


class CheckDocs(ToolTest):
    def check(self, extra: str) -> tuple[int, str]:
        self.write(GOOD | {"docs/extra.md": extra, "bin/kiln": KILN})
        (self.root / "bin/kiln").chmod(0o755)
        return self.run_tool("check_docs.py", "--root", self.root, "--bin", self.root / "bin")

    def assert_fault(self, extra: str, words: str) -> None:
        code, output = self.check(extra)
        self.assertEqual(code, 1, output)
        self.assertIn(words, output)
        self.assertIn(" 1 faults", output)

    def test_true_documents_pass(self):
        code, output = self.check("fine\n")
        self.assertEqual(code, 0, output)
        self.assertIn("3 documents, 3 flags, 0 faults", output)

    def test_dead_link(self):
        self.assert_fault("[x](nowhere.md)\n", "nowhere.md: no such file")

    def test_dead_anchor(self):
        self.assert_fault("[x](math.md#no)\n", "math.md#no: no such heading")

    def test_missing_path(self):
        self.assert_fault("`engine/core/gone.h`\n", "`engine/core/gone.h` does not exist")

    def test_missing_script_in_a_fence(self):
        self.assert_fault("```sh\nscripts/gone --now\n```\n", "scripts/gone does not exist")

    def test_missing_make_target(self):
        self.assert_fault("```\nmake bild\n```\n", "no target bild")

    def test_missing_preset(self):
        self.assert_fault("```\nctest --preset relese\n```\n", "no preset relese")

    def test_unknown_flag(self):
        self.assert_fault("```\nkiln train --epoch 3\n```\n", "--epoch is not in")

    def test_unknown_flag_of_a_second_word(self):
        self.assert_fault("`kiln data synth DIR --pictures 3`\n", "--pictures is not in")

    def test_unknown_verb(self):
        self.assert_fault("```\nbuild/bin/kiln trane --epochs 3\n```\n", "is no command")

    def test_no_documents_is_a_mistake(self):
        code, _ = self.run_tool("check_docs.py", "--root", self.root)
        self.assertEqual(code, 1)


if __name__ == "__main__":
    unittest.main()
