"""Small changes of C source, one place at a time."""

import re

# Each token is replaced by each of those on the right.
TOKENS = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"],
    "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
    "+": ["-"], "-": ["+"], "+=": ["-="], "-=": ["+="], "++": ["--"], "--": ["++"],
    "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"], "&=": ["|="], "|=": ["&=", "="],
    "!": [""], "~": [""],
    "left": ["right"], "right": ["left"], "rb_left": ["rb_right"], "rb_right": ["rb_left"],
    "left_node": ["right_node"], "right_node": ["left_node"],
    "true": ["false"], "false": ["true"],
    "GPU_BUDDY_CLEAR_TREE": ["GPU_BUDDY_DIRTY_TREE"],
    "GPU_BUDDY_DIRTY_TREE": ["GPU_BUDDY_CLEAR_TREE"],
    "src_tree": ["dst_tree"], "dst_tree": ["src_tree"],
    "rb_last": ["rb_first"], "rb_prev": ["rb_next"],
    "list_add": ["list_add_tail"], "list_add_tail": ["list_add"],
    "list_splice_tail": ["list_splice"],
    "list_first_entry": ["list_last_entry"], "list_last_entry": ["list_first_entry"],
    "mark_cleared": ["clear_reset"], "clear_reset": ["mark_cleared"],
    "mark_clear": ["mark_dirty"], "mark_dirty": ["mark_clear"],
    "avail": ["clear_avail"], "clear_avail": ["avail"],
    "free_scoreboard": ["used_scoreboard"], "used_scoreboard": ["free_scoreboard"],
    "round_down": ["round_up"], "round_up": ["round_down"],
    "roundup_pow_of_two": ["rounddown_pow_of_two"],
    "rounddown_pow_of_two": ["roundup_pow_of_two"],
    "min": ["max"], "max": ["min"], "overlaps": ["contains"], "contains": ["overlaps"],
    "ENOSPC": ["ENOMEM"], "ENOMEM": ["ENOSPC"], "EINVAL": ["ENOSPC"], "ENXIO": ["EINVAL"],
    "GPU_BUDDY_RANGE_ALLOCATION": ["GPU_BUDDY_TOPDOWN_ALLOCATION"],
    "GPU_BUDDY_TOPDOWN_ALLOCATION": ["GPU_BUDDY_RANGE_ALLOCATION"],
    "GPU_BUDDY_CONTIGUOUS_ALLOCATION": ["GPU_BUDDY_CLEAR_ALLOCATION"],
    "GPU_BUDDY_CLEAR_ALLOCATION": ["GPU_BUDDY_CONTIGUOUS_ALLOCATION"],
    "GPU_BUDDY_TRIM_DISABLE": ["GPU_BUDDY_CONTIGUOUS_ALLOCATION"],
    "GPU_BUDDY_ALLOCATED": ["GPU_BUDDY_FREE"], "GPU_BUDDY_FREE": ["GPU_BUDDY_SPLIT"],
    "GPU_BUDDY_SPLIT": ["GPU_BUDDY_FREE"],
    "is_power_of_2": ["!is_power_of_2"],
    "gpu_buddy_block_is_free": ["gpu_buddy_block_is_allocated"],
    "gpu_buddy_block_is_allocated": ["gpu_buddy_block_is_free"],
    "gpu_buddy_block_is_split": ["gpu_buddy_block_is_free"],
    "block_start": ["block_end"], "block_end": ["block_start"],
    "lhs_offset": ["rhs_offset"], "rhs_offset": ["lhs_offset"],
    "original_size": ["size"], "original_min_size": ["min_block_size"],
    "fallback_order": ["order"], "min_order": ["order"], "new_start": ["block_start"],
    "buddy": ["block"], "parent": ["block"],
    "break": ["continue"], "continue": ["break"],
}  # fmt: skip

