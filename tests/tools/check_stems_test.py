import unittest

from fixture import ToolTest

GOOD = {
    "kernels/include/pool2d_shape.h": "struct Pool2dShape {};\n",
    "kernels/include/relu.h": "struct ReluArgs {};\n",
    "kernels/include/relu_grad.h": "struct ReluGradArgs {};\n",
    "kernels/cpu/relu.cpp": "\n",
    "kernels/cpu/relu_grad_simd.cpp": "\n",
    "kernels/cuda/relu.cu": "\n",
    "kernels/cuda/relu_grad.cu": "\n",
    "tests/kernels/relu_test.cpp": "\n",
    "bench/kernels/relu_bench.cpp": "\n",
    "tests/reference/relu.h": "\n",
}


class CheckStems(ToolTest):
    def test_complete_ops_pass(self):
        self.write(GOOD)
        code, output = self.run_tool("check_stems.py", "--root", self.root)
        self.assertEqual(code, 0, output)
        self.assertIn("2 ops, 0 faults", output)

    def test_each_missing_stem_is_found(self):
        for path, what in [("kernels/cpu/relu.cpp", "relu: no body"),
                           ("kernels/cpu/relu_grad_simd.cpp", "relu_grad: no body"),
                           ("kernels/cuda/relu_grad.cu", "relu_grad: no GPU kernel"),
                           ("tests/kernels/relu_test.cpp", "relu: no test"),
                           ("bench/kernels/relu_bench.cpp", "relu: no benchmark"),
                           ("tests/reference/relu.h", "relu: no oracle")]:
            with self.subTest(path):
                self.write(GOOD)
                (self.root / path).unlink()
                code, output = self.run_tool("check_stems.py", "--root", self.root)
                self.assertEqual(code, 1, output)
                self.assertIn(what, output)

    def test_an_empty_tree_is_a_mistake(self):
        code, _ = self.run_tool("check_stems.py", "--root", self.root)
        self.assertEqual(code, 1)


if __name__ == "__main__":
    unittest.main()
