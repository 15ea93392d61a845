"""The kernels, in Triton's language. They import Triton, so nothing here is imported before it is known to be there."""
