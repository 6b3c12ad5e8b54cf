"""From int8 TFLite files to one C99 source for devices without any runtime.

A learned prior computes with floats, by a layout and kernels of its own.
All kernels lie in export/c. numpy and the standard library only.
"""
