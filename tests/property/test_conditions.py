"""A condition means the same as in a small interpreter of the same rules, with any line breaks."""

import operator

from hypothesis import given
from hypothesis import strategies as st

from sandbox_child.language import compile_condition
from sandbox_child.language.scope import condition_scope
from sandbox_child.language.text.missing import MissingKeys

ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OTHER = {
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda item, holder: item in holder,
    "not in": lambda item, holder: item not in holder,
}
MISSING = object()

keys = st.sampled_from(["a", "b"])
values = st.recursive(
    st.none() | st.integers(-3, 3) | st.sampled_from(["", "t"]) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
states = st.dictionaries(keys, values, max_size=3)

chains = st.tuples(st.just("chain"), st.lists(keys, min_size=1, max_size=3).map(tuple))
constants = st.tuples(
    st.just("value"), st.none() | st.integers(-3, 3) | st.sampled_from(["t", [], [None]])
)
expressions = st.recursive(
    chains | constants,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        st.tuples(st.just(":="), st.sampled_from(["x", "y"]), inner),
        st.tuples(st.just("[0]"), inner),
        st.tuples(st.just("if"), inner, inner, inner),
        st.tuples(
            st.just("compare"),
            inner,
            st.lists(st.tuples(st.sampled_from([*ORDER, *OTHER]), inner), min_size=1, max_size=3),
        ),
    ),
    max_leaves=8,
)


def write(tree) -> str:
    match tree:
        case ("chain", parts):
            return "state." + ".".join(parts)
        case ("value", value):
            return repr(value)
        case ("not", inner):
            return f"(not {write(inner)})"
        case ("and" | "or" as word, left, right):
            return f"({write(left)} {word} {write(right)})"
        case (":=", name, inner):
            return f"({name} := {write(inner)})"
        case ("[0]", inner):
            return f"({write(inner)})[0]"
        case ("if", test, then, otherwise):
            return f"({write(then)} if {write(test)} else {write(otherwise)})"
        case ("compare", first, rest):
            return f"({write(first)} {' '.join(f'{sign} {write(side)}' for sign, side in rest)})"
    raise AssertionError(tree)


class Reference:
    """The rules, written a second time."""

    def __init__(self, state):
        self.state = state
        self.warned = set()

    def value(self, tree):
        found = self.side(tree)
        return None if found is MISSING else found

    def side(self, tree):
        """Return the value of a side of a comparison."""
        match tree:
            case ("chain", parts):
                return self.chain(parts)
            case (":=", _, inner):
                return self.side(inner)
            case ("value", value):
                return value
            case ("not", inner):
                return not self.value(inner)
            case ("and", left, right):
                return self.value(left) and self.value(right)
            case ("or", left, right):
                return self.value(left) or self.value(right)
            case ("[0]", inner):
                return self.value(inner)[0]
            case ("if", test, then, otherwise):
                return self.value(then) if self.value(test) else self.value(otherwise)
            case ("compare", first, rest):
                return self.compare(first, rest)
        raise AssertionError(tree)

    def chain(self, parts):
        current = self.state
        for part in parts:
            if current is MISSING or current is None:
                current = MISSING
            elif isinstance(current, dict):
                current = current.get(part, MISSING)
            else:
                raise AttributeError(part)
        return current

    def compare(self, first, rest):
        left_tree, left = first, self.side(first)
        result = None
        for sign, right_tree in rest:
            right = self.side(right_tree)
            if sign in ORDER:
                result = self.order(sign, (left_tree, left), (right_tree, right))
            else:
                sides = (None if side is MISSING else side for side in (left, right))
                result = OTHER[sign](*sides)
            if not result:
                return result
            left_tree, left = right_tree, right
        return result

    def order(self, sign, *sides):
        lost = [tree for tree, value in sides if value is MISSING]
        if not lost:
            return ORDER[sign](sides[0][1], sides[1][1])
        self.warned.update(written_chain(tree) for tree in lost)
        return False


def written_chain(tree):
    while tree[0] == ":=":
        tree = tree[2]
    return write(tree)


def outcome(evaluate):
    try:
        return repr(evaluate())
    except (TypeError, AttributeError, IndexError, KeyError) as error:
        return type(error)


def run(source, state, *, language=True):
    compiled = compile_condition(source, language=language)
    missing = MissingKeys()
    scope = condition_scope(language, missing)
    scope["state"] = state
    result = outcome(lambda: eval(compiled.code, scope))
    return result, {line.split("comparison of ")[1] for line in missing.warnings(compiled.text)}


@given(expressions, states, st.booleans())
def test_a_condition_means_what_the_rules_say(tree, state, language):
    """Value, error and warnings are the same, with the language wall and without it."""
    reference = Reference(state)

    expected = outcome(lambda: reference.value(tree))
    result, warned = run(write(tree), state, language=language)

    assert result == expected
    assert warned == {f"{chain} is False" for chain in reference.warned}


@given(
    expressions,
    states,
    st.lists(st.sampled_from([" ", "  ", "\n", "\r\n", "\n \n", "\t", " # why\n"]), min_size=1),
    st.sampled_from(["", "\n", "  ", "\r\n\t", "\ufeff", "\ufeff\n", "\u00a0"]),
    st.sampled_from(["", "\n", "\r\n", " \n\n", "\ufeff", "\u2003"]),
)
def test_line_breaks_change_nothing(tree, state, gaps, before, after):
    """The gaps between the words may be blanks, line breaks of two systems, or comments."""
    words = write(tree).split(" ")
    if len(words) == 1:
        gaps = []
    folded = "".join(
        f"{word}{gaps[index % len(gaps)] if gaps and index < len(words) - 1 else ''}"
        for index, word in enumerate(words)
    )

    result, _ = run(f"{before}{folded}{after}", state)

    assert result == run(write(tree), state)[0]


@given(expressions, states)
def test_a_condition_that_needs_no_copy_changes_nothing(tree, state):
    """A condition called pure does not change the state, and sees no trace of a missing key."""
    compiled = compile_condition(write(tree))
    before = repr(state)
    if compiled.pure:
        run(write(tree), state)
    assert repr(state) == before
