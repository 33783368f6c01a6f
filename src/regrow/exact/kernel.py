"""How the CPU kernels are compiled: by Numba, once for each machine and state of these files.

Numba's own way to keep what it compiled heeds neither a change of another file whose functions went into a kernel, nor
options, nor damage, and fails where there is no place for it; so here it is :mod:`regrow.exact.kept` that keeps it.
They are compiled even where a user has turned that off for theirs, because as plain Python they cannot compute.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils, serialize, sigutils
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys
from numba.core.targetconfig import ConfigStack

from regrow.errors import Note
from regrow.exact import compiling, kept

# None of these is typed.
_intrinsic: Any = extending.intrinsic
_inserted: Any = cgutils.get_or_insert_function
_flags: Any = ConfigStack
_rebuilt: Any = CompileResult._rebuild
_pointer_to: Any = types.CPointer
_normal: Any = sigutils.normalize_signature
_dumps: Any = serialize.dumps
_memory: Any = rtsys

_SETTINGS_OF_NO_ACCOUNT = ("NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_CACHE")
"""Those of Numba's that compiled code does not depend on; names may go on."""


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is first called, or take what was compiled before; divisions are as in NumPy."""
    return lambda function: _Function(function, options)


def shared_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel with ``prange`` loops, which threads share if there is enough to do."""
    return _SharedKernel(function)


class _SharedKernel:
    """A kernel for threads, and another of the same bits for a process that cannot have any, compiled only there."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._shared = _Function(function, {"nogil": True, "parallel": True})
        self._alone = _Function(function, {"nogil": True})

    def __call__(self, *arguments: Any, threads: int = 0) -> None:
        """Compute.

        Args:
            arguments: of the kernel.
            threads: how many, from :meth:`regrow.exact.threads.Threads.worth`; by default what suits as much memory
                as the arguments have, because that is what most kernels wait for.
        """
        from regrow.exact.threads import THREADS  # torch comes with it, which no kernel needs

        memory = 0 if threads else sum([x.nbytes for x in arguments if isinstance(x, np.ndarray)])
        with THREADS.taken(threads or THREADS.worth(memory)) as shared:
            (self._shared if shared else self._alone)(*arguments)


def _thread_id(_typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, _values: Any) -> Any:
        if not _flags().top().auto_parallel.enabled:
            return context.get_constant(signature.return_type, 0)
        asked = ir.FunctionType(cgutils.intp_t, [])
        return builder.call(_inserted(builder.module, asked, "get_thread_id"), [])

    return types.intp(), generate


thread_id: Any = _intrinsic(_thread_id)
"""Which of the threads runs, for a kernel to ask: from 0, and below the number that were given."""


def _pointer(of: Any, item: Any) -> Any:
    def typed(_typing: Any, address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], item.as_pointer())

        return _pointer_to(of)(types.int64), generate

    return _intrinsic(typed)


floats_at: Any = _pointer(types.float32, ir.FloatType())
"""The pointer of an address of float32, for ``numba.carray``."""

bytes_at: Any = _pointer(types.uint8, ir.IntType(8))
"""The pointer of an address of bytes, likewise."""


@contextmanager
def _jit_enabled() -> Iterator[None]:
    """Have Numba compile what it brings along too: it takes that for the user's, who may have turned it off."""
    settings = vars(numba.config)
    asked = settings["DISABLE_JIT"]
    settings["DISABLE_JIT"] = 0
    try:
        yield
    finally:
        settings["DISABLE_JIT"] = asked


class _Function(CPUDispatcher):
    """A function that Numba compiles for each kind of arguments, if it is not among the kept ones."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        options = {"nopython": True, "error_model": "numpy", "boundscheck": False, **options}
        super().__init__(function, targetoptions=options)
        self._cache = _Kept(self, options)

    def compile(self, sig: Any) -> Any:
        """See Numba's; and say so if it takes its time."""
        with global_compiler_lock, _jit_enabled(), ExitStack() as self._cache.missed:
            return super().compile(sig)


@cache
def _file(path: str) -> str:
    """The hash of a module: helpers and constants in it go into a kernel, too, and are not in its code."""
    with suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""


class _Kept(NullCache):
    """What Numba asks for compiled code and gives it to."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._title = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        code = function.__code__
        said = sorted((name, repr(x)) for name, x in options.items())
        self._function = code.co_firstlineno, code.co_code, _file(code.co_filename), said
        self.missed = ExitStack()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for a signature, or None."""
        name = self._name(sig, target_context)
        if (found := self._read(name, target_context)) is not None:
            return found
        self.missed.enter_context(compiling.announced(self._title))
        # What goes into a kernel is compiled in its turn. None goes into itself, so no two wait for each other.
        self.missed.enter_context(kept.turn(name))
        return self._read(name, target_context)

    def _read(self, name: str, target_context: Any) -> Any:
        data = kept.read(name)
        if data is not None:
            # Of this user and as it was written: what is wrong with it can only be that Numba cannot use it here.
            # The memory that kernels ask for, and none of what Numba knows to compile: a second of each process.
            _memory.initialize(target_context)
            with suppress(Exception):
                return _rebuilt(target_context, *pickle.loads(data))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code for a signature."""
        if not kept.keep(self._name(sig, data.target_context), _dumps(data._reduce())):
            text = "kernels are compiled each time, since no folder can keep them; NUMBA_CACHE_DIR can name one"
            warnings.warn(text, Note, 2)

    def _name(self, sig: Any, target_context: Any) -> str:
        arguments, _ = _normal(sig)
        settings = sorted(
            item for item in os.environ.items()
            if item[0].startswith("NUMBA_") and not item[0].startswith(_SETTINGS_OF_NO_ACCOUNT)
        )  # fmt: skip
        versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
        made_by = repr(arguments), target_context.codegen().magic_tuple(), self._function, settings, versions
        return f"{self._title}-{hashlib.sha256(repr(made_by).encode()).hexdigest()[:32]}"
