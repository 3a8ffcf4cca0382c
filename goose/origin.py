"""Origin: where an application's instance stands, so that another process can import the same one.

Asked of the kernel by modules that start processes of their own; the process that was started calls ``load``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, Final

SCRIPT: Final = "__goose_main__"
"""What a script is called where it is imported and its own name leads elsewhere: never ``__main__``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A module, and what it calls the instance."""

    module: str
    attribute: str
    """With dots where it is an attribute of an attribute."""
    file: str | None = None
    """Where the module is read from if its name does not lead to it: a script, for one."""

    def load(self) -> Any:
        """Import the module and give what stands there; of a script the ``__main__`` part does not run."""
        module = import_module(self.module) if self.file is None else _import_file(self.module, self.file)
        return attrgetter(self.attribute)(module)


def origin_of(instance: object) -> Origin | None:
    """Where something stands as an attribute of a module; None where no other process would find it."""
    # The script last: it may have it from a module, and importing a script may do more than is wanted.
    places = sorted(_places(instance), key=lambda place: place[1] is sys.modules.get("__main__"))
    for name, module, attribute in places:
        if _leads_to(name, module):
            return Origin(name, attribute)
    for name, module, attribute in places:
        file = _source(module)
        if file is not None:
            return Origin(SCRIPT if name == "__main__" else name, attribute, file)
    return None


def _places(instance: object) -> Iterator[tuple[str, ModuleType, str]]:
    for name, module in list(sys.modules.items()):
        for attribute, value in list(_namespace(module).items()):
            if value is instance and attribute.isidentifier():
                yield _own_name(name, module), module, attribute


def _namespace(module: object) -> Mapping[str, Any]:
    try:
        # Asked in the usual way, a module that loads itself when it is first looked at would do so now.
        namespace: Mapping[str, Any] = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return namespace


def _own_name(name: str, module: ModuleType) -> str:
    """The name under which the module would be imported; the script that was started calls itself ``__main__``."""
    if name != "__main__":
        return name
    if module.__spec__ is not None:
        return module.__spec__.name
    file = _source(module)
    stem = Path(file).stem if file is not None else name
    return stem if _leads_to(stem, module) else name


def _leads_to(name: str, module: ModuleType) -> bool:
    """Whether a process with the same path that imports this name gets this module."""
    file = _namespace(module).get("__file__")
    spec = None if name == "__main__" else _find(name)
    if file is None or spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve() == Path(file).resolve()


def _find(name: str) -> ModuleSpec | None:
    """What an import of this name would find if it had not been imported yet."""
    package, _, _ = name.rpartition(".")
    path = None
    if package:
        above = _find(package)
        if above is None or above.submodule_search_locations is None:
            return None
        path = list(above.submodule_search_locations)
    found = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in found if spec is not None), None)


def _source(module: ModuleType) -> str | None:
    file = _namespace(module).get("__file__")
    return str(Path(file).absolute()) if isinstance(file, str) and Path(file).is_file() else None


def _import_file(name: str, file: str) -> ModuleType:
    loader = SourceFileLoader(name, file)
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(f"{file} is no module", name=name, path=file)
    module = sys.modules[name] = module_from_spec(spec)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
