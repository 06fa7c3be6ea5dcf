"""docker/Dockerfile as data: stages with their steps, and what an image says of how to run it.

Reads the part of the language that the file uses: FROM, ARG, ENV, RUN, COPY, LABEL, USER, WORKDIR,
EXPOSE, STOPSIGNAL, and ENTRYPOINT and CMD in exec form. Everything else is an error, so that what
tools/container-check does and what the file says cannot drift apart.
"""
import dataclasses
import json
import re
import shlex

# What `docker run` gives a process of an image that does not say otherwise.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KNOWN = {"ARG", "ENV", "RUN", "COPY", "LABEL", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL",
         "ENTRYPOINT", "CMD"}


class DockerfileError(Exception):
    pass


@dataclasses.dataclass
class Step:
    line: int
    keyword: str
    text: str


@dataclasses.dataclass
class Stage:
    name: str
    base: str  # an image, `scratch`, or the name of an earlier stage
    steps: list[Step]


@dataclasses.dataclass
class Config:
    """Of an image: how `docker run` would start it."""
    environment: dict[str, str]
    labels: dict[str, str]
    user: str = "0"
    workdir: str = "/"
    ports: tuple[int, ...] = ()
    stop_signal: str = "SIGTERM"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def instructions(text: str) -> list[Step]:
    """Comments left out, continued lines joined."""
    found: list[Step] = []
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (whole or line.strip()):
            continue
        first = first if whole else number
        if line.rstrip().endswith("\\"):
            whole += line.rstrip()[:-1]
            continue
        keyword, _, rest = (whole + line).strip().partition(" ")
        found.append(Step(first, keyword.upper(), rest.strip()))
        whole = ""
    if whole:
        raise DockerfileError("the last line is continued by nothing")
    return found


def parse(text: str) -> list[Stage]:
    stages: list[Stage] = []
    for step in instructions(text):
        if step.keyword == "FROM":
            match = re.fullmatch(r"(\S+)(?:\s+AS\s+([a-z][a-z0-9-]*))?", step.text)
            if not match:
                raise DockerfileError(f"line {step.line}: FROM {step.text} is not understood")
            stages.append(Stage(match[2] or f"stage-{len(stages)}", match[1], []))
        elif step.keyword not in KNOWN:
            raise DockerfileError(f"line {step.line}: {step.keyword} is not understood")
        elif not stages:
            raise DockerfileError(f"line {step.line}: {step.keyword} before any FROM")
        else:
            stages[-1].steps.append(step)
    if len({stage.name for stage in stages}) != len(stages):
        raise DockerfileError("two stages have one name")
    return stages


def stage_named(stages: list[Stage], name: str) -> Stage | None:
    return next((stage for stage in stages if stage.name == name), None)


def pairs(step: Step) -> dict[str, str]:
    """NAME=VALUE of LABEL, ENV and ARG; an ARG may lack its value."""
    found = {}
    for word in shlex.split(step.text):
        name, equals, value = word.partition("=")
        if not equals and step.keyword != "ARG":
            raise DockerfileError(f"line {step.line}: {step.keyword} {word} has no value")
        found[name] = value
    return found


def exec_form(step: Step) -> tuple[str, ...]:
    try:
        words = json.loads(step.text)
    except json.JSONDecodeError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(f"line {step.line}: {step.keyword} is not in exec form: a shell "
                              "would stand between the signals and the program")
    return tuple(words)


def with_variables(text: str, environment: dict[str, str]) -> str:
    return re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda m: environment.get(m[1], ""), text)


def apply(config: Config, step: Step) -> None:
    """The steps that change no file."""
    if step.keyword == "ENV":
        before = dict(config.environment)  # a step's variables do not see each other
        for name, value in pairs(step).items():
            config.environment[name] = with_variables(value, before)
    elif step.keyword == "LABEL":
        config.labels.update(pairs(step))
    elif step.keyword == "USER":
        config.user = step.text
    elif step.keyword == "WORKDIR":
        config.workdir = step.text if step.text.startswith("/") else f"{config.workdir}/{step.text}"
    elif step.keyword == "EXPOSE":
        config.ports += tuple(int(port) for port in step.text.split())
    elif step.keyword == "STOPSIGNAL":
        config.stop_signal = step.text
    elif step.keyword == "ENTRYPOINT":
        config.entrypoint, config.command = exec_form(step), ()
    elif step.keyword == "CMD":
        config.command = exec_form(step)


def config_of(stages: list[Stage], name: str) -> Config:
    """Through all the stages that the one named begins from."""
    stage = stage_named(stages, name)
    if stage is None:
        return Config({"PATH": DEFAULT_PATH}, {})
    config = config_of(stages[:stages.index(stage)], stage.base)
    for step in stage.steps:
        apply(config, step)
    return config
