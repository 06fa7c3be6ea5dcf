"""JsonReader and Python's json take the same texts.

    json_python_test.py PEER [TEXTS]     PEER: the program json_reader_peer; TEXTS: 20000

The texts are good ones with a few random changes. Where Python takes more than RFC 8259 (NaN,
halves of surrogate pairs), it is told not to; nesting stays below the reader's limit.
"""

import json
import random
import struct
import subprocess
import sys
import unittest

PEER = sys.argv.pop(1)
TEXTS = int(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 20000

SEEDS = [
    b'{"a":[1,-0.5e+3,"x\\u00e9\\n\xc3\xa9\\ud83d\\ude00",true,false,null,{}],"b":[[]]}',
    b'[1.5, 2E5, -0, 0.0, 123456789012345678901234567890, 1e400]',
    b'"\xf0\x9f\x98\x80\xe2\x82\xac\\"\\\\\\/\\b\\f\\n\\r\\t\\uFFFF"',
    b'[[0, 1, 2], [10, 20, 255]]',
    b' { "instances" : [ [ 0.25 , -1.5 ] ] } ',
]
PIECES = [b"[", b"]", b"{", b"}", b",", b":", b'"', b"0", b"1", b"-", b".", b"e", b"+", b"true",
          b"null", b"NaN", b"\\", b"\\u", b"12ab", b"\\ud800", b" ", b"\n", b"\x0b", b"\x80",
          b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1f", b"\x7f", b"\x00", b"//"]


def changed(text):
    text = bytearray(text)
    for _ in range(random.randint(0, 3)):
        at = random.randint(0, len(text))
        way = random.random()
        if way < 0.4:
            text[at:at + random.randint(0, 1)] = random.choice(PIECES)
        elif way < 0.7:
            del text[at:at + random.randint(1, 3)]
        elif text:
            text[at % len(text)] = random.randrange(256)
    return bytes(text)


def refuse(word):
    raise ValueError(word)


def python_takes(text):
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=refuse, parse_int=str,
                           object_pairs_hook=list)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails for half a surrogate pair
        return True
    except ValueError:
        return False


def differences(texts, verdicts):
    return [text for text, ours in zip(texts, verdicts, strict=True) if ours != python_takes(text)]


class Differential(unittest.TestCase):
    def setUp(self):
        random.seed(7)
        self.texts = SEEDS + [changed(random.choice(SEEDS)) for _ in range(TEXTS)]

    def test_the_same_texts_are_taken(self):
        sent = b"".join(struct.pack("<I", len(text)) + text for text in self.texts)
        done = subprocess.run([PEER], input=sent, capture_output=True, check=True)
        verdicts = [c == ord("1") for c in done.stdout]
        self.assertEqual(differences(self.texts, verdicts), [])
        self.assertGreater(sum(verdicts), TEXTS // 10)
        self.assertGreater(len(verdicts) - sum(verdicts), TEXTS // 10)

    def test_a_reader_that_takes_a_text_too_many_is_seen(self):
        verdicts = [python_takes(text) for text in self.texts]
        fault = verdicts.index(False)
        verdicts[fault] = True
        self.assertEqual(differences(self.texts, verdicts), [self.texts[fault]])


if __name__ == "__main__":
    unittest.main()
