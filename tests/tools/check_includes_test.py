import unittest

from fixture import ToolTest

GOOD = {
    "engine/core/shape.h": "#pragma once\n#include <array>\n",
    "kernels/include/relu.h": '#pragma once\n#include "engine/core/shape.h"\n',
    "engine/train/net.cpp": '#include "kernels/include/relu.h"\n#include <nlohmann/json.hpp>\n',
}


class CheckIncludes(ToolTest):
    def check(self, extra: dict[str, str]) -> tuple[int, str]:
        self.write(GOOD | extra)
        return self.run_tool("check_includes.py", "--root", self.root)

    def assert_fault(self, extra: dict[str, str], words: str) -> None:
        code, output = self.check(extra)
        self.assertEqual(code, 1, output)
        self.assertIn(words, output)
        self.assertIn("1 faults", output)

    def test_permitted_arrows_pass(self):
        code, output = self.check({})
        self.assertEqual(code, 0, output)
        self.assertIn("3 files, 0 faults", output)

    def test_core_includes_nothing_above_it(self):
        self.assert_fault({"engine/core/bad.cpp": '#include "kernels/include/relu.h"\n'},
                          "engine/core may not include kernels")

    def test_data_and_kernels_never_meet(self):
        self.assert_fault({"engine/data/bad.cpp": '# include "kernels/include/relu.h"\n'},
                          "engine/data may not include kernels")

    def test_serving_and_training_never_meet(self):
        self.assert_fault({"engine/http/bad.cpp": '#include "engine/train/net.h"\n',
                           "engine/train/net.h": "#pragma once\n"},
                          "engine/http may not include engine/train")

    def test_boost_stays_in_sources(self):
        self.assert_fault({"engine/http/bad.h": "#pragma once\n#include <boost/beast.hpp>\n"},
                          "belongs in a .cpp file")

    def test_nothing_includes_apps(self):
        self.assert_fault({"apps/a.h": "#pragma once\n",
                           "engine/train/bad.cpp": '#include "apps/a.h"\n'},
                          "engine/train may not include apps")

    def test_includes_are_written_from_the_root(self):
        self.assert_fault({"engine/core/bad.cpp": '#include "shape.h"\n'}, "is no file")

    def test_heavy_headers_stay_in_sources(self):
        self.assert_fault({"engine/train/bad.h": "#pragma once\n#include <CLI/CLI.hpp>\n"},
                          "belongs in a .cpp file")

    def test_headers_are_guarded(self):
        self.assert_fault({"engine/core/bad.h": "int x;\n"}, "#pragma once")

    def test_a_new_folder_needs_a_room(self):
        self.assert_fault({"engine/elsewhere/a.cpp": "\n"}, "is no room")

    def test_commented_includes_do_not_count(self):
        code, output = self.check({"engine/core/a.cpp": '/*\n#include "apps/a.h"\n*/\n'})
        self.assertEqual(code, 0, output)

    def test_an_empty_tree_is_a_mistake(self):
        code, _ = self.run_tool("check_includes.py", "--root", self.root)
        self.assertEqual(code, 1)


if __name__ == "__main__":
    unittest.main()
