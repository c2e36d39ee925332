import unittest

from wordtools.wrap import wrap


class Wrap(unittest.TestCase):
    def test_lines_fit(self):
        self.assertEqual(wrap("aa bb c", 6), ["aa bb", "c"])

    def test_a_long_word_stands_alone(self):
        self.assertEqual(wrap("a incomprehensible b", 4), ["a", "incomprehensible", "b"])
