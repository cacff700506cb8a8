"""How a line of a scenario file may be written, and reading it so.

    Pattern("mx N HOST").match(split('mx 10 mx1.example.test'))
    -> {"n": 10, "host": "mx1.example.test"}

A pattern is made of
    word        itself
    HOST        a value of that type (TYPES); HOST2 is a second one
    TEXT...     one or more of them, the key holds a list
    a|b|c       one of these words, under the key `choice`
    [ ... ]     what may be left out; a word that is there is a key, too
    key=TYPE    an option, anywhere behind the first word; or key=a|b
    KEY=VALUE...  any options, under the key `pairs`; in brackets: or none
"""

import re

_NAME = r"(?:[A-Za-z0-9_*](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*" \
        r"[A-Za-z0-9_*](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class NotThat(Exception):
    """The words do not fit; the text says what was expected."""


class Word(str):
    """One word of a line; `quoted` ones are values and nothing else."""

    quoted = False


def split(text):
    """The words of a line, as a shell would: quotes, comments."""
    words, at = [], 0
    while True:
        while text[at:at + 1] in (" ", "\t"):
            at += 1
        if at >= len(text) or text[at] == "#":
            return words
        word, at = _one_word(text, at)
        words.append(word)


def _one_word(text, at):
    out, start, quote = [], at, False
    while at < len(text) and (quote or text[at] not in " \t"):
        c = text[at]
        if c == '"':
            quote = not quote
        elif c == "\\" and quote:
            at += 1
            out.append({"r": "\r", "n": "\n", "t": "\t"}.get(
                text[at:at + 1], text[at:at + 1]))
        else:
            out.append(c)
        at += 1
    if quote:
        raise NotThat("the closing quote is missing")
    word = Word("".join(out))
    word.quoted = text[start] == '"'
    return word, at


def _name(word):
    if not re.fullmatch(_NAME + r"\.?", word):
        raise NotThat("'%s' is not a name of the DNS" % word)
    return word.rstrip(".").lower()


def _address(word):
    local, at, domain = word.rpartition("@")
    if not at or not local:
        raise NotThat("'%s' is not an address" % word)
    return local + "@" + _name(domain)


def _sender(word):
    return "" if word == "<>" else _address(word)


def seconds(word):
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", word)
    if not found:
        raise NotThat("'%s' is not a time such as 30s, 5m, 4h or 2d" % word)
    return int(found.group(1)) * _UNITS[found.group(2)]


def _number(word):
    if not word.isdigit():
        raise NotThat("'%s' is not a number" % word)
    return int(word)


def _version(word):
    if word not in ("1.0", "1.1", "1.2", "1.3"):
        raise NotThat("'%s' is not a TLS version" % word)
    return str(word)


def _identifier(word):
    if not re.fullmatch(r"[A-Z]+-\d+", word):
        raise NotThat("'%s' is not the id of a requirement" % word)
    return str(word)


# type -> (reader, for the table of types in README.md)
TYPES = {
    "NAME": (_name, "a name of the DNS"),
    "HOST": (_name, "a host of this world"),
    "DOMAIN": (_name, "a mail domain"),
    "FROM": (_sender, "an address, or `<>`"),
    "ADDRESS": (_address, "an address"),
    "TIME": (seconds, "`500ms` `30s` `5m` `4h` `2d`"),
    "N": (_number, "a number"),
    "TYPE": (lambda w: w.upper(), "a record type: `mx` `txt` `a` `tlsa` ..."),
    "STAGE": (str, "`greeting` `ehlo` `helo` `starttls` `mail` `rcpt` `data`"
                   " `eod` `rset` `quit`"),
    "VERSION": (_version, "a TLS version: `1.0` `1.1` `1.2` `1.3`"),
    "ID": (_identifier, "the id of a requirement: `STS-26`"),
    "TEXT": (str, "a word, or several in double quotes; `\\r` `\\n` `\\\"`"),
    "WORD": (str, "a word"),
    "VALUE": (str, "a word, or several in double quotes"),
}


class _Item:
    """One place of a pattern."""

    def __init__(self, kind, text, key=None, items=()):
        self.kind = kind
        self.text = text
        self.key = key
        self.items = items


