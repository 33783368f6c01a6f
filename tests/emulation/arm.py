"""What tests of Arm's instructions share: code that is written here, and a machine that runs it in software.

Needs qemu-user-static and gcc-aarch64-linux-gnu; where these are not, tests are left out.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from llvmlite import binding, ir

HERE = Path(__file__).parent
TRIPLE = "aarch64-unknown-linux-gnu"
_EMULATOR, _COMPILER = shutil.which("qemu-aarch64-static"), shutil.which("aarch64-linux-gnu-gcc")


def required():
    """Leave out a module of tests where there is nothing that runs Arm's instructions."""
    if not (_EMULATOR and _COMPILER):
        pytest.skip("there is no emulator of Arm, or no compiler for it", allow_module_level=True)


def linked(folder, driver, write):
    """A program of a driver in C, and of the functions that ``write`` writes into a module of LLVM's."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(TRIPLE)
    except RuntimeError:
        pytest.skip("this LLVM writes no code for Arm")
    machine = target.create_target_machine(cpu="generic", opt=3, reloc="pic", codemodel="default")
    module = ir.Module(driver)
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    write(module)
    compiled = binding.parse_assembly(str(module))
    builder = binding.create_pass_builder(machine, binding.PipelineTuningOptions(speed_level=3))
    builder.getModulePassManager().run(compiled, builder)
    (folder / "unit.o").write_bytes(machine.emit_object(compiled))
    program, parts = folder / "run", (HERE / driver, folder / "unit.o")
    subprocess.run([_COMPILER, "-O1", "-static", "-o", program, *parts], check=True)
    return program


def run(program, processor, given):
    """What a program makes of bytes on such a processor."""
    return subprocess.run([_EMULATOR, "-cpu", processor, program], input=given, capture_output=True)


def cannot_run(done):
    """Whether an instruction was met that the processor does not have."""
    return done.returncode == -4 or b"Illegal instruction" in done.stderr  # SIGILL
