"""From int8 TFLite files to one C99 source for devices without any runtime.

A learned prior is of floats and has its own layout and kernels. The kernels that the source calls lie
in export/c. numpy and the standard library only.
"""