TOKEN = re.compile(
    r"""(?P<skip>/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+'|^\#(?:[^\n\\]|\\.|\\\n)*)
    |(?P<space>\s+)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d\w*)
    |(?P<operator><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|/=|&=|\|=|\^=|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


class Mutant:
    def __init__(self, source, start, end, text, what):
        line = source.count("\n", 0, start) + 1
        column = start - (source.rfind("\n", 0, start) + 1) + 1
        self.place = f"{line}.{column}"
        self.what = what
        # Later lines keep their numbers, which are reported.
        lost = source.count("\n", start, end) - text.count("\n")
        self.source = source[:start] + text + "\n" * lost + source[end:]

    def __str__(self):
        return f"{self.place} {self.what}"


def mutants(source):
    """All mutants, in the order of the file."""
    found = []

    def add(start, end, text, what):
        found.append(Mutant(source, start, end, text, what))

    tokens = [
        (match.lastgroup, match[0], match.start(), match.end())
        for match in TOKEN.finditer(source)
        if match.lastgroup not in ("skip", "space")
    ]
    partner = brackets(tokens)
    for first, last in bodies(source, tokens, partner):
        for index in range(first + 1, last):
            kind, text, start, end = tokens[index]
            before, after = tokens[index - 1][1], tokens[index + 1][1]
            if is_operand(tokens, index, first):
                for replacement in TOKENS.get(text, []):
                    add(start, end, replacement, f"{text} to {replacement or 'nothing'}")
            if kind == "number":
                for value in {int(text, 0) + 1, abs(int(text, 0) - 1)} - {int(text, 0)}:
                    add(start, end, str(value), f"{text} to {value}")
            if text in ("if", "while") and after == "(":
                close = tokens[partner[index + 1]]
                inside = source[tokens[index + 1][3] : close[2]]
                add(tokens[index + 1][3], close[2], f"!({inside})", f"{text}: condition negated")
                if text == "if":
                    add(tokens[index + 1][3], close[2], f"({inside}) || 1", "if: always")
                if inside.strip() != "1":
                    add(tokens[index + 1][3], close[2], f"({inside}) && 0", f"{text}: never")
            if text == "return" and after != ";":
                finish = next(i for i in range(index, last) if tokens[i][1] == ";")
                value = source[tokens[index + 1][2] : tokens[finish][2]]
                if value != "0":
                    add(tokens[index + 1][2], tokens[finish][2], "0", "return: 0")
                else:
                    add(tokens[index + 1][2], tokens[finish][2], "-ENOSPC", "return: an error")
            if before in ("{", "}", ";", ")", "else", ":") and kind in ("word", "operator"):
                finish = statement(tokens, index, partner, last)
                if finish:
                    add(start, tokens[finish][2], "", "statement deleted")
    return found


def brackets(tokens):
    """The closing bracket of each opening one."""
    partner, open_ones = {}, []
    for index, (_, text, _, _) in enumerate(tokens):
        if text in "([{":
            open_ones.append(index)
        elif text in ")]}":
            partner[open_ones.pop()] = index
    return partner


def bodies(source, tokens, partner):
    """The braces of functions, which are at the beginning of a line."""
    for index, (_, text, start, _) in enumerate(tokens):
        if text == "{" and source[start - 1] == "\n" and tokens[index - 1][1] == ")":
            yield index, partner[index]


def is_operand(tokens, index, first):
    """Whether a token is an operator: not a declarator, a pointer or a sign."""
    kind, text, _, _ = tokens[index]
    before, after = tokens[index - 1], tokens[index + 1]
    if text in "&-+":
        operand = before[0] in ("word", "number") or before[1] in ")]"
        return operand and before[1] != "return"
    if kind == "word" and (after[1] == ":" and before[1] in (";", "}")):
        return False
    # A declaration of a local variable.
    if kind == "word" and before[0] == "word" and before[1] not in ("return", "goto", "else"):
        return False
    if kind == "word" and before[1] == "*" and tokens[index - 2][0] == "word":
        return False
    return True


KEYWORDS = {
    "if", "else", "for", "while", "do", "switch", "case", "struct", "enum", "unsigned", "int",
    "bool", "u64", "const", "static", "LIST_HEAD", "list_for_each_entry_safe",
    "rbtree_postorder_for_each_entry_safe", "for_each_free_tree",
}  # fmt: skip


def statement(tokens, index, partner, last):
    """The end of the statement that begins at a token, if it does something."""
    kind, text, _, _ = tokens[index]
    if text in KEYWORDS or (kind == "operator" and text not in ("*", "++", "--")):
        return None
    # A label.
    if tokens[index + 1][1] == ":":
        return None
    at = index
    while tokens[at][1] != ";":
        if tokens[at][1] in "{})":
            return None
        at = partner[at] + 1 if tokens[at][1] in "([" else at + 1
    # Without its last line, a function's value would be undefined.
    return None if text == "return" and at + 1 == last else at
