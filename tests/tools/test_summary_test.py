import os
import unittest

from fixture import ToolTest

RUN = '<testcase name="{0}" status="run"><system-out>fine</system-out></testcase>'
FAIL = '<testcase name="{0}" status="fail"><failure message=""/></testcase>'
SKIP = ('<testcase name="{0}" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
        "<system-out>starting\nSKIPPED: no GPU here\n</system-out></testcase>")
MISSING = ('<testcase name="{0}" status="notrun"><skipped message="Unable to find executable"/>'
           "</testcase>")


def gtest(*cases: str) -> str:
    return f'<testsuites><testsuite name="S">{"".join(cases)}</testsuite></testsuites>'


def case(name: str, inner: str = "", status: str = "run") -> str:
    return f'<testcase name="{name}" classname="S" status="{status}">{inner}</testcase>'


class TestSummary(ToolTest):
    def summarise(self, ctest: list[str], results: dict[str, str], *arguments, env=None):
        self.write({"ctest.junit.xml": f"<testsuite>{''.join(ctest)}</testsuite>"}
                   | {f"test-results/{name}.xml": text for name, text in results.items()})
        environment = {k: v for k, v in os.environ.items() if k != "KILN_REQUIRE_DEVICES"}
        return self.run_tool("test_summary.py", self.root, *arguments,
                             env=environment | (env or {}))

    def last_line(self, output: str) -> str:
        return output.strip().splitlines()[-1]

    def test_counts_cases_devices_and_reasons(self):
        skipped = '<skipped message="f.cpp:3&#x0A;no data"><![CDATA[f.cpp:3\nno data]]></skipped>'
        code, output = self.summarise(
            [RUN.format("a"), RUN.format("plain"), SKIP.format("cuda_probe")],
            {"a": gtest(case("One"), case("Two/cuda_f32"), case("Three", skipped),
                        case("DISABLED_Four", status="notrun"))},
            "--counts", self.root / "counts")
        self.assertEqual(code, 0, output)
        self.assertEqual(self.last_line(output), "3 passed, 0 failed, 3 skipped")
        self.assertRegex(output, r"cpu +2 +0 +2\n")
        self.assertRegex(output, r"cuda +1 +0 +1\n")
        self.assertIn("1  no data", output)
        self.assertIn("1  no GPU here", output)
        self.assertIn("1  disabled in the source", output)
        self.assertEqual((self.root / "counts").read_text(), "3 0 3\n")

    def test_a_failed_case_fails(self):
        code, output = self.summarise([FAIL.format("a")],
                                      {"a": gtest(case("One"), case("Two", "<failure/>"))})
        self.assertEqual(code, 1)
        self.assertIn("FAILED a: S.Two", output)
        self.assertEqual(self.last_line(output), "1 passed, 1 failed, 0 skipped")

    def test_a_crash_after_passing_cases_fails(self):
        code, output = self.summarise([FAIL.format("a")], {"a": gtest(case("One"))})
        self.assertEqual(code, 1)
        self.assertEqual(self.last_line(output), "1 passed, 1 failed, 0 skipped")

    def test_a_crash_without_a_file_fails(self):
        code, output = self.summarise([FAIL.format("a")], {})
        self.assertEqual(code, 1)
        self.assertEqual(self.last_line(output), "0 passed, 1 failed, 0 skipped")

    def test_a_failure_is_explained_by_its_own_output(self):
        output_of = "\n".join(f"line {i}" for i in range(100))
        said = ('<testcase name="{0}" status="fail" time="7.5"><failure message=""/>'
                "<system-out>{1}</system-out></testcase>")
        report = "[ RUN ] S.One\n==7==ERROR: AddressSanitizer: SEGV\n    #0 in f\n"
        _, output = self.summarise([said.format("a", report), said.format("b", output_of)], {})
        self.assertIn("FAILED a after 8 s\n  | ==7==ERROR: AddressSanitizer: SEGV\n"
                      "  |     #0 in f\n", output)
        self.assertNotIn("[ RUN ]", output)
        self.assertIn("  | line 75\n", output)
        self.assertNotIn("line 74", output)
        self.assertIn("  | line 99\n", output)

    def test_a_broken_off_file_fails(self):
        code, output = self.summarise([RUN.format("a")], {"a": "<testsuites><testsu"})
        self.assertEqual(code, 1)
        self.assertIn("broken off", output)

    def test_a_program_that_runs_no_case_fails(self):
        code, output = self.summarise([RUN.format("a")], {"a": gtest()})
        self.assertEqual(code, 1)
        self.assertIn("ran no case", output)

    def test_a_missing_executable_fails(self):
        code, output = self.summarise([RUN.format("b"), MISSING.format("a")], {})
        self.assertEqual(code, 1)
        self.assertEqual(self.last_line(output), "1 passed, 1 failed, 0 skipped")

    def test_nothing_run_fails(self):
        for tests in ([], [SKIP.format("a")]):
            code, output = self.summarise(tests, {})
            self.assertEqual(code, 1)
            self.assertIn("no test ran", output)

    def test_all_may_skip_where_that_is_said(self):
        code, output = self.summarise([SKIP.format("a")], {}, "--may-skip")
        self.assertEqual(code, 0, output)
        self.assertEqual(self.last_line(output), "0 passed, 0 failed, 1 skipped")
        code, output = self.summarise([], {}, "--may-skip")
        self.assertEqual(code, 1, output)

    def test_a_required_device_must_have_run(self):
        code, output = self.summarise([RUN.format("a")], {},
                                      env={"KILN_REQUIRE_DEVICES": "cuda"})
        self.assertEqual(code, 1)
        self.assertIn("cuda: 0 passed, at least 1 expected", output)

    def test_a_minimum_count_is_held(self):
        code, output = self.summarise([RUN.format("a")], {}, "--at-least", "cpu=2")
        self.assertEqual(code, 1)
        self.assertIn("cpu: 1 passed, at least 2 expected", output)

    def test_no_result_file_is_an_error(self):
        code, _ = self.run_tool("test_summary.py", self.root)
        self.assertEqual(code, 2)


if __name__ == "__main__":
    unittest.main()
