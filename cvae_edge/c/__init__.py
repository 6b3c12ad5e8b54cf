"""From int8 TFLite files to one C99 source for devices without any runtime.

The kernels that the source calls lie in export/c. numpy and the standard library only.
"""
