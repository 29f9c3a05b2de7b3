"""Default deny: syntax that was not reviewed is refused, in this Python and in the next one."""

from __future__ import annotations

import ast
import sys

import pytest

from sandbox_child.language.compiler import LanguageError, compile_job
from sandbox_child.language.name_rules import NameRules
from sandbox_child.language.rules import LanguageRules
from sandbox_child.language.text import walker
from sandbox_child.language.text.constructs import CONSTRUCTS, OPERATORS

MAIN = "def main(state):\n    return state\n"


class Unknown(ast.expr):
    """An expression of a Python that does not exist yet."""

    _fields = ("value",)


class NewOperator(ast.operator):
    """An operator of a Python that does not exist yet."""


def violations(tree: ast.AST) -> list[str]:
    found = LanguageRules()
    found.visit(tree)
    return [str(refusal) for refusal in found.errors]


def test_an_unknown_node_is_refused():
    """The place of the node does not matter."""
    tree = ast.parse("f(x, [x])")
    tree.body[0].value.args[1].elts[0] = Unknown(ast.Constant(1), lineno=1, col_offset=0)
    assert violations(tree) == ["Unknown is not part of the job language"]


def test_an_unknown_operator_is_refused():
    """An operator is a node of its own."""
    tree = ast.parse("x + y")
    tree.body[0].value.op = NewOperator()
    assert violations(tree) == ["NewOperator is not part of the job language"]


def test_an_unknown_field_of_a_known_node_is_refused_when_it_is_used():
    """New syntax may come as one more field of an old node."""
    handler = walker.refusing_new_fields(LanguageRules.node_contents_visit, ("extra",))
    node = ast.parse("return_ = 1").body[0]
    found = LanguageRules()
    handler(found, node)
    assert not found.errors
    node.extra = [1]
    handler(found, node)
    assert "extra of Assign" in found.errors[0]


def test_a_lazy_import_of_a_later_python_is_refused():
    """A lazy import resolves at first use, past the guarded import."""
    tree = ast.parse("import json")
    tree.body[0].is_lazy = 1
    assert violations(tree)


def test_every_node_of_this_python_was_reviewed():
    """A new release of Python fails this test until a person has read its changes."""
    abstract = {"mod", "stmt", "expr", "expr_context", "boolop", "operator", "unaryop", "cmpop",
                "excepthandler", "pattern", "type_ignore", "type_param", "slice"}  # fmt: skip
    not_in_a_job = {"Interactive", "FunctionType", "TypeIgnore", "Load", "Store", "Del", "AST",
                    "Param", "AugLoad", "AugStore", "Suite", "Index", "ExtSlice",
                    "Num", "Str", "Bytes", "NameConstant", "Ellipsis"}  # fmt: skip
    refused = {
        "TemplateStr",
        "Interpolation",
    }  # Python 3.14: the code that reads them was not reviewed
    nodes = {
        name: kind
        for name, kind in vars(ast).items()
        if isinstance(kind, type) and issubclass(kind, ast.AST) and not name.startswith("_")
    }
    unknown = nodes.keys() - CONSTRUCTS.keys() - OPERATORS - abstract - not_in_a_job - refused
    assert not unknown
    for name, construct in CONSTRUCTS.items():
        if name in nodes:
            new = set(nodes[name]._fields) - {*construct.fields, *construct.plain} - {"is_lazy"}
            assert not new, name


def test_every_node_that_holds_a_name_has_a_check_of_its_own():
    """A name that is a plain string in the tree is not visited by itself."""
    names = {"name", "names", "arg", "attr", "id", "rest", "kwd_attrs", "module", "asname"}
    part_of_its_parent = {"alias"}
    ours = vars(LanguageRules).keys() | vars(NameRules).keys()
    unchecked = {
        name
        for name, construct in CONSTRUCTS.items()
        if names & set(construct.plain) and f"visit_{name}" not in ours
    }
    assert unchecked == part_of_its_parent


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_type_parameters_work_and_their_names_are_checked():
    """The syntax is that of PEP 695."""
    compile_job(f"{MAIN}type A[T, *Ts, **P] = list[T]\ndef f[T: int](x: T): ...", step_id="a")
    for source in (
        "type __A = int",
        "def f[__T](): ...",
        "class A[*_T_]: ...",
        "type A[**__P] = 1",
    ):
        with pytest.raises(LanguageError):
            compile_job(MAIN + source, step_id="a")
