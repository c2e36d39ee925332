"""`python3 -m wordtools slug|initials TEXT`."""

import sys

from wordtools.initials import initials
from wordtools.slug import slugify

print({"slug": slugify, "initials": initials}[sys.argv[1]](" ".join(sys.argv[2:])))
