"""The recurrence on GPUs: Triton kernels, all steps in one launch, for all replicas at once.

Without a GPU the kernels run on CPU tensors in Triton's interpreter, if the environment has TRITON_INTERPRET=1.
"""

from src.recurrence.cuda.backend import Triton, TritonTF32

__all__ = ["Triton", "TritonTF32"]
