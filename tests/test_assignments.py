"""Other values for the assignments at the top of a file: which are replaced, and which are not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rnnprof.assignments import check_assignments, constants, set_names, split_assignments
from rnnprof.errors import BadInputError
from rnnprof.workload import ScriptPlace


def after(source: str, *, is_main: bool = True, **values: str) -> dict[str, object]:
    """What the file binds when it runs, with the values set."""
    tree = set_names(ast.parse(source), values, "train.py", is_main=is_main)
    names: dict[str, object] = {"__name__": "__main__" if is_main else "train"}
    exec(compile(tree, "train.py", "exec"), names)
    return names


@pytest.mark.parametrize(
    "source",
    [
        "BATCH = 32",
        "BATCH: int = 32",
        "BATCH = 4 * 8 - (1 << 2)",
        "BATCH = -1",
        "SEQ, BATCH = 30, 32",
        "[SEQ, BATCH] = (30, 32)",
        "if True:\n    BATCH = 32",
        "try:\n    BATCH = 32\nfinally:\n    pass",
        "import contextlib\nwith contextlib.nullcontext() as f:\n    BATCH = 32",
        "if __name__ == '__main__':\n    BATCH = 32",
        "BATCH = 32\ndef f():\n    BATCH = 3\n    return BATCH",
        "BATCH = 32\ndef f():\n    global BATCH\n    return BATCH",
        "BATCH = 32\nclass A:\n    BATCH = 1",
        "BATCH = 32\nsizes = [BATCH for _ in range(2)]",
        "BATCH: int\nBATCH = 32",
        "BATCH = None",
        "BATCH = '32'",
    ],
)
def test_an_assignment_at_the_top_has_the_new_value(source: str) -> None:
    assert after(source, BATCH="64")["BATCH"] == 64


def test_only_that_assignment_has_it() -> None:
    found = after("SEQ, BATCH = 30, 32\nLR = 0.1\nTOTAL = SEQ * BATCH\n", BATCH="64")
    assert (found["SEQ"], found["LR"], found["TOTAL"]) == (30, 0.1, 30 * 64)


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), (" 6e-1 ", 0.6), ("[1, 2]", [1, 2]), ("None", None), ("True", True), ("-3", -3),
     ("'64'", "64"), ("adam", "adam"), ("", ""), ("os.system('x')", "os.system('x')"),
     ("runs/64", "runs/64"), ("(" * 500, "(" * 500)],
)  # fmt: skip
def test_a_text_is_a_literal_or_a_string(text: str, value: object) -> None:
    assert after("X = 1", X=text)["X"] == value


def test_lines_of_tracebacks_stay() -> None:
    tree = set_names(ast.parse("\n\nX = (1 +\n  2)\n"), {"X": "[3, 4]"}, "train.py")
    lines = {each.lineno for each in ast.walk(tree) if isinstance(each, (ast.expr, ast.stmt))}
    assert lines == {3}


REFUSED = {
    "BATCH = 1\nBATCH = 2": r"binds BATCH 2 times \(line 1 assigns it, line 2 assigns it\)",
    "if X:\n  BATCH = 1\nelse:\n  BATCH = 2": "binds BATCH 2 times",
    "BATCH = 1\nfor BATCH in range(3): pass": "line 2 binds it in a loop",
    "BATCH = 1\nBATCH += 1": "line 2 changes it",
    "BATCH = 1\nfrom a import BATCH": "line 2 imports it",
    "BATCH = 1\nimport x as BATCH": "line 2 imports it",
    "BATCH = 1\ndef BATCH(): pass": "line 2 defines it",
    "BATCH = 1\nclass BATCH: pass": "line 2 defines it",
    "BATCH = 1\nprint(BATCH := 2)": "line 2 binds it",
    "BATCH = 1\nwith open('x') as BATCH: pass": "line 2 binds it",
    "BATCH = 1\ntry: pass\nexcept OSError as BATCH: pass": "line 3 binds it to an ex",
    "BATCH = 1\ndef f():\n  global BATCH\n  BATCH = 2": "line 4 changes it in the function f",
    "BATCH = 1\ndef f():\n  global BATCH\n  BATCH += 2": "line 4 changes it in the function f",
    "BATCH = 1\nmatch 3:\n  case BATCH: pass": "line 3 binds it by a pattern",
    "for i in range(2):\n  BATCH = 3": "line 2 binds it in a loop: only an assignment",
    "from config import BATCH": "line 1 imports it: only an assignment",
    "A = BATCH = 3": "together with another name",
    "A, BATCH = 3 * [3]": "takes it from a sequence",
    "A, *BATCH = 3, 3": "takes it from a sequence",
    "BATCH = args.batch_size": r"line 1 computes BATCH \(args\.batch_size\): give the",
    "x = 1\nBATCH = int('3')": r"line 2 computes BATCH \(int\('3'\)\)",
    "BATCH = N * 2": "computes BATCH",
    "BATCH = [i for i in 'ab']": "computes BATCH",
    "BATCH = int(os.environ.get('BS', 3))": "give its variable by --env instead",
    "BATCH_SIZE = 3": "has no assignment to BATCH at its top; did you mean 'BATCH_SIZE'",
    "X = 3": "it assigns X",
    "print()": "nor any other",
    "from config import *": r"may take it from config: write --set config\.BATCH=",
    "def main():\n  BATCH = 3": r"only inside the function main \(line 2\)",
    "class C:\n  BATCH = 3": r"only inside the class C \(line 2\)",
}


@pytest.mark.parametrize(("source", "said"), REFUSED.items(), ids=REFUSED)
def test_what_could_mean_something_else_is_refused(source: str, said: str) -> None:
    tree = ast.parse(source)
    before = ast.dump(tree)
    with pytest.raises(BadInputError, match=said):
        set_names(tree, {"BATCH": "64"}, "train.py")
    assert ast.dump(tree) == before


def test_the_guard_of_a_module_that_is_imported_does_not_run() -> None:
    with pytest.raises(BadInputError, match="no assignment to BATCH"):
        after("if __name__ == '__main__':\n    BATCH = 32", is_main=False, BATCH="64")
    source = "if __name__ == '__main__':\n    BATCH = 32\nelse:\n    BATCH = 33"
    assert after(source, is_main=False, BATCH="64")["BATCH"] == 64


def test_names_go_to_their_modules() -> None:
    given = {"A": "1", "config.A": "2", "pkg.config.B": "3", "C": "4"}
    assert split_assignments(given) == {
        "": {"A": "1", "C": "4"}, "config": {"A": "2"}, "pkg.config": {"B": "3"},
    }  # fmt: skip


def test_constants_are_what_can_be_set() -> None:
    source = "A = 3\nB = f()\nC = 1\nC = 2\nD, E = 'x', 5\n"
    assert constants(ast.parse(source)) == {"A": 3, "D": "x", "E": 5}


# ---- before anything runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src" / "pkg").mkdir(parents=True)
    (tmp_path / "src" / "train.py").write_text("import config\nBATCH = 1\n")
    (tmp_path / "src" / "config.py").write_text("SEQ = 1\n")
    (tmp_path / "src" / "pkg" / "__init__.py").write_text("raise SystemExit('it was imported')\n")
    (tmp_path / "src" / "pkg" / "sizes.py").write_text("WIDE = 1\n")
    return tmp_path


def place(folder: Path, **assignments: str) -> ScriptPlace:
    named = {name.replace("__", "."): text for name, text in assignments.items()}
    return ScriptPlace(str(folder / "src" / "train.py"), assignments=named)


def test_modules_are_found_beside_the_script_and_not_imported(folder: Path) -> None:
    check_assignments(
        place(folder, BATCH="{batch}", config__SEQ="{time_steps}", pkg__sizes__WIDE="3"), folder
    )


def test_modules_are_found_in_the_working_folder_and_on_the_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "here.py").write_text("A = 1\n")
    other = tmp_path_factory.mktemp("other")
    (other / "there.py").write_text("A = 1\n")
    check_assignments(place(folder, here__A="1"), folder)
    with pytest.raises(BadInputError, match="no module 'there'"):
        check_assignments(place(folder, there__A="1"), folder)
    monkeypatch.setenv("PYTHONPATH", str(other))
    check_assignments(place(folder, there__A="1"), folder)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        ({"BATHC": "{batch}"}, "did you mean 'BATCH'"),
        (
            {"config__SEC": "1"},
            r"config\.py has no assignment to SEC at its top; did you mean 'SEQ",
        ),
        ({"confg__SEQ": "1"}, r"--set confg\.SEQ: there is no module 'confg'"),
        ({"config__sub__SEQ": "1"}, "there is no module 'config.sub'"),
        ({"train__BATCH": "1"}, "is the script itself: write --set BATCH="),
        ({"math__pi": "3"}, "no module 'math' with a .py file"),
    ],
)
def test_what_is_not_there_is_told(folder: Path, assignments: dict[str, str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        check_assignments(place(folder, **assignments), folder)
