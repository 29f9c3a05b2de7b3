"""A project may come from anybody: each trick is one clear error, and nothing is written."""

from __future__ import annotations

import json

import pytest

from jobcell.desk.importing import run
from jobcell.input import yaml_text
from jobcell.input.errors import BadInputError

JOB = "name: a\n    adaptor: common\n    body: fn(s => s)\n"


def flow(*steps, **more):
    """Return the text of a workflow."""
    return json.dumps({"name": "w", "steps": list(steps), **more})


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)  # fmt: skip
CASES = {
    "aliases": ("p.yaml", BOMB, r"p.yaml:2:8: has an alias 'a'; write the value again"),
    "alias without anchor": ("p.yaml", "a: *b\n", r"p.yaml:1:4: has an alias 'b'"),
    "merge key": ("p.yaml", "a: &a {b: 1}\nc: {<<: *a}\n", r"p.yaml:2:9: has an alias 'a'"),
    "tag": ("p.yaml", "a: !!python/object/apply:os.system ['id']\n", r"p.yaml:1:4: has a tag"),
    "deep yaml": ("p.yaml", "a: " + "[" * 101, r"is nested more than 100 levels deep"),
    "deep json": ("p.json", "[" * 200_000, r"nested too deep|not JSON"),
    "double key": ("p.yaml", "workflows:\n  w:\n    jobs: {}\n  w:\n    jobs: {}\n", r"p.yaml:4:3: has the same key 'w' twice in one object"),
    "double json key": ("p.json", '{"steps": [], "steps": []}', r"'steps' is there twice"),
    "number as key": ("p.yaml", "jobs:\n  1: {}\n", r"p.yaml:2:3: has a key '1' that is not text; write it in double quotes"),
    "tab": ("p.yaml", "jobs:\n\ta: {}\n", r"p.yaml:2:1: is not YAML"),
    "many values": ("p.yaml", "a: [" + "1," * 2001 + "]", r"p.yaml:1:\d+: has more than 2,000 values"),
    "two documents": ("p.yaml", "a: 1\n---\nb: 1\n", r"p.yaml:2:1: has a second document; a file has one"),
    "no yaml": ("p.yaml", "a: [1\nb: {", r"p.yaml:\d+:\d+: is not YAML"),
    "no json": ("p.json", '{"a": 1,\n"b"', r"p.json:2: is not JSON"),
    "latin-1": ("p.yaml", "name: Zoë\n".encode("latin-1"), r"is not UTF-8 text: byte 9"),
    "utf-16": ("p.yaml", "name: x\n".encode("utf-16"), r"is not UTF-8"),
    "nul": ("p.yaml", "name: a\0b\n", r"p.yaml:1:8: has the control character"),
    "a list": ("p.yaml", "- 1\n", r"must be an object with workflows or steps, not a list"),
    "a text": ("p.yaml", "hello\n", r"not a text"),
    "empty": ("p.yaml", "", r"not nothing"),
    "other keys": ("p.yaml", "image: x\n", r"neither workflows, jobs nor steps, but 'image'"),
    "another suffix": ("p.txt", "a: 1", r"must end with"),
    "no workflow": ("p.yaml", "workflows: {}\n", r"has no workflow"),
    "workflow is a text": ("p.yaml", "workflows: {w: x}\n", r"p.yaml:1:13: each item of workflows must be an object; 'w' is a text"),
    "path out": ("w.json", flow({"id": "a", "expression": "../../x.js"}), r"'../../x.js' is outside"),
    "absolute path": ("w.json", flow({"id": "a", "expression": "/etc/x.js"}), r"must be relative"),
    "home": ("w.json", flow({"id": "a", "expression": "./~/../../x.js"}), r"is outside"),
    "file url": ("w.json", flow({"id": "a", "expression": "file:///etc/x.js"}), r"must be relative"),
    "body out": ("p.yaml", "jobs:\n  a:\n    name: a\n    body: {path: ../x.js}\ntriggers: {}\nedges: {}\n", r"p.yaml:4:5: '../x.js' is outside"),
    "a plan of ours": ("w.json", flow({"id": "a", "expression": "jobs/a.py"}), r"expression is the Python file 'jobs/a.py', so this is a plan of jobcell"),
    "missing script": ("w.json", flow({"id": "a", "expression": "./nope.js"}), r"'./nope.js' does not exist"),
    "directory": ("w.json", flow({"id": "a", "expression": "./dir.js"}), r"is not a file"),
    "large script": ("w.json", flow({"id": "a", "expression": "./large.js"}), r"more than 8,000,000 bytes"),
    "double id": ("w.json", flow({"id": "a", "expression": "fn(s => s)"}, {"id": "a", "expression": "fn(s => s)"}), r"'a' is there twice; rename one"),
    "same slug": ("w.json", flow({"id": "A b", "expression": "fn(s => s)"}, {"id": "a-b", "expression": "fn(s => s)"}), r"'a-b' and 'A b' both get the id 'a-b'"),
    "same workflow": ("p.yaml", "workflows:\n  - {name: a/b, steps: [{id: x}]}\n  - {name: a b, steps: [{id: x}]}\n", r"both get the id 'a-b'"),
    "no letters": ("w.json", flow({"id": "../..", "expression": "fn(s => s)"}), r"neither letters nor digits"),
    "long name": ("w.json", flow({"id": "a" * 300, "expression": "fn(s => s)"}), r"longer than 100 bytes"),
    "circle": ("w.json", flow({"id": "a", "expression": "fn(s => s)", "next": "b"}, {"id": "b", "expression": "fn(s => s)", "next": "a"}), r"circle|cycle|loop"),
    "missing step": ("w.json", flow({"id": "a", "expression": "fn(s => s)", "next": "zebra"}), r"the step 'zebra' after 'a' is not there; there are: 'a'"),
    "missing start": ("w.json", flow({"id": "a", "expression": "fn(s => s)"}, start="zebra"), r"zebra"),
    "missing job": ("p.yaml", f"jobs:\n  a:\n    {JOB}edges:\n  e: {{source_job: a, target_job: b}}\n", r"p.yaml:\d+:\d+: the edge 'e': target_job 'b' is not there; there are: 'a'"),
    "edge without source": ("p.yaml", f"jobs:\n  a:\n    {JOB}edges:\n  e: {{target_job: a}}\n", r"needs target_job, and either source_trigger or source_job"),
    "unknown condition": ("p.yaml", f"jobs:\n  a:\n    {JOB}edges:\n  e: {{source_job: a, target_job: a, condition_type: maybe}}\n", r"condition_type 'maybe' is not known"),
    "unknown trigger": ("p.yaml", f"jobs:\n  a:\n    {JOB}triggers:\n  t: {{type: pigeon}}\n", r"the type 'pigeon' is not known"),
    "double edge": ("p.yaml", f"jobs:\n  a:\n    {JOB}  b:\n    {JOB.replace('name: a', 'name: b')}edges:\n  e: {{source_job: a, target_job: b}}\n  f: {{source_job: a, target_job: b}}\n", r"two edges go from 'a' to 'b'"),
    "body is a number": ("p.yaml", "jobs:\n  a: {name: a, body: 3}\nedges: {}\n", r"body must be a text or a path, not a number"),
    "bad state file": ("w.json", flow({"id": "a", "expression": "fn(s => s)", "state": "./large.json"}), r"is not JSON"),
    "old missing trigger": ("p.yaml", "jobs:\n  a: {expression: x, trigger: t}\ntriggers: {}\n", r"the trigger 't' of the job 'a' is not there"),
    "old circle": ("p.yaml", "jobs:\n  a: {expression: x, trigger: t}\n  b: {expression: x, trigger: u}\ntriggers:\n  t: {success: b}\n  u: {success: a}\n", r"only follows jobs that follow it"),
    "workspace out": ("openfn.yaml", "workspace: {dirs: {workflows: ../..}}\n", r"is outside"),
    "workspace empty": ("openfn.yaml", "workspace: {dirs: {workflows: none}}\n", r"no file of a workflow"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_project_is_one_clear_error(tmp_path, monkeypatch, name):
    """The error names the file, and a line where it can."""
    if name == "many values":
        # A test of `yaml_text` reads as many as the real limit allows, which takes 3 s of a processor.
        monkeypatch.setattr(yaml_text, "MAX_VALUES", 2000)
    file, content, message = CASES[name]
    (tmp_path / "project" / "dir.js").mkdir(parents=True)
    path = tmp_path / "project" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if name == "large script":
        (tmp_path / "project" / "large.js").write_text("x" * 8_000_001)
    (tmp_path / "project" / "large.json").write_text("x")
    (tmp_path / "x.js").write_text("stolen")
    with pytest.raises(BadInputError, match=message) as found:
        run(path, tmp_path / "out", force=False, json=False)
    assert len(found.value.lines) == 1
    assert str(path) in found.value.lines[0]
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_project_is_not_read(tmp_path):
    """The twin: a link inside of the project is read."""
    (tmp_path / "p").mkdir()
    (tmp_path / "secret.js").write_text("fn(s => ({ ...s, stolen: true }))")
    (tmp_path / "p" / "inside.js").write_text("fn(s => s)")
    link = tmp_path / "p" / "a.js"
    (tmp_path / "p" / "w.json").write_text(flow({"id": "a", "expression": "./a.js"}))
    link.symlink_to(tmp_path / "secret.js")
    with pytest.raises(BadInputError, match="is outside of the directory of the project"):
        run(tmp_path / "p" / "w.json", tmp_path / "out", force=False, json=False)
    link.unlink()
    link.symlink_to("inside.js")
    assert run(tmp_path / "p" / "w.json", tmp_path / "out", force=False, json=False) == 0


def test_a_name_with_a_path_stays_below_the_directory(tmp_path):
    """Names become ids of letters, digits and dashes."""
    (tmp_path / "w.json").write_text(
        json.dumps({"name": "../../x", "steps": [{"id": "../y", "expression": "fn(s => s)"}]})
    )
    run(tmp_path / "w.json", tmp_path / "out", force=False, json=False)
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == ["TODO.md", "x/plan.json", "x/y.js", "x/y.py"]


def test_a_text_cannot_add_lines_to_a_file(tmp_path):
    """A line break or a quote in a name stays in its place."""
    evil = 'a\n"""\nimport os\n'
    (tmp_path / "w.json").write_text(
        flow(
            {
                "id": evil,
                "name": evil,
                "expression": f"fn(s => s)\n// {evil}",
                "adaptor": "x\n- [x] y",
            }
        )
    )
    run(tmp_path / "w.json", tmp_path / "out", force=False, json=True)
    todo = (tmp_path / "out" / "TODO.md").read_text()
    assert "\n- [x] y" not in todo
    for path in (tmp_path / "out").rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert "\nimport os" not in path.read_text()
