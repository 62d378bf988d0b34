"""Run the examples of the library as it is installed, without pytest: ``python examples.py``."""

import doctest
import pkgutil
import sys
from importlib import import_module

import liprune_utils

modules = [liprune_utils]
for module in pkgutil.iter_modules(liprune_utils.__path__, "liprune_utils."):
    modules += [] if module.ispkg else [import_module(module.name)]
results = [doctest.testmod(module) for module in modules]
print(f"{sum(result.attempted for result in results)} examples of {len(modules)} modules")
sys.exit(any(result.failed for result in results))
