"""Installing compiles the kernels, or goes on without them where it cannot. All else is in pyproject.toml."""

import importlib.util
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

SOURCES = Path("src/seriatim/kernels")
OLDEST = "jaxlib==0.7.2"  # what is compiled against its headers runs with every jaxlib since

spec = importlib.util.spec_from_file_location("kernels_build", SOURCES / "build.py")
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)


class BuildWithKernels(build_py):
    """The package and the libraries; of an editable install these lie beside their sources."""

    def run(self):
        super().run()
        folder = SOURCES / "lib" if self.editable_mode else Path(self.build_lib, "seriatim/kernels/lib")
        reason = kernels.attempt(folder)
        print(f"CPU kernels: none, for {reason}" if reason else f"CPU kernels: compiled into {folder}")


class WheelWithKernels(bdist_wheel):
    """A wheel with libraries is one of its platform, for all versions of Python: they use none of its C interface."""

    def run(self):
        self.run_command("build")
        if any(Path(self.get_finalized_command("build").build_lib).glob("seriatim/kernels/lib/*.so")):
            self.root_is_pure = False
            self.distribution.has_ext_modules = lambda: True
        super().run()

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def headers_wanted():
    """What to install for the time of the build: nothing where nothing can be compiled."""
    try:
        kernels.compiler(), kernels.levels_here()
    except kernels.Impossible:
        return []
    return [f"{OLDEST}; python_version < '3.15'", "jaxlib; python_version >= '3.15'"]


setup(cmdclass={"build_py": BuildWithKernels, "bdist_wheel": WheelWithKernels}, setup_requires=headers_wanted())