def _typed(token):
    base = token.rstrip("0123456789")
    if base not in TYPES:
        raise ValueError("unknown type " + token)
    return base


def _item(token):
    if token.endswith("..."):
        return _Item("many", _typed(token[:-3]), token[:-3].lower())
    if "|" in token:
        return _Item("choice", token.split("|"), "choice")
    if token.isupper():
        return _Item("slot", _typed(token), token.lower())
    return _Item("word", token)


class Pattern:
    def __init__(self, text):
        self.text = text
        self.options = {}
        self.needed = []
        self.free = False
        self.items = self._parse(re.findall(r"\[|\]|[^\s\[\]]+", text))
        self.first = self.items[0].text

    def _parse(self, tokens, nested=False):
        items = []
        while tokens:
            token = tokens.pop(0)
            if token == "]" and nested:
                return items
            if token == "[":
                inner = self._parse(tokens, True)
                if inner:
                    items.append(_Item("maybe", "", items=inner))
            elif token == "KEY=VALUE...":
                self.free = True
                self.needed += [] if nested else ["KEY"]
            elif "=" in token:
                key, _, kind = token.partition("=")
                self.options[key] = kind
                if not nested:
                    self.needed.append(key)
            else:
                items.append(_item(token))
                if nested and items[-1].kind == "word":
                    items[-1].key = token
        return items

    def uses(self, kind):
        """The keys whose values have this type."""
        def walk(items):
            for i in items:
                if i.kind in ("slot", "many") and i.text == kind:
                    yield i.key
                yield from walk(i.items)
        return list(walk(self.items))

    def match(self, words, prefix=False):
        """The values; with prefix also `rest`, the words left over."""
        values, plain, pairs = {}, [], []
        for word in words:
            key, eq, value = word.partition("=")
            if word.quoted or not eq:
                plain.append(word)
            elif key in self.options:
                values[key] = self._option(key, value)
            elif self.free:
                pairs.append((key, value))
            else:
                plain.append(word)
        if self.free:
            values["pairs"] = pairs
        given = dict(values, KEY=pairs) if pairs else values
        missing = [k for k in self.needed if k not in given]
        if missing:
            raise NotThat("%s= is missing" % missing[0])
        self._why, left = None, None
        for out, rest in self._run(self.items, plain):
            if not rest or prefix:
                return {**values, **out, "rest": rest}
            left = rest if left is None or len(rest) < len(left) else left
        if left:
            self._why = "'%s' is not expected here" % left[0]
        raise NotThat(self._why or "something is missing")

    def likeness(self, words):
        """How many of the pattern's own words stand where they should."""
        return sum(i.kind == "word" and i.text == w or
                   i.kind == "choice" and w in i.text
                   for i, w in zip(self.items, words))

    def _option(self, key, value):
        kind = self.options[key]
        if "|" in kind or kind.islower():
            if value not in kind.split("|"):
                raise NotThat("%s= is one of %s" % (key, kind))
            return value
        return TYPES[_typed(kind)][0](value)

    def _run(self, items, words):
        """All ways to read the words: (values, words left)."""
        if not items:
            yield {}, words
            return
        item, later = items[0], items[1:]
        for here, rest in self._take(item, words):
            for more, left in self._run(later, rest):
                yield {**more, **here}, left

    def _take(self, item, words):
        if item.kind == "maybe":
            yield from self._run(item.items, words)
            yield {}, words
        elif not words:
            return
        elif item.kind == "word":
            if words[0] == item.text and not words[0].quoted:
                yield {item.key: True} if item.key else {}, words[1:]
        elif item.kind == "choice":
            if words[0] in item.text and not words[0].quoted:
                yield {item.key: str(words[0])}, words[1:]
        elif item.kind == "slot":
            for value in self._values(item, words[:1]):
                yield {item.key: value}, words[1:]
        else:
            values = self._values(item, words)
            for n in range(len(values), 0, -1):
                yield {item.key: values[:n]}, words[n:]

    def _values(self, item, words):
        """The words, as far as they have the type of the place."""
        out = []
        for word in words:
            try:
                out.append(TYPES[item.text][0](word))
            except NotThat as e:
                self._why = str(e)
                break
        return out
