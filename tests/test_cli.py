# SPDX-License-Identifier: Apache-2.0
"""Words that the command does not know are refused in one sentence with the nearest one."""

from __future__ import annotations

import argparse
import importlib

import pytest

from syncam_engine.cli import COMMANDS, build_parser, main
from syncam_engine.commands.bench import BENCHES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evalute rigs", "syncam: COMMAND is 'evalute'; the nearest is evaluate; it must be one "),
        ("jobs remvoe 12ab", "syncam jobs: VERB is 'remvoe'; the nearest is remove; it must be "),
        ("jobs xyzq", "syncam jobs: VERB is 'xyzq'; it must be one of list, cancel, pause,"),
        # What is missing is missing because it was misspelt.
        ("generate --promt x", "there is no option --promt; the nearest is --prompt.\n"),
        ("render --fats", "syncam render: there is no option --fats; the nearest is --fast.\n"),
        ("--zzz", "syncam: there is no option --zzz.\n"),
        ("bench wire --rond=3", "syncam bench wire: there is no option --rond; the nearest is --"),
        ("package", "syncam package: one of these must follow: blender, unreal.\n"),
        ("keys", "syncam keys: one of these must follow: new, trust, list, revoke.\n"),
        ("train", "syncam train: config must be given.\n"),
        ("evaluate rigs more --out x", "syncam evaluate rigs: nothing takes more.\n"),
        ("render --scenes many", "render: --scenes is 'many', which is not a whole number.\n"),
        (
            "render --radius 9-3",
            "syncam render: --radius: '9-3' is not MIN-MAX, the smaller first.\n",
        ),
    ],
)
def test_mistyped_words_are_one_sentence_with_the_nearest(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage" not in error
    assert error.splitlines()[1].startswith("  fix: syncam")


def parsers_below(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from parsers_below(verb)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_explained(command):
    root = build_parser(command)
    unexplained = [
        f"{parser.prog} {(*action.option_strings, action.dest)[0]}"
        for parser in parsers_below(root)
        if parser.prog.startswith(f"syncam {command}")
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert not unexplained


@pytest.mark.parametrize("name", BENCHES)
def test_every_option_of_a_benchmark_is_explained(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"syncam_engine.devtools.bench.{name}").configure(parser)
    assert not [action.dest for action in parser._actions if not action.help]


def test_defaults_are_said_once(capsys):
    with pytest.raises(SystemExit):
        main(["data", "latents", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "cpu or cuda[:N] (cpu)" in said
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Prometheus metrics on this loopback port (none) --max-jobs" in said
    assert said.count("(64)") == 1


@pytest.mark.parametrize(
    "words",
    [
        "generate --rig RIG --prompt dog --out FILE",
        "generate --rig RIG --prompt dog --out FILE/clips",
        "evaluate rigs --out FILE",
        # Before the clips are looked for: no score is worked out that has no place.
        "evaluate clips nowhere --rig RIG --out FILE/report",
        "evaluate sheet nowhere --out FILE/sheet.png",
        "package blender --out FILE",
    ],
)
def test_an_out_that_is_a_file_is_said_to_be_no_folder(words, tmp_path, capsys):
    file, rigs = tmp_path / "notes.txt", tmp_path / "rigs"
    file.write_text("mine")
    assert main(["evaluate", "rigs", "--out", str(rigs)]) == 0
    places = {"FILE": str(file), "RIG": str(rigs / "azimuth-10.json")}
    given = [word.replace("FILE", places["FILE"]) for word in words.split()]
    assert main([places.get(word, word) for word in given]) == 2
    assert capsys.readouterr().err == f"syncam: {file} is not a folder.\n"
    assert file.read_text() == "mine"
