"""docker/Dockerfile says what SageMaker's contract wants of an image, and tools/dockerfile.py, which
tools/container-check builds by, reads it and refuses what it does not understand."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import dockerfile  # noqa: E402

STAGES = dockerfile.parse((ROOT / "docker/Dockerfile").read_text("utf-8"))
IMAGES = ("cpu", "cuda", "serve")


class Images(unittest.TestCase):
    def test_there_are_three_and_cpu_is_the_default(self):
        self.assertLessEqual(set(IMAGES), {stage.name for stage in STAGES})
        self.assertEqual(STAGES[-1].name, "cpu")

    def test_what_each_says_of_how_to_run_it(self):
        for name in IMAGES:
            with self.subTest(name):
                config = dockerfile.config_of(STAGES, name)
                for label in ("multi-models", "accept-bind-to-port"):
                    self.assertEqual(
                        config.labels[f"com.amazonaws.sagemaker.capabilities.{label}"], "true")
                self.assertEqual(config.ports, (8080,))
                self.assertEqual(config.stop_signal, "SIGTERM")
                # Local mode of SDK v3 gives no command, and trains.
                self.assertEqual(config.command, ("serve",) if name == "serve" else ("train",))
                if name != "serve":
                    self.assertEqual(config.entrypoint, ())

    def test_no_image_holds_data_below_opt_ml(self):
        for stage in STAGES:
            for step in stage.steps:
                if step.keyword in ("COPY", "WORKDIR"):
                    self.assertNotIn("/opt/ml", step.text)

    def test_the_server_alone_begins_from_nothing(self):
        serve = dockerfile.stage_named(STAGES, "serve")
        self.assertEqual(serve.base, "scratch")
        self.assertNotIn("RUN", [step.keyword for step in serve.steps])
        config = dockerfile.config_of(STAGES, "serve")
        self.assertEqual((config.entrypoint, config.command),
                         (("/usr/local/bin/kiln-serve",), ("serve",)))
        self.assertNotEqual(config.user, "0")


class Language(unittest.TestCase):
    def test_steps_variables_and_continued_lines(self):
        stages = dockerfile.parse("# words\nFROM debian:12-slim AS one\nENV A=1 B=\"two words\" \\\n"
                                  "    # a comment between\n    C=$A\nARG D=4 E\n\n"
                                  "FROM one\nWORKDIR /x\nWORKDIR y\nUSER 7:8\nCMD [\"a\", \"b\"]\n")
        self.assertEqual([(stage.name, stage.base) for stage in stages],
                         [("one", "debian:12-slim"), ("stage-1", "one")])
        self.assertEqual(dockerfile.pairs(stages[0].steps[1]), {"D": "4", "E": ""})
        config = dockerfile.config_of(stages, "stage-1")
        self.assertEqual(config.environment["B"], "two words")
        self.assertEqual(config.environment["C"], "")  # A has its value after this step only
        self.assertEqual((config.workdir, config.user, config.command), ("/x/y", "7:8", ("a", "b")))

    def test_an_entrypoint_takes_the_inherited_command_away(self):
        stages = dockerfile.parse('FROM scratch AS a\nCMD ["x"]\nFROM a AS b\nENTRYPOINT ["y"]\n')
        self.assertEqual(dockerfile.config_of(stages, "b").command, ())

    def test_what_is_not_understood_is_refused(self):
        for text in ("RUN a\n", "FROM a\nADD b c\n", "FROM a b\n", "FROM a\nHEALTHCHECK NONE\n",
                     "FROM a AS x\nFROM b AS x\n", "FROM a\nRUN b \\\n"):
            with self.subTest(text), self.assertRaises(dockerfile.DockerfileError):
                dockerfile.parse(text)
        for text in ("CMD serve", "ENTRYPOINT serve", 'CMD ["a", 1]', "ENV A", "LABEL b"):
            with self.subTest(text), self.assertRaises(dockerfile.DockerfileError):
                dockerfile.config_of(dockerfile.parse(f"FROM a AS x\n{text}\n"), "x")


if __name__ == "__main__":
    unittest.main()
