"""Character text: which character comes next? (O; the text is any file, or the sources of Python's library)

The training part is cut into streams that lie side by side, one per sequence of the mini-batch. A stream goes on from
mini-batch to mini-batch, to its end. Here a text of twelve characters in three streams::

    text    a b r a c a d a b r a .         the last 5 % are the test, here none
    stream  a b r | c a d | b r a           inputs
            b r a | a d a | r a .           targets: the next character
"""

import hashlib
import lzma
import math
import sys
import zlib
from functools import lru_cache
from typing import Any

import numpy as np

from tasks.batch import Pair
from tasks.corpus import text_of
from tasks.task import Classification, Split

TEST = 0.05
"""Share of the text, at its end, that nobody learns from."""

UNKNOWN = 0
"""The symbol of all characters that have none of their own."""

LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**26}]
"""A dictionary of 64 MiB: a text of a few million characters is known as a whole."""


class Text(Classification):
    """Next-character prediction, learned in epochs: each is ``length`` steps of every stream, the next ones each time.

    Symbol 0 stands for every unknown character; the others are sorted by their code. What comes only in the test
    part, or too rarely for ``symbols``, is unknown there and counts as such: its loss is the unknown symbol's.

    Args:
        length: most steps of every stream in an epoch; fewer are left where the streams end.
        batch_size: streams.
        path: of a UTF-8 file; None: the standard library of this Python, see tasks/corpus.py.
        characters: of the text that are taken, from its beginning; None: all.
        symbols: most of them, the unknown one included; the most frequent characters of the training part have one.

    Raises:
        ValueError: a file that cannot be used, or a text that is too short; one line that begins with the key.
    """

    every_step = True
    epochs = True
    graded = False
    in_bits = True

    def __init__(
        self,
        name: str,
        length: int,
        batch_size: int = 32,
        max_length: int | None = None,
        path: str | None = None,
        characters: int | None = None,
        symbols: int = 128,
        **common: Any,
    ) -> None:
        super().__init__(name, length, max_length, batch_size=batch_size, **common)
        if self.varies:
            raise ValueError("max_length and stretch: a text is read as it stands")
        text = text_of(path)[:characters]
        shortest = math.ceil((2 * batch_size + 1) / (1 - TEST)) + 1
        if len(text) < shortest:
            short = f"{len(text):,} characters are too few for {batch_size} streams"
            raise ValueError(f"path={path}: {short}; {shortest:,} are needed, or a smaller batch_size")
        self.path = path
        self.taken = len(text)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        trained = len(text) - math.ceil(TEST * len(text))
        self.alphabet, self.training, self.test = encoded(text, trained, symbols)
        self.inputs = self.outputs = len(self.alphabet) + 1

    @property
    def steps(self) -> int:
        """Steps of every stream."""
        return (len(self.training) - 1) // self.batch_size

    @property
    def rounds(self) -> int:
        """Epochs in which the streams are read once."""
        return math.ceil(self.steps / self.length)

    @property
    def held(self) -> int:
        return self.taken + self.training.nbytes + self.test.nbytes

    def epoch(self, number: int, draws: np.random.Generator) -> Pair:
        first = number % self.rounds * self.length
        return self._streams(first, self.length, self.batch_size)

    def draw(self, length: int, batch: int, draws: np.random.Generator, split: Split = Split.TRAIN) -> Pair:
        """The beginning of ``batch`` streams; or the whole test part as one stream, which is what a network is tested
        on. Nothing is drawn at random."""
        if split is not Split.TRAIN:
            return self.test[:-1, None], self.test[1:, None]
        return self._streams(0, length, batch)

    def _streams(self, first: int, length: int, batch: int) -> Pair:
        """Symbols and the next ones, TB, of ``length`` steps of each stream, or of as many as are left."""
        steps = (len(self.training) - 1) // batch
        places = slice(first, min(first + length, steps))
        inputs_BT = self.training[: batch * steps].reshape(batch, steps)[:, places]
        target_BT = self.training[1 : batch * steps + 1].reshape(batch, steps)[:, places]
        return np.ascontiguousarray(inputs_BT.T), np.ascontiguousarray(target_BT.T)

    def about(self) -> str:
        where = f"the standard library of Python {sys.version_info.major}.{sys.version_info.minor}"
        unknown = [float((part == UNKNOWN).mean()) for part in (self.training, self.test)]
        share = f"unknown {unknown[0]:.2%} of those learned from and {unknown[1]:.2%} of the test's"
        which = f"{self.taken:,} characters of {self.path or where} ({self.digest})"
        return f"{which}; {self.inputs} symbols, {share}; {self.rounds} epochs to read it once"

    def keepsake(self) -> dict[str, str]:
        return {"alphabet": self.alphabet, "text": self.digest}

    def yardsticks(self) -> dict[str, float]:
        """What a character of the test part costs, in nats, by what needs no network.

        Returns:
            ``unigram``: by the frequencies of the training part, each count one larger; ``zlib`` and ``lzma``: by the
            bytes that a compressor needs more for the whole text than for its training part.
        """
        counts = np.bincount(self.training, minlength=self.inputs) + 1
        cost = -np.log(counts / counts.sum())
        text = text_of(self.path)[: self.taken]
        found = {"unigram": float(cost[self.test].mean())}
        for name, size in (("zlib", _zlib), ("lzma", _lzma)):
            further = size(text) - size(text[: len(self.training)])
            found[name] = 8 * math.log(2) * further / len(self.test)
        return found


@lru_cache(maxsize=4)
def encoded(text: str, trained: int, symbols: int) -> tuple[str, np.ndarray, np.ndarray]:
    """The characters that have a symbol of their own, sorted, and the symbols of both parts of a text.

    Args:
        trained: characters of the training part.
        symbols: most of them, the unknown one included.

    Returns:
        alphabet, whose character k has the symbol k + 1; symbols of the training part and of the test part, of the
        smallest type that holds them all.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    known, counts = np.unique(codes[:trained], return_counts=True)
    frequent = np.sort(known[np.argsort(-counts, kind="stable")[: symbols - 1]])
    alphabet = frequent.astype("<u4").tobytes().decode("utf-32-le")
    numbers = symbols_of(codes, frequent)
    return alphabet, numbers[:trained], numbers[trained:]


def symbols_of(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The symbol of each character.

    Args:
        codes: of the characters.
        known: codes that have a symbol, sorted.
    """
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    kind = np.int8 if len(known) < 128 else np.int32
    return np.where(known[place] == codes, place + 1, UNKNOWN).astype(kind)


def _zlib(text: str) -> int:
    return len(zlib.compress(text.encode(), 9))


def _lzma(text: str) -> int:
    return len(lzma.compress(text.encode(), format=lzma.FORMAT_RAW, filters=LZMA))
